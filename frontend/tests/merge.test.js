import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { compare, isFinal, merge } from "../assets/memory.js";

/** Golden cases, shared with the tests of the worker. */
const CASES = JSON.parse(readFileSync(new URL("../../worker/golden/merge.json", import.meta.url), "utf8"));
const REVISIONS = [...new Map(CASES.map(({ a }) => [`${a.gen} ${a.state}`, a])).values()];
const same = (a, b) => assert.equal(compare(a, b), 0, `${JSON.stringify(a)} and ${JSON.stringify(b)}`);

test("the revision with the greater generation and rank wins in either order", () => {
  assert.ok(CASES.length >= 100);
  for (const { a, b, greater } of CASES) {
    const wanted = { a, b, same: a }[greater];
    same(merge(a, b), wanted);
    same(merge(b, a), wanted);
  }
});

test("an equal revision does not replace the known one", () => {
  const known = { gen: 1, state: "ready" };
  assert.equal(merge(known, { gen: 1, state: "ready" }), known);
});

test("merging is idempotent, commutative and associative", () => {
  for (const a of REVISIONS) {
    same(merge(a, a), a);
    for (const b of REVISIONS) {
      same(merge(a, b), merge(b, a));
      for (const c of REVISIONS) same(merge(merge(a, b), c), merge(a, merge(b, c)));
    }
  }
});

test("ready, failed and gone are final", () => {
  const states = ["queued", "processing", "failed", "ready", "gone"];
  assert.deepEqual(states.map((state) => isFinal({ gen: 1, state })), [false, false, true, true, true]);
});
