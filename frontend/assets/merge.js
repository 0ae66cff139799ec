/** The merge rule: of two states of one upload, the greater `(gen, rank)` is the later one. */

/** @typedef {"queued" | "processing" | "failed" | "ready"} State */
/**
 * @typedef {object} Thumbnail
 * @property {string} size
 * @property {number} width
 * @property {number} height
 * @property {number} bytes
 * @property {string} url
 */
/**
 * An upload, whole, as every message carries it.
 * @typedef {object} Upload
 * @property {string} id
 * @property {number} gen
 * @property {State} state
 * @property {string} name
 * @property {string} format
 * @property {number} bytes
 * @property {number} width
 * @property {number} height
 * @property {string} created_at
 * @property {string} [ended_at]
 * @property {string} [thumbhash]
 * @property {Thumbnail[]} thumbnails
 * @property {{type: string, title: string}} [error]
 * @property {{self: string, original: string, events: string}} links
 */
/** @typedef {{gen: number, state: State}} Standing */

/** `ready` outranks `failed`: should both be announced, the pictures are there. @type {State[]} */
const RANK = ["queued", "processing", "failed", "ready"];

/**
 * @param {Standing} a
 * @param {Standing} b
 * @returns {number} above zero if `a` is later, below if `b` is, zero if they stand equal
 */
export function compare(a, b) {
  return a.gen - b.gen || RANK.indexOf(a.state) - RANK.indexOf(b.state);
}

/**
 * Idempotent, commutative and associative, so loss, repetition and reordering are harmless.
 * @template {Standing} T
 * @param {T} a
 * @param {T} b
 * @returns {T}
 */
export function merge(a, b) {
  return compare(b, a) > 0 ? b : a;
}

/** Whether nothing more happens by itself. @param {Standing} upload */
export function isFinal({ state }) {
  return state === "ready" || state === "failed";
}
