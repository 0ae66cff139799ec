/** The merge rule: of two states of one upload, the greater `(gen, rank)` is the later one. */

/** @type {State[]} */
const RANK = ["queued", "processing", "failed", "ready"];

/**
 * @param {Standing} a
 * @param {Standing} b
 * @returns {number} above zero if `a` is later
 */
export function compare(a, b) {
  return a.gen - b.gen || RANK.indexOf(a.state) - RANK.indexOf(b.state);
}

/**
 * Idempotent, commutative and associative.
 * @template {Standing} T
 * @param {T} a
 * @param {T} b
 * @returns {T}
 */
export function merge(a, b) {
  return compare(b, a) > 0 ? b : a;
}

/** @param {Standing} upload */
export function isFinal({ state }) {
  return state === "ready" || state === "failed";
}
