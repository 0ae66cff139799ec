// @ts-check
/** The live socket: one for all uploads of a page, opened again whenever it is lost. */

import { backoff } from "./backoff.js";

/** A socket that has been open for so long was a good one, in milliseconds: the next wait is short again. */
const GOOD_AFTER_MS = 30_000;
/** How much longer than the time between two pings a silence may last, in milliseconds. */
const SILENCE_MARGIN_MS = 10_000;
/** The time between two pings until the server has said, in milliseconds. */
const DEFAULT_PING_MS = 25_000;

/** @typedef {import("./merge.js").Upload} Upload */
/**
 * What a socket looks like from here: a `WebSocket`, or a test's own.
 * @typedef {object} SocketLike
 * @property {(text: string) => void} send
 * @property {(code?: number) => void} close
 * @property {((event: any) => void) | null} onmessage
 * @property {((event: any) => void) | null} onclose
 */
/**
 * @typedef {object} Surroundings
 * @property {() => SocketLike} open
 * @property {(callback: () => void, ms: number) => number} after
 * @property {(timer: number) => void} cancel
 * @property {() => number} now milliseconds
 * @property {() => number} random from 0 to 1
 * @property {(upload: Upload) => void} tell an upload's state, as the server says it
 * @property {(unknown: string) => void} forget an id that the server does not know
 * @property {(live: boolean) => void} changed whether the socket has answered
 */

export class Live {
  /** @param {Surroundings} surroundings */
  constructor(surroundings) {
    this.at = surroundings;
    /** @type {Set<string>} */
    this.ids = new Set();
    /** @type {SocketLike | null} */
    this.socket = null;
    this.isLive = false;
    this.tries = 0;
    this.reference = 0;
    this.openedAt = 0;
    this.pingMs = DEFAULT_PING_MS;
    /** What the server asked to wait with its goodbye. @type {number | null} */
    this.retryMs = null;
    this.isRefused = false;
    this.timer = 0;
    this.watchdog = 0;
  }

  /** Opens the socket, unless it is open or the server will never speak with this page. */
  connect() {
    this.at.cancel(this.timer);
    if (this.socket || this.isRefused) return;
    const socket = this.at.open();
    this.socket = socket;
    this.openedAt = this.at.now();
    socket.onmessage = (event) => socket === this.socket && this.#hear(event.data);
    socket.onclose = (event) => socket === this.socket && this.#lost(event.code);
    this.#listen();
  }

  /** Waits for an upload. @param {string} id */
  watch(id) {
    if (this.ids.has(id)) return;
    this.ids.add(id);
    if (this.isLive) this.#subscribe([id]);
    else this.connect();
  }

  /** Waits for it no longer. @param {string} id */
  unwatch(id) {
    if (this.ids.delete(id) && this.isLive) this.#say({ type: "unsubscribe", ids: [id] });
  }

  /** The network, or the page, is back: try at once, and with a new socket if the old one may be dead. */
  wake() {
    this.tries = 0;
    if (!this.isLive) this.#drop();
    this.connect();
  }

  /** The network is gone: an open socket can lose frames silently, so this one is not to be trusted. */
  sleep() {
    this.#drop();
    this.at.cancel(this.timer);
  }

  /** @param {string} text */
  #hear(text) {
    const message = JSON.parse(text);
    this.#listen();
    switch (message.type) {
      case "welcome":
        this.pingMs = message.ping_ms ?? DEFAULT_PING_MS;
        this.#listen();
        if (this.ids.size) this.#subscribe([...this.ids]);
        else this.#became(true);
        break;
      case "snapshot":
        this.#became(true);
        for (const upload of message.uploads) this.at.tell(upload);
        for (const id of message.unknown) {
          this.ids.delete(id);
          this.at.forget(id);
        }
        break;
      case "thumbnail-ready":
      case "upload-changed":
      case "upload-failed":
        this.at.tell(message.upload);
        break;
      case "ping":
        this.#say({ type: "pong", t: message.t });
        break;
      case "bye":
        this.retryMs = message.retry_ms;
        break;
    }
  }

  /** @param {number} code */
  #lost(code) {
    const wasGood = this.at.now() - this.openedAt >= GOOD_AFTER_MS;
    this.#drop();
    if (code >= 4500 && code <= 4599) {
      this.isRefused = true;
      return;
    }
    if (wasGood) this.tries = 0;
    const asked = code === 1012 || code === 1013 ? this.retryMs : null;
    const wait = asked ?? backoff(this.tries, this.at.random);
    this.tries += 1;
    this.retryMs = null;
    this.timer = this.at.after(() => this.connect(), wait);
  }

  #drop() {
    const socket = this.socket;
    this.socket = null;
    this.at.cancel(this.watchdog);
    if (socket) {
      socket.onmessage = socket.onclose = null;
      socket.close();
    }
    this.#became(false);
  }

  /** Anything that is heard is a sign of life; a long silence means that the socket is dead. */
  #listen() {
    this.at.cancel(this.watchdog);
    this.watchdog = this.at.after(() => this.#lost(1006), this.pingMs + SILENCE_MARGIN_MS);
  }

  /** @param {string[]} ids */
  #subscribe(ids) {
    this.reference += 1;
    this.#say({ type: "subscribe", ref: this.reference, ids });
  }

  /** @param {object} message */
  #say(message) {
    this.socket?.send(JSON.stringify(message));
  }

  /** @param {boolean} live */
  #became(live) {
    if (this.isLive === live) return;
    this.isLive = live;
    this.at.changed(live);
  }
}
