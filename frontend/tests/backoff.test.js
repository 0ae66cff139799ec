import { test } from "node:test";
import assert from "node:assert/strict";
import { backoff } from "../assets/live.js";

test("the longest delay doubles from half a second to half a minute", () => {
  const bounds = [0, 1, 2, 3, 4, 5, 6, 7, 40, 2000].map((failures) => backoff(failures, () => 1));
  assert.deepEqual(bounds, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000]);
});

test("the delay is random between zero and the longest delay", () => {
  assert.equal(backoff(9, () => 0), 0);
  assert.equal(backoff(1, () => 0.25), 250);
});
