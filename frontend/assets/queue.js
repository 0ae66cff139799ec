/** The life of a file in the page, and how many are sent at a time. */

/** Enough to fill the line, few enough that each moves. */
export const AT_A_TIME = 3;

/** Which stage may follow which. @type {Record<Stage, Stage[]>} */
const NEXT = {
  chosen: ["uploading", "refused", "removed"],
  uploading: ["queued", "processing", "ready", "failed", "refused", "removed"],
  queued: ["processing", "ready", "failed", "removed"],
  // Queued again after a retry.
  processing: ["queued", "ready", "failed", "removed"],
  ready: ["queued", "processing", "failed", "removed"],
  failed: ["chosen", "queued", "processing", "ready", "removed"],
  refused: ["removed"],
  removed: [],
};

/**
 * A change that cannot happen is a mistake in the page.
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

  /** @param {(item: T) => Promise<void>} send */
  constructor(send) {
    this.send = send;
  }

  /** @param {T} item */
  add(item) {
    this.#waiting.push(item);
    this.#fill();
  }

  /** @param {T} item */
  remove(item) {
    this.#waiting = this.#waiting.filter((other) => other !== item);
  }

  /** Starts nothing new. */
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
