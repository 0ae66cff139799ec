import { beforeEach, test } from "node:test";
import assert from "node:assert/strict";
import { Announcer } from "../assets/announcer.js";
import { Clock } from "./clock.js";

let clock, said, counts, announcer;

beforeEach(() => {
  [clock, said, counts] = [new Clock(), [], { ready: 0, total: 10 }];
  announcer = new Announcer({ after: clock.after, say: (text) => said.push(text), count: () => counts });
});

test("what happens within a second is one announcement", async () => {
  announcer.added(5);
  counts.ready = 3;
  await clock.pass(600);
  announcer.ready("harbour.jpg");
  await clock.pass(399);
  assert.deepEqual(said, []);
  await clock.pass(1);
  announcer.note("Offline. Uploads wait.");
  announcer.note("Offline. Uploads wait.");
  await clock.pass(1000);
  assert.deepEqual(said, ["5 pictures added. harbour.jpg ready. 3 of 10.", "Offline. Uploads wait."]);
});

test("many that are ready become one sentence", async () => {
  for (const name of ["a.jpg", "b.jpg", "c.jpg"]) announcer.ready(name);
  counts.ready = 3;
  await clock.pass(1000);
  assert.deepEqual(said, ["a.jpg and 2 more ready. 3 of 10."]);
});

test("the end is said as one", async () => {
  announcer.ready("last.jpg");
  counts.ready = 10;
  await clock.pass(1000);
  counts = { ready: 1, total: 1 };
  announcer.added(1);
  announcer.ready("only.jpg");
  await clock.pass(1000);
  assert.deepEqual(said, ["last.jpg ready. All 10 ready.", "1 picture added. only.jpg ready."]);
});
