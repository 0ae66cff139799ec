import { test } from "node:test";
import assert from "node:assert/strict";
import { AT_A_TIME, Queue, advance } from "../assets/queue.js";
import { settle } from "./clock.js";

/** A sender whose files end when the test says so. */
function slowly() {
  const sending = new Map();
  const send = (item) => new Promise((resolve) => sending.set(item, resolve));
  const end = async (item) => {
    sending.get(item)();
    sending.delete(item);
    await settle();
  };
  return { sending, send, end };
}

test("three are sent at a time, in order", async () => {
  const { sending, send, end } = slowly();
  const queue = new Queue(send);
  for (const item of [1, 2, 3, 4, 5]) queue.add(item);
  assert.equal(AT_A_TIME, 3);
  assert.deepEqual([...sending.keys()], [1, 2, 3]);
  await end(2);
  assert.deepEqual([...sending.keys()], [1, 3, 4]);
});

test("what is removed is not sent", async () => {
  const { sending, send, end } = slowly();
  const queue = new Queue(send);
  for (const item of [1, 2, 3, 4, 5]) queue.add(item);
  queue.remove(4);
  await end(1);
  assert.deepEqual([...sending.keys()], [2, 3, 5]);
});

test("held, it starts nothing new", async () => {
  const { sending, send, end } = slowly();
  const queue = new Queue(send);
  queue.add(1);
  queue.hold();
  queue.add(2);
  await end(1);
  assert.equal(sending.size, 0);
  queue.release();
  assert.deepEqual([...sending.keys()], [2]);
});

test("a file goes its way", () => {
  const item = { stage: "chosen" };
  for (const stage of ["uploading", "queued", "processing", "failed", "queued", "processing", "ready", "removed"]) advance(item, stage);
  assert.equal(item.stage, "removed");
});

test("staying where it is changes nothing", () => {
  const item = { stage: "refused" };
  advance(item, "refused");
  assert.equal(item.stage, "refused");
});

test("a change that cannot happen throws and changes nothing", () => {
  for (const [from, to] of [["chosen", "ready"], ["chosen", "failed"], ["ready", "uploading"], ["refused", "uploading"], ["removed", "chosen"], ["queued", "chosen"]]) {
    const item = { stage: from };
    assert.throws(() => advance(item, to), /cannot become/, `${from} → ${to}`);
    assert.equal(item.stage, from);
  }
});
