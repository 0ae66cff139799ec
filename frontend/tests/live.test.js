import { beforeEach, test } from "node:test";
import assert from "node:assert/strict";
import { Live } from "../assets/live.js";
import { Clock, upload } from "./clock.js";

let clock, sockets, told, unknown, changes, live;

class FakeSocket {
  said = [];
  isClosed = false;
  onmessage = null;
  onclose = null;
  send(text) {
    this.said.push(JSON.parse(text));
  }
  close() {
    this.isClosed = true;
  }
  hear(message) {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
  welcome(more = {}) {
    this.hear({ type: "welcome", ping_ms: 25_000, max_ids: 500, poll_ms: 2000, ...more });
  }
  lose(code) {
    this.onclose?.({ code });
  }
}

const last = () => sockets.at(-1);

beforeEach(() => {
  [clock, sockets, told, unknown, changes] = [new Clock(), [], [], [], []];
  live = new Live({
    after: clock.after,
    cancel: clock.cancel,
    now: clock.now,
    random: () => 0.5,
    open: () => sockets[sockets.push(new FakeSocket()) - 1],
    tell: (news) => told.push(news),
    unknown: (id) => unknown.push(id),
    changed: (isLive) => changes.push(isLive),
  });
});

test("without anything to wait for it is live after the welcome", () => {
  live.connect();
  assert.equal(live.isLive, false);
  last().welcome();
  assert.deepEqual(changes, [true]);
  assert.deepEqual(last().said, []);
});

test("it is live only when the snapshot has come", () => {
  live.watch("a");
  live.connect();
  last().welcome();
  assert.deepEqual(last().said, [{ type: "subscribe", ref: 1, ids: ["a"] }]);
  assert.deepEqual(changes, []);
  last().hear({ type: "snapshot", ref: 1, uploads: [upload("a", "processing")], unknown: ["b"] });
  assert.deepEqual(changes, [true]);
  assert.deepEqual(told.map(({ state }) => state), ["processing"]);
  assert.deepEqual(unknown, ["b"]);
});

test("it tells what it hears, answers pings, and ignores what it does not know", () => {
  live.connect();
  last().welcome();
  live.watch("a");
  for (const [type, state] of [["upload-changed", "processing"], ["thumbnail-ready", "ready"], ["upload-failed", "failed"]]) {
    last().hear({ type, upload: upload("a", state), later: true });
  }
  last().hear({ type: "ping", t: 171 });
  last().hear({ type: "wave" });
  assert.deepEqual(told.map(({ state }) => state), ["processing", "ready", "failed"]);
  assert.deepEqual(last().said.at(-1), { type: "pong", t: 171 });
});

test("a new socket subscribes again to all that is waited for", async () => {
  live.connect();
  last().welcome();
  live.watch("a");
  live.watch("b");
  live.watch("b");
  live.unwatch("a");
  live.unwatch("never");
  assert.deepEqual(last().said.map(({ type, ids }) => [type, ids]), [["subscribe", ["a"]], ["subscribe", ["b"]], ["unsubscribe", ["a"]]]);
  last().lose(1006);
  await clock.pass(250);
  last().welcome();
  assert.deepEqual(last().said.map(({ ids }) => ids), [["b"]]);
});

test("it waits for no more than a socket may, and fills the place that is left", () => {
  for (const id of ["a", "b", "c"]) live.watch(id);
  live.connect();
  last().welcome({ max_ids: 2 });
  assert.deepEqual(last().said.at(-1).ids, ["a", "b"]);
  live.unwatch("a");
  assert.deepEqual(last().said.at(-1).ids, ["c"]);
});

test("lost sockets are opened again with a growing wait that starts over after a good one", async () => {
  live.connect();
  for (const wait of [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]) {
    const count = sockets.length;
    last().lose(1006);
    await clock.pass(wait - 1);
    assert.equal(sockets.length, count, `sooner than ${wait} ms`);
    await clock.pass(1);
    assert.equal(sockets.length, count + 1);
  }
  last().welcome();
  await clock.pass(30_000);
  last().lose(4008);
  await clock.pass(250);
  assert.equal(sockets.length, 10);
});

test("a goodbye says how long to stay away", async () => {
  live.connect();
  last().welcome();
  last().hear({ type: "bye", reason: "restart", retry_ms: 800 });
  last().lose(1012);
  assert.deepEqual(changes, [true, false]);
  await clock.pass(799);
  assert.equal(sockets.length, 1);
  await clock.pass(1);
  assert.equal(sockets.length, 2);
});

test("a refusal for good is taken as one", async () => {
  live.connect();
  last().lose(4506);
  live.wake();
  await clock.pass(120_000);
  assert.equal(sockets.length, 1);
});

test("silence longer than a ping and a margin means dead", async () => {
  live.connect();
  last().welcome({ ping_ms: 1000 });
  await clock.pass(10_900);
  last().hear({ type: "ping", t: 1 });
  await clock.pass(10_999);
  assert.equal(live.isLive, true);
  await clock.pass(1);
  assert.equal(live.isLive, false);
  assert.equal(sockets[0].isClosed, true);
  await clock.pass(250);
  assert.equal(sockets.length, 2);
});

test("a socket that never opens is given up", async () => {
  live.connect();
  await clock.pass(10_000 + 250);
  assert.equal(sockets.length, 2);
});

test("waking opens at once, but keeps a socket that works", async () => {
  live.connect();
  last().welcome();
  live.wake();
  assert.equal(sockets.length, 1);
  for (let i = 0; i < 8; i += 1) {
    last().lose(1006);
    live.wake();
  }
  assert.equal(sockets.length, 9);
  last().lose(1006);
  await clock.pass(250);
  assert.equal(sockets.length, 10, "the wait started over");
});

test("waking after sleep gives up a socket that was silent all the time", () => {
  live.connect();
  last().welcome();
  clock.time += 3_600_000;
  live.wake();
  assert.equal(sockets.length, 2);
  assert.equal(sockets[0].isClosed, true);
});

test("when the network goes the socket is not trusted any more, and tries go on", async () => {
  live.connect();
  last().welcome();
  live.distrust();
  assert.equal(live.isLive, false);
  sockets[0].hear({ type: "thumbnail-ready", upload: upload("a", "ready") });
  assert.deepEqual(told, []);
  await clock.pass(250);
  assert.equal(sockets.length, 2);
});

test("closed, it stays so until it is woken", async () => {
  live.connect();
  last().welcome();
  live.close();
  await clock.pass(120_000);
  assert.equal(sockets.length, 1);
  assert.equal(live.isLive, false);
  live.wake();
  assert.equal(sockets.length, 2);
});
