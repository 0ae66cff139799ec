import { test } from "node:test";
import assert from "node:assert/strict";
import { KEY, MAX_REMEMBERED, Memory } from "../assets/memory.js";
import { upload } from "./clock.js";

function storage() {
  const kept = new Map();
  return { kept, getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key) };
}

const ids = (memory) => memory.all().map(({ id }) => id);

test("the newest comes first, and the oldest are forgotten", () => {
  const memory = new Memory(storage);
  const place = storage();
  const bounded = new Memory(() => place);
  assert.deepEqual(memory.all(), []);
  for (let i = 0; i < MAX_REMEMBERED + 5; i += 1) bounded.keep(upload(`u${i}`));
  assert.equal(bounded.all().length, MAX_REMEMBERED);
  assert.equal(ids(bounded)[0], `u${MAX_REMEMBERED + 4}`);
  assert.equal(ids(bounded).at(-1), "u5");
});

test("a later state takes the place of an earlier one, never the reverse", () => {
  const place = storage();
  const memory = new Memory(() => place);
  memory.keep(upload("a"));
  memory.keep(upload("b"));
  memory.update(upload("a", "ready"));
  memory.update(upload("a", "processing"));
  assert.deepEqual(memory.all().map(({ id, state }) => [id, state]), [["b", "queued"], ["a", "ready"]]);
});

test("two tabs share it, and what one forgot the other does not bring back", () => {
  const place = storage();
  const [one, other] = [new Memory(() => place), new Memory(() => place)];
  one.keep(upload("a"));
  other.keep(upload("b"));
  assert.deepEqual(ids(one), ["b", "a"]);
  one.forget("a");
  other.update(upload("a", "ready"));
  assert.deepEqual(ids(other), ["b"]);
  one.forget("b");
  assert.equal(place.kept.has(KEY), false);
});

test("the page works where nothing can be kept, and with nonsense in the store", () => {
  const memory = new Memory(() => {
    throw new Error("forbidden");
  });
  memory.keep(upload("a"));
  memory.forget("a");
  assert.deepEqual(memory.all(), []);
  for (const nonsense of ["{", "7", '{"a":1}', '[null,7,{"id":"a"}]']) {
    const place = storage();
    place.kept.set(KEY, nonsense);
    assert.deepEqual(new Memory(() => place).all(), []);
  }
});
