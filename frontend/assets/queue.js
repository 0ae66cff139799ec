/** The life of a file in the page, and how many are sent at a time. */

/** @import { Stage } from "../types.d.ts" */

/** Files that are sent at a time: enough to fill the line, few enough that each moves. */
export const AT_A_TIME = 3;

/** Which stage may follow which. @type {Record<Stage, Stage[]>} */
const NEXT = {
  chosen: ["uploading", "refused", "removed"],
  uploading: ["queued", "processing", "ready", "failed", "refused", "removed"],
  queued: ["processing", "ready", "failed", "removed"],
  // Queued again: another way round after a retry that somebody else asked for.
  processing: ["queued", "ready", "failed", "removed"],
  // Again only where an operator replays the job.
  ready: ["queued", "processing", "failed", "removed"],
  // By itself only of a retried generation, or when the pictures turn out to be there after all.
  failed: ["chosen", "queued", "processing", "ready", "removed"],
  refused: ["removed"],
  removed: [],
};

/**
 * Changes the stage. A change that cannot happen is a mistake in the page, and throws.
 * @param {{stage: Stage}} item
 * @param {Stage} stage
 */
export function advance(item, stage) {
  if (item.stage === stage) return;
  if (!NEXT[item.stage].includes(stage)) throw new Error(`A file that is ${item.stage} cannot become ${stage}.`);
  item.stage = stage;
}

/** @template T */
export class Queue {
  /** @type {T[]} */
  #waiting = [];
  #sending = 0;
  #isHeld = false;

  /** @param {(item: T) => Promise<void>} send settles when the item is no longer on its way up */
  constructor(send) {
    this.send = send;
  }

  /** @param {T} item */
  add(item) {
    this.#waiting.push(item);
    this.#fill();
  }

  /** Takes out what has not been sent. @param {T} item */
  remove(item) {
    this.#waiting = this.#waiting.filter((other) => other !== item);
  }

  /** Starts nothing new, for instance without network. */
  hold() {
    this.#isHeld = true;
  }

  release() {
    this.#isHeld = false;
    this.#fill();
  }

  #fill() {
    while (!this.#isHeld && this.#sending < AT_A_TIME) {
      const item = this.#waiting.shift();
      if (item === undefined) return;
      this.#sending += 1;
      const done = () => {
        this.#sending -= 1;
        this.#fill();
      };
      this.send(item).then(done, (error) => {
        done();
        throw error;
      });
    }
  }
}
