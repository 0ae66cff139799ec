// @ts-check
/** The fallback without a socket: ask for the small thumbnail until it is there. */

/** How often each thumbnail is asked for, in milliseconds, and by how much that varies. */
export const POLL_MS = 2000;
const JITTER = 0.1;
/** How long the socket may be away, in milliseconds, before polling begins. */
export const PATIENCE_MS = 2000;

/** @typedef {import("./merge.js").Upload} Upload */
/**
 * @typedef {object} Surroundings
 * @property {(url: string, options: {method?: string, headers?: Record<string, string>, signal: AbortSignal}) => Promise<{status: number, json: () => Promise<any>}>} fetch
 * @property {(callback: () => void, ms: number) => number} after
 * @property {(timer: number) => void} cancel
 * @property {() => number} random from 0 to 1
 * @property {(upload: Upload) => void} tell an upload's state, as the server says it
 */

export class Poller {
  /** @param {Surroundings} surroundings */
  constructor(surroundings) {
    this.at = surroundings;
    /** What is waited for: id to URL. @type {Map<string, string>} */
    this.waiting = new Map();
    /** @type {Map<string, number>} */
    this.timers = new Map();
    this.isRunning = false;
    this.abort = new AbortController();
  }

  /** Waits for an upload. @param {string} id @param {string} url */
  watch(id, url) {
    this.waiting.set(id, url);
    if (this.isRunning) this.#later(id);
  }

  /** Waits for it no longer. @param {string} id */
  unwatch(id) {
    this.waiting.delete(id);
    this.at.cancel(this.timers.get(id) ?? 0);
    this.timers.delete(id);
  }

  /** Begins to ask, at once. */
  start() {
    if (this.isRunning) return;
    this.isRunning = true;
    this.abort = new AbortController();
    for (const id of this.waiting.keys()) this.#ask(id);
  }

  /** Asks no longer, and forgets what was asked. */
  stop() {
    this.isRunning = false;
    this.abort.abort();
    for (const timer of this.timers.values()) this.at.cancel(timer);
    this.timers.clear();
  }

  /** @param {string} id */
  #later(id) {
    const wait = POLL_MS * (1 + JITTER * (2 * this.at.random() - 1));
    this.timers.set(id, this.at.after(() => this.#ask(id), wait));
  }

  /** @param {string} id */
  async #ask(id) {
    const url = this.waiting.get(id);
    if (!url || !this.isRunning) return;
    const { signal } = this.abort;
    try {
      const thumbnail = await this.at.fetch(`${url}/small`, { method: "HEAD", signal });
      // 410: there will be none. Either way the upload itself says the rest.
      if (thumbnail.status === 200 || thumbnail.status === 410) {
        const answer = await this.at.fetch(url, { headers: { accept: "application/json" }, signal });
        if (answer.status === 200) this.at.tell(await answer.json());
      }
    } catch {
      // No network, or stopped: the next question, if there is one, tells.
    }
    if (this.waiting.has(id) && this.isRunning && !signal.aborted) this.#later(id);
  }
}
