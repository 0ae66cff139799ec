/** The merge rule: the revision with the greater `(gen, rank)` is later, and `gone` is later than all. */

/** @type {Revision["state"][]} */
const RANK = ["queued", "processing", "failed", "ready", "gone"];

/** @param {Revision} upload */
export const isGone = ({ state }) => state === "gone";

/**
 * @param {Revision} a
 * @param {Revision} b
 * @returns {number} above zero if `a` is later
 */
export function compare(a, b) {
  return Number(isGone(a)) - Number(isGone(b)) || a.gen - b.gen || RANK.indexOf(a.state) - RANK.indexOf(b.state);
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
  return RANK.indexOf(state) > 1;
}
