/** The wait before the next try: full jitter, so that many pages do not come back at once. */

const FIRST_MS = 500;
const LONGEST_MS = 30_000;

/**
 * @param {number} tries that failed
 * @param {() => number} random
 */
export function backoff(tries, random) {
  return random() * Math.min(LONGEST_MS, FIRST_MS * 2 ** tries);
}
