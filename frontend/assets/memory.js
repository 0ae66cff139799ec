import { merge } from "./merge.js";

export const MAX_REMEMBERED = 5000;
export const PREFIX = "up.upload.2.";
export const FORGOTTEN = "up.forgotten";
const OLD_KEY = "up.uploads.1";
const MAKE_ROOM = 100;

export class Memory {
  /** @param {OpenStorage} storage */
  constructor(storage) {
    this.storage = storage;
    const old = this.#read(OLD_KEY);
    if (!Array.isArray(old)) return;
    for (const upload of old.filter(isUpload)) this.keep(upload);
    this.#remove(OLD_KEY);
  }

  /** @returns {string[]} newest first */
  ids() {
    try {
      const storage = this.storage();
      const keys = Array.from({ length: storage.length }, (_, index) => storage.key(index) ?? "");
      return keys.filter((key) => key.startsWith(PREFIX)).map((key) => key.slice(PREFIX.length)).sort().reverse();
    } catch {
      return [];
    }
  }

  /** @param {string} id @returns {Upload | null} */
  get(id) {
    const upload = this.#read(PREFIX + id);
    return isUpload(upload) ? upload : null;
  }

  /** @param {Upload} upload */
  keep(upload) {
    const known = this.get(upload.id);
    const text = JSON.stringify(known ? merge(known, upload) : upload);
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
    try {
      this.storage().setItem(FORGOTTEN, "");
      this.storage().removeItem(FORGOTTEN);
    } catch {
      // Forbidden: nothing is shared.
    }
  }

  /** @param {string} key */
  #read(key) {
    try {
      return JSON.parse(this.storage().getItem(key) ?? "null");
    } catch {
      return null;
    }
  }

  /** @param {string} id @param {string} text @returns {boolean} false if storage is full */
  #write(id, text) {
    try {
      const storage = this.storage();
      storage.setItem(PREFIX + id, text);
      return storage.length <= MAX_REMEMBERED;
    } catch {
      return false;
    }
  }

  /** @param {string} key */
  #remove(key) {
    try {
      this.storage().removeItem(key);
    } catch {
      // Forbidden: the page works without.
    }
  }
}

/** @param {any} value */
function isUpload(value) {
  return typeof value?.id === "string" && typeof value.links?.self === "string" && Array.isArray(value.thumbnails);
}

export const KEY = "up.unsent.1";

export class Unsent {
  /** @param {OpenStorage} tab survives a reload @param {OpenStorage} shared survives closing the tab */
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

  /** @param {UnsentFile[]} current @param {boolean} isLeaving the page may be closed for good */
  keep(current, isLeaving) {
    const all = [...this.left, ...current];
    write(this.tab, all);
    const own = new Set(all.map(({ key }) => key));
    const others = read(this.shared).filter(({ key }) => !own.has(key));
    write(this.shared, isLeaving ? [...others, ...all] : others);
  }

  /** @param {UnsentFile} file @returns {string} its key */
  claim({ name, bytes, modified, key }) {
    const sameName = this.left.filter((other) => other.name === name);
    const same = sameName.find((other) => other.bytes === bytes && other.modified === modified);
    const claimed = same ?? sameName[0];
    this.left = this.left.filter((other) => other !== claimed);
    return same?.key ?? key;
  }
}

/** @param {OpenStorage} storage @returns {UnsentFile[]} */
function read(storage) {
  try {
    const stored = JSON.parse(storage().getItem(KEY) ?? "[]");
    return Array.isArray(stored) ? stored.filter((file) => typeof file?.name === "string" && typeof file.key === "string") : [];
  } catch {
    return [];
  }
}

/** @param {OpenStorage} storage @param {UnsentFile[]} files */
function write(storage, files) {
  try {
    if (files.length) storage().setItem(KEY, JSON.stringify(files));
    else storage().removeItem(KEY);
  } catch {
    // Full or forbidden: the page works without.
  }
}
