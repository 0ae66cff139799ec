export const MAX_RUNNING = 3;

/** @template T */
export class Queue {
  /** @type {T[]} */
  #waiting = [];
  #running = 0;
  #isPaused = false;

  /** @param {(item: T) => Promise<void>} run @param {number} [most] */
  constructor(run, most = MAX_RUNNING) {
    this.run = run;
    this.most = most;
  }

  /** @param {T} item */
  add(item) {
    this.#waiting.push(item);
    this.#fill();
  }

  /** @param {T} item */
  remove(item) {
    this.#waiting = this.#waiting.filter((other) => other !== item);
  }

  pause() {
    this.#isPaused = true;
  }

  resume() {
    this.#isPaused = false;
    this.#fill();
  }

  #fill() {
    while (!this.#isPaused && this.#running < this.most) {
      const item = this.#waiting.shift();
      if (item === undefined) return;
      this.#running += 1;
      const done = () => {
        this.#running -= 1;
        this.#fill();
      };
      this.run(item).then(done, (error) => {
        done();
        throw error;
      });
    }
  }
}
