/** The fallback without a socket: ask for each small thumbnail until it is there. */

/** How often each is asked for, and by what part that varies. */
export const POLL_MS = 2000;
const JITTER = 0.1;

export class Poller {
  /** Where each is. @type {Map<string, string>} */
  #waiting = new Map();
  /** @type {Map<string, any>} */
  #timers = new Map();
  /** @type {AbortController | null} */
  #round = null;

  /** @param {PollSurroundings} surroundings */
  constructor(surroundings) {
    this.at = surroundings;
  }

  get isRunning() {
    return this.#round !== null;
  }

  /** @param {string} id @param {string} url of the upload itself */
  watch(id, url) {
    if (this.#waiting.has(id)) return;
    this.#waiting.set(id, url);
    if (this.#round) this.#later(id, this.#round.signal);
  }

  /** @param {string} id */
  unwatch(id) {
    this.#waiting.delete(id);
    this.at.cancel(this.#timers.get(id));
    this.#timers.delete(id);
  }

  start() {
    if (this.#round) return;
    this.#round = new AbortController();
    for (const id of this.#waiting.keys()) this.#ask(id, this.#round.signal);
  }

  /** Gives up what is under way, too. */
  stop() {
    this.#round?.abort();
    this.#round = null;
    for (const timer of this.#timers.values()) this.at.cancel(timer);
    this.#timers.clear();
  }

  /** @param {string} id @param {AbortSignal} signal */
  #later(id, signal) {
    const wait = POLL_MS * (1 + JITTER * (2 * this.at.random() - 1));
    this.#timers.set(id, this.at.after(() => this.#ask(id, signal), wait));
  }

  /** @param {string} id @param {AbortSignal} signal */
  async #ask(id, signal) {
    const url = this.#waiting.get(id);
    if (!url) return;
    try {
      await this.#look(id, url, signal);
    } catch {
      // No network, or stopped.
    }
    if (this.#waiting.has(id) && !signal.aborted) this.#later(id, signal);
  }

  /** @param {string} id @param {string} url @param {AbortSignal} signal */
  async #look(id, url, signal) {
    const thumbnail = await this.at.fetch(`${url}/small`, { signal });
    // Without Retry-After a 404 says that there is nothing to wait for.
    if (thumbnail.status === 404 && !thumbnail.headers.has("retry-after") && !signal.aborted) this.at.unknown(id);
    // 410: there will be no picture.
    if (thumbnail.status !== 200 && thumbnail.status !== 410) return;
    const upload = await this.at.fetch(url, { headers: { accept: "application/json" }, signal });
    if (upload.status === 200) this.at.tell(await upload.json());
  }
}
