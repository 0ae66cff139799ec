import { merge } from "./merge.js";

/** About 1 kB each; browsers allow 5 MB. */
export const MAX_REMEMBERED = 60;
/** The number changes with the format. */
export const KEY = "up.uploads.1";

export class Memory {
  /** @param {OpenStorage} storage */
  constructor(storage) {
    this.storage = storage;
  }

  /** @returns {Upload[]} newest first */
  all() {
    try {
      const stored = JSON.parse(this.storage().getItem(KEY) ?? "[]");
      return Array.isArray(stored) ? stored.filter(isUpload) : [];
    } catch {
      return [];
    }
  }

  /** @param {Upload} upload */
  keep(upload) {
    const all = this.all();
    const index = all.findIndex((other) => other.id === upload.id);
    if (index < 0) all.unshift(upload);
    else all[index] = merge(/** @type {Upload} */ (all[index]), upload);
    this.#write(all.slice(0, MAX_REMEMBERED));
  }

  /** Another tab may have forgotten it. @param {Upload} upload */
  update(upload) {
    if (this.all().some((other) => other.id === upload.id)) this.keep(upload);
  }

  /** @param {string} id */
  forget(id) {
    this.#write(this.all().filter((upload) => upload.id !== id));
  }

  /** @param {Upload[]} uploads */
  #write(uploads) {
    try {
      if (uploads.length) this.storage().setItem(KEY, JSON.stringify(uploads));
      else this.storage().removeItem(KEY);
    } catch {
      // Full or forbidden: the page works without.
    }
  }
}

/** @param {any} value */
function isUpload(value) {
  return typeof value?.id === "string" && typeof value.links?.self === "string" && Array.isArray(value.thumbnails);
}
