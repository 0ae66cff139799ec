// Ends of a test: the last one first, each of them whatever the others did, and none for ever.

/** More than a program may take to end, to be killed, and to leave nothing behind. */
const ENDS_WITHIN_MS = 40_000;

/** @type {WeakMap<object, (() => unknown)[]>} */
const lists = new WeakMap();

/** Runs `end` after the test. A directory that is made before a process starts is removed after the process has ended. */
export function atEnd(t, end) {
  const ends = lists.get(t) ?? [];
  if (!ends.length) {
    lists.set(t, ends);
    t.after(() => runEnds(ends));
  }
  ends.push(end);
}

/** Runs all of them in reverse, and throws what failed. */
export async function runEnds(ends) {
  const errors = [];
  for (const end of [...ends].reverse()) {
    try {
      await within(ENDS_WITHIN_MS, Promise.resolve().then(end), "An end of a test");
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length) throw errors.length === 1 ? errors[0] : new AggregateError(errors, errors.map(String).join("\n"));
}

/** The result of a promise, or an error after its deadline. */
export async function within(ms, promise, what) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`${what} took longer than ${ms} ms.`)), ms)));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
