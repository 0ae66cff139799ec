import { beforeEach, test } from "node:test";
import assert from "node:assert/strict";
import { Fallback } from "../assets/fallback.js";
import { Clock, upload } from "./clock.js";

let clock, live, poller, levels, calls, fallback, isOnline, isHidden;

beforeEach(() => {
  [clock, levels, calls, isOnline, isHidden] = [new Clock(), [], [], true, false];
  const record = (name) => (...given) => calls.push([name, ...given]);
  live = { isLive: false };
  for (const name of ["connect", "wake", "distrust", "watch", "unwatch"]) live[name] = record(`live.${name}`);
  poller = { isRunning: false, watch: record("poller.watch"), unwatch: record("poller.unwatch") };
  poller.start = () => (poller.isRunning = true);
  poller.stop = () => (poller.isRunning = false);
  fallback = new Fallback({
    live,
    poller,
    after: clock.after,
    cancel: clock.cancel,
    isOnline: () => isOnline,
    isHidden: () => isHidden,
    stand: (level) => levels.push(level),
  });
  fallback.start();
});

const become = (isLive) => {
  live.isLive = isLive;
  fallback.settle();
};

test("polling begins when the socket was away for two seconds, and stops when it is back", async () => {
  await clock.pass(1999);
  assert.equal(poller.isRunning, false);
  await clock.pass(1);
  assert.equal(poller.isRunning, true);
  become(true);
  assert.equal(poller.isRunning, false);
  become(false);
  await clock.pass(1999);
  assert.equal(poller.isRunning, false);
  await clock.pass(1);
  assert.deepEqual(levels, ["polling", "live", "connecting", "polling"]);
});

test("a socket that is back in time leads to no polling", async () => {
  become(true);
  become(false);
  await clock.pass(1500);
  become(true);
  await clock.pass(60_000);
  assert.equal(poller.isRunning, false);
  assert.deepEqual(levels, ["live", "connecting", "live"]);
});

test("offline is said at once, and nothing is asked", async () => {
  await clock.pass(2000);
  isOnline = false;
  fallback.offline();
  assert.equal(levels.at(-1), "offline");
  assert.equal(poller.isRunning, false);
  assert.deepEqual(calls.at(-1), ["live.distrust"]);
  isOnline = true;
  fallback.wake();
  assert.deepEqual(calls.at(-1), ["live.wake"]);
  assert.equal(levels.at(-1), "polling");
});

test("a socket that answers is believed before what the browser says of the network", () => {
  isOnline = false;
  fallback.offline();
  become(true);
  assert.equal(levels.at(-1), "live");
});

test("a hidden page does not poll", async () => {
  isHidden = true;
  fallback.settle();
  await clock.pass(60_000);
  assert.equal(poller.isRunning, false);
  isHidden = false;
  fallback.wake();
  assert.equal(poller.isRunning, true);
});

test("what is final is waited for by the socket only", () => {
  fallback.watch(upload("a", "failed"));
  fallback.watch(upload("b", "queued"));
  assert.deepEqual(calls.slice(1), [
    ["poller.unwatch", "a"],
    ["live.watch", "a"],
    ["poller.watch", "b", "/uploads/b"],
    ["live.watch", "b"],
  ]);
});
