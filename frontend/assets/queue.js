// @ts-check
/** The life of a file in the page, and how many are sent at a time. */

/** Files that are sent at a time: enough to fill a line, few enough that each moves. */
export const AT_A_TIME = 3;

/** @typedef {"chosen" | "uploading" | "queued" | "processing" | "ready" | "failed" | "refused" | "removed"} Stage */

/** From which stage which may follow. @type {Record<Stage, Stage[]>} */
const NEXT = {
  chosen: ["uploading", "refused", "removed"],
  uploading: ["queued", "processing", "ready", "failed", "refused", "removed"],
  queued: ["processing", "ready", "failed"],
  processing: ["queued", "ready", "failed"],
  ready: [],
  failed: ["chosen", "queued", "processing", "ready", "removed"],
  refused: ["removed"],
  removed: [],
};

/**
 * Changes the stage of an item. A change that cannot happen is a mistake in the page, and says so.
 * @param {{stage: Stage}} item
 * @param {Stage} stage
 */
export function advance(item, stage) {
  if (item.stage === stage) return;
  if (!NEXT[item.stage].includes(stage)) throw new Error(`a file that is ${item.stage} cannot become ${stage}`);
  item.stage = stage;
}

/**
 * @template T
 */
export class Queue {
  /** @param {(item: T) => Promise<void>} send settles when the item is no longer on its way */
  constructor(send) {
    this.send = send;
    /** @type {T[]} */
    this.waiting = [];
    this.sending = 0;
  }

  /** @param {T} item */
  add(item) {
    this.waiting.push(item);
    this.#fill();
  }

  /** Takes out an item that has not been sent. @param {T} item */
  remove(item) {
    this.waiting = this.waiting.filter((other) => other !== item);
  }

  #fill() {
    while (this.sending < AT_A_TIME && this.waiting.length) {
      const item = /** @type {T} */ (this.waiting.shift());
      this.sending += 1;
      this.send(item).finally(() => {
        this.sending -= 1;
        this.#fill();
      });
    }
  }
}
