// @ts-check
/** The ladder: live socket, polling, offline, and the pill that says which. */

import { Live } from "./live.js";
import { PATIENCE_MS, Poller } from "./poll.js";
import { CONNECTION } from "./words.js";

/** @typedef {import("./merge.js").Upload} Upload */

/** The root of the service, from wherever a page of it lies. */
const ROOT = new URL(".", import.meta.url);

export class Connection {
  /** @param {(upload: Upload) => void} tell */
  constructor(tell) {
    const timers = {
      after: (/** @type {() => void} */ callback, /** @type {number} */ ms) => window.setTimeout(callback, ms),
      cancel: (/** @type {number} */ timer) => window.clearTimeout(timer),
      random: Math.random,
      tell,
    };
    this.live = new Live({
      ...timers,
      open: () => new WebSocket(new URL("live", ROOT).href.replace(/^http/, "ws"), "up.v1"),
      now: () => performance.now(),
      forget: (id) => this.poller.unwatch(id),
      changed: () => this.#settle(),
    });
    this.poller = new Poller({ ...timers, fetch: (url, options) => fetch(url, options) });
    this.patience = 0;
  }

  start() {
    addEventListener("online", () => this.#wake());
    addEventListener("offline", () => {
      this.live.sleep();
      this.#settle();
    });
    addEventListener("pageshow", (event) => event.persisted && this.#wake());
    document.addEventListener("visibilitychange", () => (document.hidden ? this.poller.stop() : this.#wake()));
    this.live.connect();
    this.#settle();
  }

  /** @param {Upload} upload */
  watch(upload) {
    this.poller.watch(upload.id, upload.links.self);
    this.live.watch(upload.id);
  }

  /** @param {string} id */
  unwatch(id) {
    this.poller.unwatch(id);
    this.live.unwatch(id);
  }

  #wake() {
    this.live.wake();
    this.#settle();
  }

  /** Says where on the ladder the page stands; without a socket for a while, polling begins. */
  #settle() {
    clearTimeout(this.patience);
    if (!navigator.onLine) {
      this.poller.stop();
      this.#show("offline");
    } else if (this.live.isLive) {
      this.poller.stop();
      this.#show("live");
    } else if (!document.hidden) {
      this.patience = window.setTimeout(() => {
        this.poller.start();
        this.#show("polling");
      }, PATIENCE_MS);
    }
  }

  /** @param {"live" | "polling" | "offline"} where */
  #show(where) {
    for (const pill of document.querySelectorAll(".pill")) {
      /** @type {HTMLElement} */ (pill).dataset.connection = where;
      pill.textContent = CONNECTION[where];
    }
  }
}
