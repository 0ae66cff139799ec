/** The merge rule: the revision with the greater `(gen, rank)` is later. */

/** @type {State[]} */
const RANK = ["queued", "processing", "failed", "ready"];

/**
 * @param {Revision} a
 * @param {Revision} b
 * @returns {number} above zero if `a` is later
 */
export function compare(a, b) {
  return a.gen - b.gen || RANK.indexOf(a.state) - RANK.indexOf(b.state);
}

/**
 * Idempotent, commutative and associative.
 * @template {Revision} T
 * @param {T} a
 * @param {T} b
 * @returns {T}
 */
export function merge(a, b) {
  return compare(b, a) > 0 ? b : a;
}

/** @param {Revision} upload */
export function isFinal({ state }) {
  return state === "ready" || state === "failed";
}
