/** The live socket, `up.v1`: one for all uploads of a page, opened again whenever it is lost. */

import { backoff } from "./backoff.js";

/** A socket that was open for so long was a good one: the next wait is short again. */
const GOOD_AFTER_MS = 30_000;
/** How much longer than between two pings a silence may last. */
const SILENCE_MARGIN_MS = 10_000;
/** Between two pings, until the server has said. */
const PING_MS = 25_000;
/** How long the server's first word may take. */
const OPEN_WITHIN_MS = 10_000;
/** A socket that opens for so long when the network returns was opened without one. */
const FRESH_MS = 2000;
/** Ids of one socket, until the server has said. */
const MAX_IDS = 500;
/** With these codes the server says when to come back. */
const COME_BACK = [1012, 1013];

export class Live {
  /** @type {SocketLike | null} */
  #socket = null;
  /** What is waited for, and whether this socket has been told. @type {Map<string, boolean>} */
  #ids = new Map();
  #tries = 0;
  #reference = 0;
  /** The subscription that is not answered yet, or 0. */
  #unanswered = 0;
  #openedAt = 0;
  #heardAt = 0;
  #pingMs = PING_MS;
  #maxIds = MAX_IDS;
  /** @type {number | null} */
  #retryMs = null;
  #isRefused = false;
  /** @type {any} */
  #reconnect = null;
  /** @type {any} */
  #watchdog = null;

  /** @param {LiveSurroundings} surroundings */
  constructor(surroundings) {
    this.at = surroundings;
    /** It is open, and has answered what it was asked. */
    this.isLive = false;
  }

  connect() {
    this.at.cancel(this.#reconnect);
    if (this.#socket || this.#isRefused) return;
    const socket = this.at.open();
    this.#socket = socket;
    this.#openedAt = this.at.now();
    socket.onmessage = (event) => {
      if (socket === this.#socket) this.#hear(event.data);
    };
    socket.onclose = (event) => {
      if (socket === this.#socket) this.#lose(event.code);
    };
    this.#heard(OPEN_WITHIN_MS);
  }

  /** Waits for an upload. @param {string} id */
  watch(id) {
    if (this.#ids.has(id)) return;
    this.#ids.set(id, false);
    if (this.isLive) this.#subscribe();
  }

  /** Waits for it no longer. @param {string} id */
  unwatch(id) {
    const wasTold = this.#ids.get(id);
    this.#ids.delete(id);
    if (!wasTold) return;
    this.#say({ type: "unsubscribe", ids: [id] });
    this.#subscribe();
  }

  /** The network or the page is back: a dead socket goes, and another is opened at once. */
  wake() {
    const silence = this.at.now() - this.#heardAt;
    if (this.#socket && silence < (this.isLive ? this.#pingMs + SILENCE_MARGIN_MS : FRESH_MS)) return;
    this.#tries = 0;
    this.#drop();
    this.connect();
  }

  /** The network is gone: an open socket can lose frames silently then. */
  distrust() {
    if (this.#socket) this.#lose(1006);
  }

  /** Closes it until it is woken. */
  close() {
    this.at.cancel(this.#reconnect);
    this.#drop();
  }

  /** @param {string} text */
  #hear(text) {
    this.#heard();
    const message = JSON.parse(text);
    switch (message.type) {
      case "welcome":
        this.#pingMs = message.ping_ms ?? PING_MS;
        this.#maxIds = message.max_ids ?? MAX_IDS;
        this.#heard();
        this.#subscribe();
        this.#settle();
        break;
      case "snapshot":
        for (const id of message.unknown ?? []) {
          this.#ids.delete(id);
          this.at.unknown(id);
        }
        for (const upload of message.uploads ?? []) this.at.tell(upload);
        this.#answered(message.ref);
        break;
      case "thumbnail-ready":
      case "upload-changed":
      case "upload-failed":
        this.at.tell(message.upload);
        break;
      case "ping":
        this.#say({ type: "pong", t: message.t });
        break;
      case "error":
        this.#answered(message.ref);
        break;
      case "bye":
        this.#retryMs = message.retry_ms ?? null;
        break;
      default: // of a later protocol
    }
  }

  /** @param {number} [reference] */
  #answered(reference) {
    if (reference === this.#unanswered) this.#unanswered = 0;
    this.#settle();
  }

  /** @param {number} code */
  #lose(code) {
    if (this.at.now() - this.#openedAt >= GOOD_AFTER_MS) this.#tries = 0;
    const asked = COME_BACK.includes(code) ? this.#retryMs : null;
    this.#isRefused = code >= 4500 && code <= 4599;
    this.#drop();
    if (this.#isRefused) return;
    this.#reconnect = this.at.after(() => this.connect(), asked ?? backoff(this.#tries, this.at.random));
    this.#tries += 1;
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#unanswered = 0;
    this.#retryMs = null;
    this.at.cancel(this.#watchdog);
    for (const id of this.#ids.keys()) this.#ids.set(id, false);
    if (socket) {
      socket.onmessage = socket.onclose = null;
      socket.close();
    }
    this.#become(false);
  }

  /** A sign of life; after a longer silence the socket is dead. @param {number} [silenceMs] */
  #heard(silenceMs = this.#pingMs + SILENCE_MARGIN_MS) {
    this.#heardAt = this.at.now();
    this.at.cancel(this.#watchdog);
    this.#watchdog = this.at.after(() => this.#lose(1006), silenceMs);
  }

  /** Asks for what this socket has not been asked for. */
  #subscribe() {
    let told = 0;
    for (const wasTold of this.#ids.values()) told += Number(wasTold);
    /** @type {string[]} */
    const ids = [];
    for (const [id, wasTold] of this.#ids) {
      if (wasTold || told + ids.length >= this.#maxIds) continue;
      ids.push(id);
    }
    if (!ids.length) return;
    for (const id of ids) this.#ids.set(id, true);
    this.#reference += 1;
    this.#unanswered = this.#reference;
    this.#say({ type: "subscribe", ref: this.#reference, ids });
  }

  /** @param {object} message */
  #say(message) {
    this.#socket?.send(JSON.stringify(message));
  }

  /** Later subscriptions of the same socket do not take this back. */
  #settle() {
    if (!this.#unanswered) this.#become(true);
  }

  /** @param {boolean} live */
  #become(live) {
    if (this.isLive === live) return;
    this.isLive = live;
    this.at.changed(live);
  }
}
