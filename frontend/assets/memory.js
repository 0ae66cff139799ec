import { merge } from "./merge.js";

export const MAX_REMEMBERED = 5000;
export const PREFIX = "up.upload.2.";
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
