/** Exponential backoff with full jitter, so that many pages do not reconnect at once. */

const FIRST_MS = 500;
const LONGEST_MS = 30_000;

/**
 * @param {number} failures before this retry
 * @param {Random} random
 * @returns {Milliseconds}
 */
export function backoff(failures, random) {
  return random() * Math.min(LONGEST_MS, FIRST_MS * 2 ** failures);
}
