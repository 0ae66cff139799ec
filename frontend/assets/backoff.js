// @ts-check

/** The first wait at most, in milliseconds; it doubles from there. */
const FIRST_MS = 500;
/** The longest wait, in milliseconds. */
const LONGEST_MS = 30_000;

/**
 * How long to wait before the next try: full jitter, so that a thousand pages do not come back at once.
 * @param {number} tries how many have failed so far
 * @param {() => number} random from 0 to 1
 * @returns {number} milliseconds
 */
export function backoff(tries, random) {
  return random() * Math.min(LONGEST_MS, FIRST_MS * 2 ** tries);
}
