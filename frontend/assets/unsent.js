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
