import { isFinal } from "./merge.js";

export const POLL_AFTER_MS = 2000;

export class Fallback {
  #environment;
  /** @type {any} */
  #pollTimer = null;
  #mayPoll = false;

  /** @param {FallbackEnvironment} environment */
  constructor(environment) {
    this.#environment = environment;
    /** @type {Level} */
    this.level = "connecting";
  }

  start() {
    this.#environment.live.connect();
    this.update();
  }

  /** @param {Upload} upload */
  subscribe(upload) {
    const { live, poller } = this.#environment;
    if (isFinal(upload)) poller.unsubscribe(upload.id);
    else poller.subscribe(upload.id, upload.links.self);
    live.subscribe(upload.id);
  }

  /** @param {string} id */
  unsubscribe(id) {
    this.#environment.poller.unsubscribe(id);
    this.#environment.live.unsubscribe(id);
  }

  wake() {
    this.#environment.live.wake();
    this.update();
  }

  goOffline() {
    this.#environment.live.assumeLost();
    this.update();
  }

  update() {
    const { live, poller, after, cancel, isOnline, isHidden } = this.#environment;
    if (live.isLive) {
      cancel(this.#pollTimer);
      this.#pollTimer = null;
      this.#mayPoll = false;
      poller.stop();
      return this.#setLevel("live");
    }
    if (this.#pollTimer === null) {
      this.#pollTimer = after(() => {
        this.#mayPoll = true;
        this.update();
      }, POLL_AFTER_MS);
    }
    const online = isOnline();
    if (this.#mayPoll && online && !isHidden()) poller.start();
    else poller.stop();
    this.#setLevel(!online ? "offline" : this.#mayPoll ? "polling" : "connecting");
  }

  /** @param {Level} level */
  #setLevel(level) {
    const before = this.level;
    if (level === before) return;
    this.level = level;
    this.#environment.onLevel(level, before);
  }
}
