import { test } from "node:test";
import assert from "node:assert/strict";
import { MAX_REMEMBERED, Memory, PREFIX } from "../assets/memory.js";
import { upload } from "./clock.js";

function storage(capacity = Infinity) {
  const values = new Map();
  return {
    values,
    get length() {
      return values.size;
    },
    key: (index) => [...values.keys()][index] ?? null,
    getItem: (key) => values.get(key) ?? null,
    setItem(key, value) {
      if (!values.has(key) && values.size >= capacity) throw new Error("QuotaExceededError");
      values.set(key, value);
    },
    removeItem: (key) => values.delete(key),
  };
}

const name = (number) => `u${String(number).padStart(5, "0")}`;

test("thousands of uploads are listed newest first", () => {
  const shared = storage();
  const memory = new Memory(() => shared);
  assert.deepEqual(memory.ids(), []);
  for (let i = 0; i < 3000; i += 1) memory.keep(upload(name(i)));
  assert.equal(memory.ids().length, 3000);
  assert.deepEqual([memory.ids()[0], memory.ids().at(-1)], ["u02999", "u00000"]);
  assert.equal(memory.get("u01234").name, "u01234.jpg");
  assert.equal(memory.get("never"), null);
});

test("beyond the limit, and when the storage is full, the oldest are forgotten", () => {
  const values = new Map(Array.from({ length: MAX_REMEMBERED }, (_, i) => [PREFIX + name(i), JSON.stringify(upload(name(i)))]));
  const many = storage();
  for (const [key, value] of values) many.values.set(key, value);
  const memory = new Memory(() => many);
  memory.keep(upload(name(MAX_REMEMBERED)));
  assert.ok(memory.get(name(MAX_REMEMBERED)) && !memory.get(name(0)));
  assert.ok(memory.ids().length <= MAX_REMEMBERED && memory.ids().length > MAX_REMEMBERED - 200);
  const full = storage(150);
  const tight = new Memory(() => full);
  for (let i = 0; i < 151; i += 1) tight.keep(upload(name(i)));
  assert.ok(tight.get(name(150)) && !tight.get(name(0)));
});

test("a later revision replaces an earlier one, never the reverse", () => {
  const shared = storage();
  const memory = new Memory(() => shared);
  memory.keep(upload("a"));
  memory.keep(upload("b"));
  memory.update(upload("a", "ready"));
  memory.update(upload("a", "processing"));
  assert.deepEqual(memory.ids().map((id) => memory.get(id).state), ["queued", "ready"]);
});

test("two tabs share the list, and neither restores an upload that the other forgot", () => {
  const shared = storage();
  const [one, other] = [new Memory(() => shared), new Memory(() => shared)];
  one.keep(upload("a"));
  other.keep(upload("b"));
  assert.deepEqual(one.ids(), ["b", "a"]);
  one.forget("a");
  other.update(upload("a", "ready"));
  assert.deepEqual(other.ids(), ["b"]);
  one.forget("b");
  assert.equal(shared.values.size, 0);
});

test("forbidden storage and invalid content count as an empty list", () => {
  const memory = new Memory(() => {
    throw new Error("forbidden");
  });
  memory.keep(upload("a"));
  memory.forget("a");
  assert.deepEqual([memory.ids(), memory.get("a")], [[], null]);
  for (const invalid of ["{", "7", "null", '{"id":"a"}']) {
    const shared = storage();
    shared.setItem(`${PREFIX}a`, invalid);
    assert.equal(new Memory(() => shared).get("a"), null);
  }
});
