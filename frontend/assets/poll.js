export const POLL_MS = 2000;
const JITTER = 0.1;

export class Poller {
  #environment;
  /** @type {Map<string, string>} */
  #urls = new Map();
  /** @type {Map<string, any>} */
  #timers = new Map();
  /** @type {AbortController | null} */
  #running = null;

  /** @param {PollEnvironment} environment */
  constructor(environment) {
    this.#environment = environment;
  }

  get isRunning() {
    return this.#running !== null;
  }

  /** @param {string} id @param {string} url of the upload */
  subscribe(id, url) {
    if (this.#urls.has(id)) return;
    this.#urls.set(id, url);
    if (this.#running) this.#schedule(id, this.#running.signal);
  }

  /** @param {string} id */
  unsubscribe(id) {
    this.#urls.delete(id);
    this.#environment.cancel(this.#timers.get(id));
    this.#timers.delete(id);
  }

  start() {
    if (this.#running) return;
    this.#running = new AbortController();
    for (const id of this.#urls.keys()) this.#poll(id, this.#running.signal);
  }

  stop() {
    this.#running?.abort();
    this.#running = null;
    for (const timer of this.#timers.values()) this.#environment.cancel(timer);
    this.#timers.clear();
  }

  /** @param {string} id @param {AbortSignal} signal */
  #schedule(id, signal) {
    const { after, random } = this.#environment;
    const delayMs = POLL_MS * (1 + JITTER * (2 * random() - 1));
    this.#timers.set(id, after(() => this.#poll(id, signal), delayMs));
  }

  /** @param {string} id @param {AbortSignal} signal */
  async #poll(id, signal) {
    const url = this.#urls.get(id);
    if (!url) return;
    try {
      await this.#request(id, url, signal);
    } catch {
      // No network, or stopped.
    }
    if (this.#urls.has(id) && !signal.aborted) this.#schedule(id, signal);
  }

  /** @param {string} id @param {string} url @param {AbortSignal} signal */
  async #request(id, url, signal) {
    const { fetch, onUnknown, onUpload } = this.#environment;
    const thumbnail = await fetch(`${url}/small`, { signal });
    // 404 without Retry-After: the upload is unknown.
    if (thumbnail.status === 404 && !thumbnail.headers.has("retry-after") && !signal.aborted) onUnknown(id);
    // 410: the upload has failed or was deleted.
    if (thumbnail.status !== 200 && thumbnail.status !== 410) return;
    const upload = await fetch(url, { headers: { accept: "application/json" }, signal });
    if (upload.status === 200) onUpload(await upload.json());
    else if (upload.status === 410 && !signal.aborted) onUpload(/** @type {any} */ ({ id, gen: 0, state: "gone" }));
  }
}
