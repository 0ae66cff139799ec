const MIN_DELAY_MS = 500;
const MAX_DELAY_MS = 8000;

export class Network extends EventTarget {
  #environment;
  #failures = 0;
  /** @type {Promise<Answerer> | null} */
  #probing = null;
  /** @type {any} */
  #timer = null;

  /** @param {NetworkEnvironment} environment */
  constructor(environment) {
    super();
    this.#environment = environment;
    this.isAnswering = true;
  }

  isUp() {
    return this.isAnswering && this.#environment.isOnline();
  }

  /** @param {boolean} [isLive] the server has just been heard */
  check(isLive = false) {
    if (isLive) this.#setAnswering(true);
    else if (!this.isAnswering && this.#environment.isOnline()) this.probe();
    if (this.isUp()) this.dispatchEvent(new Event("up"));
  }

  /** @param {AbortSignal} signal @returns {Promise<Answerer>} `none` if it had to wait */
  async confirm(signal) {
    const answerer = this.isUp() ? await this.probe() : "none";
    if (answerer !== "none") return answerer;
    if (!this.isUp() && !signal.aborted) {
      await new Promise((resolve) => {
        for (const source of [this, signal]) {
          for (const type of ["up", "abort"]) source.addEventListener(type, resolve, { once: true });
        }
      });
    }
    return "none";
  }

  /** @returns {Promise<Answerer>} */
  probe() {
    this.#environment.cancel(this.#timer);
    this.#probing ??= this.#environment.probe().then((answerer) => {
      this.#probing = null;
      this.#setAnswering(answerer !== "none" || !this.#environment.isOnline());
      return answerer;
    });
    return this.#probing;
  }

  /** @param {boolean} isAnswering */
  #setAnswering(isAnswering) {
    const { after, cancel, random, onChange, isOnline } = this.#environment;
    cancel(this.#timer);
    const delayMs = MIN_DELAY_MS + Math.min(MAX_DELAY_MS, backoff(this.#failures, random));
    if (!isAnswering) this.#timer = after(() => isOnline() && this.probe(), delayMs);
    this.#failures = isAnswering ? 0 : this.#failures + 1;
    if (isAnswering === this.isAnswering) return;
    this.isAnswering = isAnswering;
    onChange(isAnswering);
    if (this.isUp()) this.dispatchEvent(new Event("up"));
  }
}

/** Exponential backoff with full jitter, so that many pages do not reconnect at once. */

const FIRST_MS = 500;
const LONGEST_MS = 30_000;

/**
 * @param {number} failures before this retry
 * @param {Random} random
 * @returns {Milliseconds}
 */
export function backoff(failures, random) {
  return random() * Math.min(LONGEST_MS, FIRST_MS * 2 ** failures);
}
