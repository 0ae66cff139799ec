/** What the live region says: a burst becomes one sentence. */

/** How long a burst is gathered. */
export const GATHER_MS = 1000;

export class Announcer {
  #added = 0;
  /** @type {string[]} */
  #ready = [];
  /** @type {string[]} */
  #sentences = [];
  #isGathering = false;

  /** @param {AnnouncerSurroundings} surroundings */
  constructor(surroundings) {
    this.at = surroundings;
  }

  /** @param {number} count */
  added(count) {
    this.#added += count;
    this.#gather();
  }

  /** @param {string} name */
  ready(name) {
    this.#ready.push(name);
    this.#gather();
  }

  /** @param {string} sentence */
  note(sentence) {
    if (!this.#sentences.includes(sentence)) this.#sentences.push(sentence);
    this.#gather();
  }

  #gather() {
    if (this.#isGathering) return;
    this.#isGathering = true;
    this.at.after(() => this.#speak(), GATHER_MS);
  }

  #speak() {
    this.#isGathering = false;
    const said = [];
    if (this.#added) said.push(`${this.#added} ${this.#added === 1 ? "picture" : "pictures"} added.`);
    said.push(...this.#sentences);
    const [first, ...others] = this.#ready;
    if (first !== undefined) {
      const { ready, total } = this.at.count();
      said.push(others.length ? `${first} and ${others.length} more ready.` : `${first} ready.`);
      if (ready < total) said.push(`${ready} of ${total}.`);
      else if (total > 1) said.push(`All ${total} ready.`);
    }
    this.#added = 0;
    this.#ready = [];
    this.#sentences = [];
    this.at.say(said.join(" "));
  }
}
