import { beforeEach, test } from "node:test";
import assert from "node:assert/strict";
import { Network } from "../assets/send.js";
import { Clock, settle } from "./clock.js";

let clock, network, answerer, isOnline, probes, changes;

beforeEach(() => {
  [clock, answerer, isOnline, probes, changes] = [new Clock(), "none", true, [], []];
  network = new Network({
    isOnline: () => isOnline,
    probe: async () => {
      probes.push(clock.time);
      return answerer;
    },
    after: clock.after,
    cancel: clock.cancel,
    random: () => 1,
    onChange: (isAnswering) => changes.push(isAnswering),
  });
});

const confirm = (signal = new AbortController().signal) => {
  const confirming = { answer: null };
  network.confirm(signal).then((answer) => (confirming.answer = answer));
  return confirming;
};

test("an interruption while something answers holds nothing", async () => {
  for (answerer of ["server", "other"]) {
    const confirming = confirm();
    await settle();
    assert.equal(confirming.answer, answerer);
  }
  assert.deepEqual([network.isUp(), changes], [true, []]);
});

test("a server that does not answer holds every upload, is asked with backoff, and all go on", async () => {
  const all = [confirm(), confirm()];
  await settle();
  assert.deepEqual([probes.length, network.isUp(), changes], [1, false, [false]]);
  await clock.pass(60_000);
  const delays = probes.slice(1).map((at, index) => at - probes[index]);
  assert.deepEqual(delays.slice(0, 6), [1000, 1500, 2500, 4500, 8500, 8500]);
  assert.deepEqual(all.map(({ answer }) => answer), [null, null]);
  answerer = "server";
  await clock.pass(8500);
  assert.deepEqual(all.map(({ answer }) => answer), ["none", "none"]);
  assert.deepEqual([network.isUp(), changes, clock.waiting], [true, [false, true], 0]);
});

test("a live socket proves that the server answers", async () => {
  const confirming = confirm();
  await settle();
  network.check(true);
  await settle();
  assert.deepEqual([confirming.answer, network.isUp()], ["none", true]);
});

test("without network nothing is asked, and the server counts as answering", async () => {
  isOnline = false;
  const confirming = confirm();
  await clock.pass(60_000);
  assert.deepEqual([probes.length, network.isUp(), changes, confirming.answer], [0, false, [], null]);
  isOnline = true;
  network.check();
  await settle();
  assert.equal(confirming.answer, "none");
});

test("when the network returns, a server that was away is asked at once", async () => {
  confirm();
  await clock.pass(60_000);
  const before = probes.length;
  answerer = "server";
  network.check();
  await settle();
  assert.deepEqual([probes.length, network.isUp()], [before + 1, true]);
});

test("a cancelled upload does not wait", async () => {
  const controller = new AbortController();
  const confirming = confirm(controller.signal);
  await settle();
  controller.abort();
  await settle();
  assert.equal(confirming.answer, "none");
});
