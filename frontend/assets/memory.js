/** What this browser remembers of its uploads: the newest first, bounded, shared by its tabs. */

import { merge } from "./merge.js";

/** One takes about a kilobyte, of five thousand that there are. */
export const MAX_REMEMBERED = 60;
/** The number counts incompatible forms. */
export const KEY = "up.uploads.1";

export class Memory {
  /** @param {() => Pick<Storage, "getItem" | "setItem" | "removeItem">} storage throws where it is forbidden */
  constructor(storage) {
    this.storage = storage;
  }

  /** @returns {Upload[]} */
  all() {
    try {
      const kept = JSON.parse(this.storage().getItem(KEY) ?? "[]");
      return Array.isArray(kept) ? kept.filter(isUpload) : [];
    } catch {
      return [];
    }
  }

  /** @param {Upload} upload */
  keep(upload) {
    const all = this.all();
    const at = all.findIndex((other) => other.id === upload.id);
    if (at < 0) all.unshift(upload);
    else all[at] = merge(/** @type {Upload} */ (all[at]), upload);
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
