/** The fallback of the connection: live socket, then polling, then offline. */

import { isFinal } from "./merge.js";

/** How long the socket may be away before polling begins. */
export const PATIENCE_MS = 2000;

export class Fallback {
  /** @type {any} */
  #patience = null;
  #isImpatient = false;

  /** @param {FallbackSurroundings} surroundings */
  constructor(surroundings) {
    this.at = surroundings;
    /** @type {Level} */
    this.level = "connecting";
  }

  start() {
    this.at.live.connect();
    this.settle();
  }

  /** Waits for an upload; for a final one by the socket only. @param {Upload} upload */
  watch(upload) {
    if (isFinal(upload)) this.at.poller.unwatch(upload.id);
    else this.at.poller.watch(upload.id, upload.links.self);
    this.at.live.watch(upload.id);
  }

  /** @param {string} id */
  unwatch(id) {
    this.at.poller.unwatch(id);
    this.at.live.unwatch(id);
  }

  wake() {
    this.at.live.wake();
    this.settle();
  }

  offline() {
    this.at.live.distrust();
    this.settle();
  }

  /** Takes the level that fits; called whenever the socket, the network or the page changes. */
  settle() {
    if (this.at.live.isLive) {
      this.at.cancel(this.#patience);
      this.#patience = null;
      this.#isImpatient = false;
      this.at.poller.stop();
      return this.#stand("live");
    }
    if (this.#patience === null) {
      this.#patience = this.at.after(() => {
        this.#isImpatient = true;
        this.settle();
      }, PATIENCE_MS);
    }
    const isOnline = this.at.isOnline();
    if (this.#isImpatient && isOnline && !this.at.isHidden()) this.at.poller.start();
    else this.at.poller.stop();
    this.#stand(!isOnline ? "offline" : this.#isImpatient ? "polling" : "connecting");
  }

  /** @param {Level} level */
  #stand(level) {
    if (this.level === level) return;
    this.level = level;
    this.at.stand(level);
  }
}
