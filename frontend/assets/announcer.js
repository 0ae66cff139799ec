export const COLLECT_MS = 1000;

export class Announcer {
  #environment;
  #added = 0;
  /** @type {string[]} */
  #ready = [];
  /** @type {string[]} */
  #sentences = [];
  #end = "";
  #isCollecting = false;

  /** @param {AnnouncerEnvironment} environment */
  constructor(environment) {
    this.#environment = environment;
  }

  /** @param {number} count */
  added(count) {
    this.#added += count;
    this.#collect();
  }

  /** @param {string} name */
  ready(name) {
    this.#ready.push(name);
    this.#collect();
  }

  /** @param {string} sentence said last */
  ended(sentence) {
    this.#end = sentence;
    this.#collect();
  }

  /** @param {string} sentence */
  note(sentence) {
    if (!this.#sentences.includes(sentence)) this.#sentences.push(sentence);
    this.#collect();
  }

  #collect() {
    if (this.#isCollecting) return;
    this.#isCollecting = true;
    this.#environment.after(() => this.#announce(), COLLECT_MS);
  }

  #announce() {
    this.#isCollecting = false;
    const sentences = [];
    if (this.#added) sentences.push(`${this.#added} ${this.#added === 1 ? "picture" : "pictures"} added.`);
    sentences.push(...this.#sentences);
    const [first, ...others] = this.#ready;
    if (first !== undefined) {
      const { ready, total } = this.#environment.count();
      sentences.push(others.length ? `${first} and ${others.length} more ready.` : `${first} ready.`);
      if (this.#end) sentences.push(this.#end);
      else if (ready < total) sentences.push(`${ready} of ${total}.`);
      else if (total > 1) sentences.push(`All ${total} ready.`);
    } else if (this.#end) sentences.push(this.#end);
    this.#end = "";
    this.#added = 0;
    this.#ready = [];
    this.#sentences = [];
    this.#environment.announce(sentences.join(" "));
  }
}
