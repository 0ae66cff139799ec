/** How long to wait before the next try: full jitter, so that many pages do not come back at once. */

/** The bound of the first wait, in milliseconds. */
const FIRST_MS = 500;
/** The bound of every wait, in milliseconds. */
const LONGEST_MS = 30_000;

/**
 * @param {number} tries how many have failed before
 * @param {() => number} random from 0 up to 1
 * @returns {number} milliseconds
 */
export function backoff(tries, random) {
  return random() * Math.min(LONGEST_MS, FIRST_MS * 2 ** tries);
}
