import { FAILED } from "./words.js";

export const MAX_REMEMBERED = 5000;
export const PREFIX = "up.upload.2.";
export const FORGOTTEN = "up.forgotten";
const MAKE_ROOM = 100;

/** @type {Attempt} */
const attempt = (work, otherwise) => {
  try {
    return work();
  } catch {
    return otherwise;
  }
};

export class Memory {
  /** @param {OpenStorage} storage */
  constructor(storage) {
    this.storage = storage;
  }

  ids() {
    const keys = attempt(() => {
      const storage = this.storage();
      return Array.from({ length: storage.length }, (_, index) => storage.key(index) ?? "");
    }, []);
    return keys.filter((key) => key.startsWith(PREFIX)).map((key) => key.slice(PREFIX.length)).sort().reverse();
  }

  /** @param {string} id */
  get(id) {
    const upload = this.#read(PREFIX + id);
    return isUpload(upload) ? upload : null;
  }

  /** @param {Upload} upload */
  keep(upload) {
    const known = this.get(upload.id);
    const text = JSON.stringify({ ...(known ? merge(known, upload) : upload), token: upload.token ?? known?.token });
    if (this.#write(upload.id, text)) return;
    for (const id of this.ids().slice(-MAKE_ROOM)) this.forget(id);
    this.#write(upload.id, text);
  }

  /** @param {Upload} upload */
  update(upload) {
    if (this.get(upload.id)) this.keep(upload);
  }

  /** @param {string} id */
  forget(id) {
    this.#remove(PREFIX + id);
  }

  tellForgotten() {
    attempt(() => this.storage().setItem(FORGOTTEN, ""));
    this.#remove(FORGOTTEN);
  }

  /** @param {string} key */
  #read(key) {
    return attempt(() => JSON.parse(this.storage().getItem(key) ?? "null"), null);
  }

  /** @param {string} id @param {string} text */
  #write(id, text) {
    return attempt(() => {
      const storage = this.storage();
      storage.setItem(PREFIX + id, text);
      return storage.length <= MAX_REMEMBERED;
    }, false);
  }

  /** @param {string} key */
  #remove(key) {
    attempt(() => this.storage().removeItem(key));
  }
}

/** @param {any} value */
function isUpload(value) {
  return typeof value?.id === "string" && typeof value.links?.self === "string" && Array.isArray(value.thumbnails);
}

export const KEY_NAME = "up.key";
const KEY_LETTERS = /^[!-~]+$/;

export class UploadKey extends EventTarget {
  /** @type {KeyNeed} */
  need = "";

  /** @param {OpenStorage} storage @param {() => void} onChange */
  constructor(storage, onChange) {
    super();
    this.storage = storage;
    this.onChange = onChange;
    this.value = attempt(() => storage().getItem(KEY_NAME), null) ?? "";
  }

  /** @returns {Record<string, string>} */
  headers() {
    return this.value ? { authorization: `Bearer ${this.value}` } : {};
  }

  /** @param {string} value */
  use(value) {
    const isKey = KEY_LETTERS.test(value);
    this.#set(isKey ? value : "", isKey ? "" : "wrong");
  }

  forget() {
    this.#set("", this.need);
  }

  /** @param {string} used */
  refuse(used) {
    if (used === this.value && !this.need) this.#set("", used ? "wrong" : "needed");
  }

  /** @param {AbortSignal} signal */
  async given(signal) {
    if (!this.need || signal.aborted) return;
    await new Promise((resolve) => {
      this.addEventListener("given", resolve, { once: true });
      signal.addEventListener("abort", resolve, { once: true });
    });
  }

  /** @param {string} value @param {KeyNeed} need */
  #set(value, need) {
    this.value = value;
    this.need = need;
    attempt(() => (value ? this.storage().setItem(KEY_NAME, value) : this.storage().removeItem(KEY_NAME)));
    if (!need) this.dispatchEvent(new Event("given"));
    this.onChange();
  }
}

export const UNDO_MS = 8000;
const DELETE_TIMEOUT_MS = 10_000;

export class Deletions {
  #environment;
  /** @type {Map<string, Deletion>} */
  #known = new Map();

  /** @param {DeletionEnvironment} environment */
  constructor(environment) {
    this.#environment = environment;
  }

