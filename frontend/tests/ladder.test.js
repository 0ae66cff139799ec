import { beforeEach, test } from "node:test";
import assert from "node:assert/strict";
import { Ladder } from "../assets/ladder.js";
import { Clock, upload } from "./clock.js";

let clock, live, poller, rungs, calls, ladder, isOnline, isHidden;

beforeEach(() => {
  [clock, rungs, calls, isOnline, isHidden] = [new Clock(), [], [], true, false];
  const record = (name) => (...given) => calls.push([name, ...given]);
  live = { isLive: false };
  for (const name of ["connect", "wake", "distrust", "watch", "unwatch"]) live[name] = record(`live.${name}`);
  poller = { isRunning: false, watch: record("poller.watch"), unwatch: record("poller.unwatch") };
  poller.start = () => (poller.isRunning = true);
  poller.stop = () => (poller.isRunning = false);
  ladder = new Ladder({
    live,
    poller,
    after: clock.after,
    cancel: clock.cancel,
    isOnline: () => isOnline,
    isHidden: () => isHidden,
    stand: (rung) => rungs.push(rung),
  });
  ladder.start();
});

const become = (isLive) => {
  live.isLive = isLive;
  ladder.settle();
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
  assert.deepEqual(rungs, ["polling", "live", "connecting", "polling"]);
});

test("a socket that is back in time leads to no polling", async () => {
  become(true);
  become(false);
  await clock.pass(1500);
  become(true);
  await clock.pass(60_000);
  assert.equal(poller.isRunning, false);
  assert.deepEqual(rungs, ["live", "connecting", "live"]);
});

test("offline is said at once, and nothing is asked", async () => {
  await clock.pass(2000);
  isOnline = false;
  ladder.offline();
  assert.equal(rungs.at(-1), "offline");
  assert.equal(poller.isRunning, false);
  assert.deepEqual(calls.at(-1), ["live.distrust"]);
  isOnline = true;
  ladder.wake();
  assert.deepEqual(calls.at(-1), ["live.wake"]);
  assert.equal(rungs.at(-1), "polling");
});

test("a socket that answers is believed before what the browser says of the network", () => {
  isOnline = false;
  ladder.offline();
  become(true);
  assert.equal(rungs.at(-1), "live");
});

test("a hidden page does not poll", async () => {
  isHidden = true;
  ladder.settle();
  await clock.pass(60_000);
  assert.equal(poller.isRunning, false);
  isHidden = false;
  ladder.wake();
  assert.equal(poller.isRunning, true);
});

test("what is final is waited for by the socket only", () => {
  ladder.watch(upload("a", "failed"));
  ladder.watch(upload("b", "queued"));
  assert.deepEqual(calls.slice(1), [
    ["poller.unwatch", "a"],
    ["live.watch", "a"],
    ["poller.watch", "b", "/uploads/b"],
    ["live.watch", "b"],
  ]);
});
