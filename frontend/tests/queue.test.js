import { test } from "node:test";
import assert from "node:assert/strict";
import { MAX_RUNNING, Queue } from "../assets/send.js";
import { settle } from "./clock.js";

/** Tasks that end when the test ends them. */
function controlledTasks() {
  const running = new Map();
  const run = (item) => new Promise((resolve) => running.set(item, resolve));
  const end = async (item) => {
    running.get(item)();
    running.delete(item);
    await settle();
  };
  return { running, run, end };
}

test("three items run at a time, in order", async () => {
  const { running, run, end } = controlledTasks();
  const queue = new Queue(run);
  for (const item of [1, 2, 3, 4, 5]) queue.add(item);
  assert.equal(MAX_RUNNING, 3);
  assert.deepEqual([...running.keys()], [1, 2, 3]);
  await end(2);
  assert.deepEqual([...running.keys()], [1, 3, 4]);
});

test("a removed item does not run", async () => {
  const { running, run, end } = controlledTasks();
  const queue = new Queue(run);
  for (const item of [1, 2, 3, 4, 5]) queue.add(item);
  queue.remove(4);
  await end(1);
  assert.deepEqual([...running.keys()], [2, 3, 5]);
});

test("a paused queue starts no further item", async () => {
  const { running, run, end } = controlledTasks();
  const queue = new Queue(run);
  queue.add(1);
  queue.pause();
  queue.add(2);
  await end(1);
  assert.equal(running.size, 0);
  queue.resume();
  assert.deepEqual([...running.keys()], [2]);
});