  /** @param {string | undefined} id */
  get(id = "") {
    return this.#known.get(id);
  }

  /** @param {Deletable} upload */
  start(upload) {
    this.#set(upload, "soon", { timer: this.#environment.after(() => this.#send(upload), UNDO_MS) });
  }

  /** @param {Deletable} upload */
  undo(upload) {
    if (this.#stop(upload)) this.#set(upload, "kept");
  }

  sendAll() {
    for (const { step, upload } of this.#known.values()) if (step === "soon") this.#send(upload);
  }

  /** @param {Deletable} upload */
  #stop({ id }) {
    const deletion = this.#known.get(id);
    this.#environment.cancel(deletion?.timer);
    return deletion?.step === "soon";
  }

  /** @param {Deletable} upload */
  async #send(upload) {
    if (!this.#stop(upload)) return;
    this.#set(upload, "now");
    const reason = await requestDeletion(upload, this.#environment.fetch);
    this.#set(upload, reason ? "failed" : "gone", { reason });
  }

  /** @type {SetDeletion} */
  #set(upload, step, more) {
    const deletion = { step, upload, ...more };
    this.#known.set(upload.id, deletion);
    this.#environment.onChange(deletion);
  }
}

/** @param {Deletable} upload @param {typeof fetch} request */
async function requestDeletion({ links, token }, request) {
  try {
    const headers = { accept: "application/json", authorization: `Bearer ${token}` };
    const answer = await request(links.self, { method: "DELETE", headers, keepalive: true, redirect: "manual", signal: AbortSignal.timeout(DELETE_TIMEOUT_MS) });
    if (answer.status === 204) return "";
    if (answer.status === 401 || answer.status === 403) return FAILED.noPermission;
    return (await answer.json().catch(() => null))?.title ?? FAILED.server;
  } catch {
    return FAILED.unreachable;
  }
}

export const KEY = "up.unsent.1";

export class Unsent {
  /** @param {OpenStorage} tab @param {OpenStorage} shared */
  constructor(tab, shared) {
    this.tab = tab;
    this.shared = shared;
    /** @type {UnsentFile[]} */
    this.left = [];
  }

  take() {
    const keys = new Set();
    this.left = [...read(this.tab), ...read(this.shared)].filter(({ key }) => !keys.has(key) && keys.add(key));
    write(this.shared, []);
  }

  /** @param {UnsentFile[]} current @param {boolean} isLeaving */
  keep(current, isLeaving) {
    const all = [...this.left, ...current];
    write(this.tab, all);
    const own = new Set(all.map(({ key }) => key));
    const others = read(this.shared).filter(({ key }) => !own.has(key));
    write(this.shared, isLeaving ? [...others, ...all] : others);
  }

  /** @param {UnsentFile} file */
  claim({ name, bytes, modified, key }) {
    const sameName = this.left.filter((other) => other.name === name);
    const same = sameName.find((other) => other.bytes === bytes && other.modified === modified);
    const claimed = same ?? sameName[0];
    this.left = this.left.filter((other) => other !== claimed);
    return same?.key ?? key;
  }
}

/** @param {OpenStorage} storage */
function read(storage) {
  const stored = attempt(() => JSON.parse(storage().getItem(KEY) ?? "[]"));
  return Array.isArray(stored) ? stored.filter((file) => typeof file?.name === "string" && typeof file.key === "string") : [];
}

/** @param {OpenStorage} storage @param {UnsentFile[]} files */
function write(storage, files) {
  attempt(() => (files.length ? storage().setItem(KEY, JSON.stringify(files)) : storage().removeItem(KEY)));
}

/** @type {Revision["state"][]} */
const RANK = ["queued", "processing", "failed", "ready", "gone"];

/** @param {Revision} upload */
export const isGone = ({ state }) => state === "gone";

/** @param {Revision} a @param {Revision} b */
export function compare(a, b) {
  return Number(isGone(a)) - Number(isGone(b)) || a.gen - b.gen || RANK.indexOf(a.state) - RANK.indexOf(b.state);
}

/** @type {Merge} */
export const merge = (a, b) => (compare(b, a) > 0 ? b : a);

/** @param {Revision} upload */
export function isFinal({ state }) {
  return RANK.indexOf(state) > 1;
}
