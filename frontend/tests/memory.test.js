import { test } from "node:test";
import assert from "node:assert/strict";
import { KEY, MAX_REMEMBERED, Memory } from "../assets/memory.js";
import { upload } from "./clock.js";

function storage() {
  const values = new Map();
  return { values, getItem: (key) => values.get(key) ?? null, setItem: (key, value) => values.set(key, value), removeItem: (key) => values.delete(key) };
}

const ids = (memory) => memory.all().map(({ id }) => id);

test("uploads are listed newest first, and the oldest beyond the limit are forgotten", () => {
  const memory = new Memory(storage);
  const shared = storage();
  const bounded = new Memory(() => shared);
  assert.deepEqual(memory.all(), []);
  for (let i = 0; i < MAX_REMEMBERED + 5; i += 1) bounded.keep(upload(`u${i}`));
  assert.equal(bounded.all().length, MAX_REMEMBERED);
  assert.equal(ids(bounded)[0], `u${MAX_REMEMBERED + 4}`);
  assert.equal(ids(bounded).at(-1), "u5");
});

test("a later revision replaces an earlier one, never the reverse", () => {
  const shared = storage();
  const memory = new Memory(() => shared);
  memory.keep(upload("a"));
  memory.keep(upload("b"));
  memory.update(upload("a", "ready"));
  memory.update(upload("a", "processing"));
  assert.deepEqual(memory.all().map(({ id, state }) => [id, state]), [["b", "queued"], ["a", "ready"]]);
});

test("two tabs share the list, and neither restores an upload that the other forgot", () => {
  const shared = storage();
  const [one, other] = [new Memory(() => shared), new Memory(() => shared)];
  one.keep(upload("a"));
  other.keep(upload("b"));
  assert.deepEqual(ids(one), ["b", "a"]);
  one.forget("a");
  other.update(upload("a", "ready"));
  assert.deepEqual(ids(other), ["b"]);
  one.forget("b");
  assert.equal(shared.values.has(KEY), false);
});

test("forbidden storage and invalid content count as an empty list", () => {
  const memory = new Memory(() => {
    throw new Error("forbidden");
  });
  memory.keep(upload("a"));
  memory.forget("a");
  assert.deepEqual(memory.all(), []);
  for (const invalid of ["{", "7", '{"a":1}', '[null,7,{"id":"a"}]']) {
    const shared = storage();
    shared.values.set(KEY, invalid);
    assert.deepEqual(new Memory(() => shared).all(), []);
  }
});
