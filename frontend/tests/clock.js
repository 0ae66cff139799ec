/** Helpers of the unit tests: a clock that tests advance by hand, and an upload. */
export class Clock {
  time = 0;
  #next = 1;
  /** @type {Map<number, {at: number, callback: () => void}>} */
  #timers = new Map();

  now = () => this.time;
  after = (callback, ms) => {
    const timer = this.#next++;
    this.#timers.set(timer, { at: this.time + ms, callback });
    return timer;
  };
  cancel = (timer) => this.#timers.delete(timer);

  get waiting() {
    return this.#timers.size;
  }

  /** Advances the time; promises settle between timers. @param {number} ms */
  async pass(ms) {
    const end = this.time + ms;
    await settle();
    for (;;) {
      const due = [...this.#timers].filter(([, { at }]) => at <= end).sort((a, b) => a[1].at - b[1].at || a[0] - b[0])[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.time = due[1].at;
      due[1].callback();
      await settle();
    }
    this.time = end;
  }
}

/** Lets pending promises settle. */
export async function settle() {
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
}

/** An upload as the server sends it. */
export function upload(id, state = "queued", gen = 1) {
  return { id, gen, state, name: `${id}.jpg`, format: "jpeg", bytes: 1000, width: 4, height: 3, created_at: "2026-11-24T06:00:00Z", thumbnails: [], links: { self: `/uploads/${id}`, original: "", events: "" } };
}
