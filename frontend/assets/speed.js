/** How fast a file goes up, over the last moments only. */

/** How long back it looks, in milliseconds: steady enough to read, quick enough to be true. */
const LOOK_BACK_MS = 4000;
/** Before this much time a speed is a guess, in milliseconds. */
const AT_LEAST_MS = 300;

export class Speedometer {
  /** @type {{at: number, bytes: number}[]} */
  #marks = [];

  /** @param {() => number} now milliseconds */
  constructor(now) {
    this.now = now;
    this.#marks.push({ at: now(), bytes: 0 });
  }

  /** @param {number} bytes sent so far @returns {number} bytes a second; 0 while unknown */
  read(bytes) {
    const at = this.now();
    this.#marks.push({ at, bytes });
    while (this.#marks.length > 2 && at - (this.#marks[1]?.at ?? at) > LOOK_BACK_MS) this.#marks.shift();
    const first = this.#marks[0];
    if (!first || at - first.at < AT_LEAST_MS) return 0;
    return ((bytes - first.bytes) / (at - first.at)) * 1000;
  }
}
