import { beforeEach, test } from "node:test";
import assert from "node:assert/strict";
import { Announcer } from "../assets/words.js";
import { Clock } from "./clock.js";

let clock, announced, counts, announcer;

beforeEach(() => {
  [clock, announced, counts] = [new Clock(), [], { ready: 0, total: 10 }];
  announcer = new Announcer({ after: clock.after, announce: (text) => announced.push(text), count: () => counts });
});

test("events within one second become one announcement", async () => {
  announcer.added(5);
  counts.ready = 3;
  await clock.pass(600);
  announcer.ready("harbour.jpg");
  await clock.pass(399);
  assert.deepEqual(announced, []);
  await clock.pass(1);
  announcer.note("Offline. Uploads will resume.");
  announcer.note("Offline. Uploads will resume.");
  await clock.pass(1000);
  assert.deepEqual(announced, ["5 pictures added. harbour.jpg ready. 3 of 10.", "Offline. Uploads will resume."]);
});

test("several ready pictures become one sentence", async () => {
  for (const name of ["a.jpg", "b.jpg", "c.jpg"]) announcer.ready(name);
  counts.ready = 3;
  await clock.pass(1000);
  assert.deepEqual(announced, ["a.jpg and 2 more ready. 3 of 10."]);
});

test("the end of a batch is said last, in place of the count", async () => {
  counts.ready = 9;
  announcer.ended("Done: 9 ready, 1 failed.");
  announcer.ready("last.jpg");
  await clock.pass(1000);
  announcer.ended("Done: 9 ready, 2 failed.");
  announcer.note("a.jpg failed: it took too long.");
  await clock.pass(1000);
  assert.deepEqual(announced, ["last.jpg ready. Done: 9 ready, 1 failed.", "a.jpg failed: it took too long. Done: 9 ready, 2 failed."]);
});

test("the last picture announces that all are ready, unless it is the only one", async () => {
  announcer.ready("last.jpg");
  counts.ready = 10;
  await clock.pass(1000);
  counts = { ready: 1, total: 1 };
  announcer.added(1);
  announcer.ready("only.jpg");
  await clock.pass(1000);
  assert.deepEqual(announced, ["last.jpg ready. All 10 ready.", "1 picture added. only.jpg ready."]);
});
