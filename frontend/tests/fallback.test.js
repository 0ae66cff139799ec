import { beforeEach, test } from "node:test";
import assert from "node:assert/strict";
import { Fallback } from "../assets/live.js";
import { Clock, upload } from "./clock.js";

let clock, live, poller, levels, calls, fallback, isOnline, isHidden;

beforeEach(() => {
  [clock, levels, calls, isOnline, isHidden] = [new Clock(), [], [], true, false];
  const record = (name) => (...given) => calls.push([name, ...given]);
  live = { isLive: false };
  for (const name of ["connect", "wake", "assumeLost", "subscribe", "unsubscribe"]) live[name] = record(`live.${name}`);
  poller = { isRunning: false, subscribe: record("poller.subscribe"), unsubscribe: record("poller.unsubscribe") };
  poller.start = () => (poller.isRunning = true);
  poller.stop = () => (poller.isRunning = false);
  fallback = new Fallback({
    live,
    poller,
    after: clock.after,
    cancel: clock.cancel,
    isOnline: () => isOnline,
    isHidden: () => isHidden,
    onLevel: (level, before) => levels.push([before, level]),
  });
  fallback.start();
});

const setLive = (isLive) => {
  live.isLive = isLive;
  fallback.update();
};

test("polling starts after two seconds without the socket, and stops when the socket is back", async () => {
  await clock.pass(1999);
  assert.equal(poller.isRunning, false);
  await clock.pass(1);
  assert.equal(poller.isRunning, true);
  setLive(true);
  assert.equal(poller.isRunning, false);
  setLive(false);
  await clock.pass(1999);
  assert.equal(poller.isRunning, false);
  await clock.pass(1);
  assert.deepEqual(levels.map(([, level]) => level), ["polling", "live", "connecting", "polling"]);
});

test("a socket that reconnects within two seconds causes no polling", async () => {
  setLive(true);
  setLive(false);
  await clock.pass(1500);
  setLive(true);
  await clock.pass(60_000);
  assert.equal(poller.isRunning, false);
  assert.deepEqual(levels, [["connecting", "live"], ["live", "connecting"], ["connecting", "live"]]);
});

test("offline is reported at once, and nothing is polled", async () => {
  await clock.pass(2000);
  isOnline = false;
  fallback.goOffline();
  assert.equal(levels.at(-1)[1], "offline");
  assert.equal(poller.isRunning, false);
  assert.deepEqual(calls.at(-1), ["live.assumeLost"]);
  isOnline = true;
  fallback.wake();
  assert.deepEqual(calls.at(-1), ["live.wake"]);
  assert.equal(levels.at(-1)[1], "polling");
});

test("a live socket outweighs a browser that reports no network", () => {
  isOnline = false;
  fallback.goOffline();
  setLive(true);
  assert.equal(levels.at(-1)[1], "live");
});

test("a hidden page does not poll", async () => {
  isHidden = true;
  fallback.update();
  await clock.pass(60_000);
  assert.equal(poller.isRunning, false);
  isHidden = false;
  fallback.wake();
  assert.equal(poller.isRunning, true);
});

test("a final upload is polled as such", () => {
  fallback.subscribe(upload("a", "failed"));
  fallback.subscribe(upload("b", "queued"));
  assert.deepEqual(calls.slice(1), [
    ["poller.subscribe", "a", "/uploads/a", true],
    ["live.subscribe", "a"],
    ["poller.subscribe", "b", "/uploads/b", false],
    ["live.subscribe", "b"],
  ]);
});
