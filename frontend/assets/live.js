import { isFinal } from "./memory.js";

const STABLE_AFTER_MS = 30_000;
const SILENCE_MARGIN_MS = 10_000;
const DEFAULT_PING_MS = 25_000;
const WELCOME_WITHIN_MS = 10_000;
const STALE_CONNECT_MS = 2000;
const DEFAULT_MAX_IDS = 500;
const RESTART_CODES = [1012, 1013];
const LOST_CODE = 1006;
const TURN_MS = 5000;

export class Live {
  #environment;
  /** @type {SocketLike | null} */
  #socket = null;
  /** @type {Map<string, boolean>} */
  #ids = new Map();
  #failures = 0;
  #reference = 0;
  #awaited = 0;
  #openedAt = 0;
  #receivedAt = 0;
  #pingMs = DEFAULT_PING_MS;
  #maxIds = DEFAULT_MAX_IDS;
  /** @type {number | null} */
  #retryMs = null;
  #isRefused = false;
  #reconnectTimer = 0;
  #watchdog = 0;
  #turnTimer = 0;

  /** @param {LiveEnvironment} environment */
  constructor(environment) {
    this.#environment = environment;
    this.isLive = false;
  }

  connect() {
    this.#environment.cancel(this.#reconnectTimer);
    if (this.#socket || this.#isRefused) return;
    const socket = this.#environment.open();
    this.#socket = socket;
    this.#openedAt = this.#environment.now();
    socket.onmessage = (event) => {
      if (socket === this.#socket) this.#receive(event.data);
    };
    socket.onclose = (event) => {
      if (socket === this.#socket) this.#reconnectAfter(event.code);
    };
    this.#restartWatchdog(WELCOME_WITHIN_MS);
  }

  /** @param {string} id */
  subscribe(id) {
    if (this.#ids.has(id)) return;
    this.#ids.set(id, false);
    if (this.isLive || this.#awaited) this.#sendSubscriptions();
  }

  /** @param {string} id */
  unsubscribe(id) {
    const wasSent = this.#ids.get(id);
    this.#ids.delete(id);
    if (!wasSent) return;
    this.#send({ type: "unsubscribe", ids: [id] });
    this.#sendSubscriptions();
  }

  wake() {
    const silenceMs = this.#environment.now() - this.#receivedAt;
    if (this.#socket && silenceMs < (this.isLive ? this.#pingMs + SILENCE_MARGIN_MS : STALE_CONNECT_MS)) return;
    this.#failures = 0;
    this.#discard();
    this.connect();
  }

  assumeLost() {
    if (this.#socket) this.#reconnectAfter(LOST_CODE);
  }

  close() {
    this.#environment.cancel(this.#reconnectTimer);
    this.#discard();
  }

  /** @param {string} text */
  #receive(text) {
    this.#restartWatchdog();
    const message = JSON.parse(text);
    switch (message.type) {
      case "welcome":
        this.#pingMs = message.ping_ms ?? DEFAULT_PING_MS;
        this.#maxIds = message.max_ids ?? DEFAULT_MAX_IDS;
        this.#restartWatchdog();
        this.#sendSubscriptions();
        this.#checkLive();
        break;
      case "snapshot":
        for (const id of message.unknown ?? []) {
          this.#ids.delete(id);
          this.#environment.onUnknown(id);
        }
        for (const upload of message.uploads ?? []) this.#environment.onUpload(upload);
        this.#acknowledge(message.ref);
        break;
      case "thumbnail-ready":
      case "upload-changed":
      case "upload-failed":
      case "upload-gone":
        this.#environment.onUpload(message.upload);
        break;
      case "ping":
        this.#send({ type: "pong", t: message.t });
        break;
      case "error":
        this.#acknowledge(message.ref);
        break;
      case "bye":
        this.#retryMs = message.retry_ms ?? null;
        break;
    }
  }

  /** @param {number} [reference] */
  #acknowledge(reference) {
    if (reference === this.#awaited) this.#awaited = 0;
    this.#checkLive();
  }

  /** @param {number} code */
  #reconnectAfter(code) {
    if (this.#environment.now() - this.#openedAt >= STABLE_AFTER_MS) this.#failures = 0;
    const delayMs = RESTART_CODES.includes(code) ? this.#retryMs : null;
    this.#isRefused = code >= 4500 && code <= 4599;
    this.#discard();
    if (this.#isRefused) return;
    const { after, random } = this.#environment;
    this.#reconnectTimer = after(() => this.connect(), delayMs ?? backoff(this.#failures, random));
    this.#failures += 1;
  }

  #discard() {
    const socket = this.#socket;
    this.#socket = null;
    this.#awaited = 0;
    this.#retryMs = null;
    this.#environment.cancel(this.#watchdog);
    this.#environment.cancel(this.#turnTimer);
    for (const id of this.#ids.keys()) this.#ids.set(id, false);
    if (socket) {
      socket.onmessage = socket.onclose = null;
      socket.close();
    }
    this.#setLive(false);
  }

  #restartWatchdog(silenceMs = this.#pingMs + SILENCE_MARGIN_MS) {
    const { now, after, cancel } = this.#environment;
    this.#receivedAt = now();
    cancel(this.#watchdog);
    this.#watchdog = after(() => this.#reconnectAfter(LOST_CODE), silenceMs);
  }

  #sendSubscriptions() {
    let sent = 0;
    for (const wasSent of this.#ids.values()) sent += Number(wasSent);
    /** @type {string[]} */
    const ids = [];
    for (const [id, wasSent] of this.#ids) {
      if (wasSent || sent + ids.length >= this.#maxIds) continue;
      ids.push(id);
    }
    this.#environment.cancel(this.#turnTimer);
    if (sent + ids.length < this.#ids.size) this.#turnTimer = this.#environment.after(() => this.#takeTurns(), TURN_MS);
    if (!ids.length) return;
    for (const id of ids) this.#ids.set(id, true);
    this.#reference += 1;
    this.#awaited = this.#reference;
    this.#send({ type: "subscribe", ref: this.#reference, ids });
  }

  #takeTurns() {
    const sent = [...this.#ids].filter(([, wasSent]) => wasSent).map(([id]) => id);
    const ids = sent.slice(0, this.#ids.size - sent.length);
    if (!ids.length) return;
    for (const id of ids) {
      this.#ids.delete(id);
      this.#ids.set(id, false);
    }
    this.#send({ type: "unsubscribe", ids });
    this.#sendSubscriptions();
  }

  /** @param {object} message */
  #send(message) {
    if ((this.#socket?.readyState ?? 1) < 2) this.#socket?.send(JSON.stringify(message));
  }

  #checkLive() {
    if (!this.#awaited) this.#setLive(true);
  }

  /** @param {boolean} isLive */
  #setLive(isLive) {
    if (this.isLive === isLive) return;
    this.isLive = isLive;
    this.#environment.onLiveChange(isLive);
  }
}

export const POLL_AFTER_MS = 2000;

export class Fallback {
  #environment;
  #pollTimer = 0;
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

  /** @param {Followed} upload */
  subscribe(upload) {
    const { live, poller } = this.#environment;
    poller.subscribe(upload.id, upload.links.self, isFinal(upload));
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
      this.#pollTimer = 0;
      this.#mayPoll = false;
      poller.stop();
      return this.#setLevel("live");
    }
    this.#pollTimer ||= after(() => {
      this.#mayPoll = true;
      this.update();
    }, POLL_AFTER_MS);
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

export const POLL_MS = 2000;
export const POLL_FINAL_MS = 60_000;
const JITTER = 0.1;

export class Poller {
  #environment;
  /** @type {Map<string, {url: string, isFinal: boolean}>} */
  #uploads = new Map();
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

  /** @param {string} id @param {string} url @param {boolean} isFinal */
  subscribe(id, url, isFinal) {
    if (this.#uploads.get(id)?.isFinal === isFinal) return;
    this.#uploads.set(id, { url, isFinal });
    if (this.#running) this.#schedule(id, this.#running.signal);
  }

  /** @param {string} id */
  unsubscribe(id) {
    this.#uploads.delete(id);
    this.#environment.cancel(this.#timers.get(id));
    this.#timers.delete(id);
  }

  start() {
    if (this.#running) return;
    this.#running = new AbortController();
    const { signal } = this.#running;
    for (const [id, { isFinal }] of this.#uploads) {
      if (isFinal) this.#schedule(id, signal);
      else this.#poll(id, signal);
    }
  }

  stop() {
    this.#running?.abort();
    this.#running = null;
    for (const timer of this.#timers.values()) this.#environment.cancel(timer);
    this.#timers.clear();
  }

  /** @param {string} id @param {AbortSignal} signal */
  #schedule(id, signal) {
    const { after, cancel, random } = this.#environment;
    cancel(this.#timers.get(id));
    const delayMs = (this.#uploads.get(id)?.isFinal ? POLL_FINAL_MS : POLL_MS) * (1 + JITTER * (2 * random() - 1));
    this.#timers.set(id, after(() => this.#poll(id, signal), delayMs));
  }

  /** @param {string} id @param {AbortSignal} signal */
  async #poll(id, signal) {
    if (!this.#uploads.has(id)) return;
    await this.#request(id, signal).catch(() => {});
    if (this.#uploads.has(id) && !signal.aborted) this.#schedule(id, signal);
  }

  /** @param {string} id @param {AbortSignal} signal */
  async #request(id, signal) {
    const { fetch, onUnknown, onUpload } = this.#environment;
    const { url, isFinal } = /** @type {{url: string, isFinal: boolean}} */ (this.#uploads.get(id));
    if (!isFinal) {
      const { status, headers } = await fetch(`${url}/small`, { signal });
      if (signal.aborted) return;
      if (status === 404 && !headers.has("retry-after")) return onUnknown(id);
      if (status !== 200 && status !== 410) return;
    }
    const upload = await fetch(url, { headers: { accept: "application/json" }, signal });
    if (signal.aborted) return;
    if (upload.status === 200) onUpload(await upload.json());
    else if (upload.status === 404) onUnknown(id);
    else if (upload.status === 410) onUpload({ id, gen: 0, state: "gone" });
  }
}

const FIRST_MS = 500;
const LONGEST_MS = 30_000;

/** @type {Backoff} */
export const backoff = (failures, random) => {
  return random() * Math.min(LONGEST_MS, FIRST_MS * 2 ** failures);
};
