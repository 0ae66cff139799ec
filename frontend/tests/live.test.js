import { beforeEach, test } from "node:test";
import assert from "node:assert/strict";
import { Live } from "../assets/live.js";
import { Clock, upload } from "./clock.js";

let clock, sockets, uploads, unknown, changes, live;

class FakeSocket {
  sent = [];
  isClosed = false;
  onmessage = null;
  onclose = null;
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.isClosed = true;
  }
  deliver(message) {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
  welcome(more = {}) {
    this.deliver({ type: "welcome", ping_ms: 25_000, max_ids: 500, poll_ms: 2000, ...more });
  }
  disconnect(code) {
    this.onclose?.({ code });
  }
}

const last = () => sockets.at(-1);

beforeEach(() => {
  [clock, sockets, uploads, unknown, changes] = [new Clock(), [], [], [], []];
  live = new Live({
    after: clock.after,
    cancel: clock.cancel,
    now: clock.now,
    random: () => 0.5,
    open: () => sockets[sockets.push(new FakeSocket()) - 1],
    onUpload: (update) => uploads.push(update),
    onUnknown: (id) => unknown.push(id),
    onLiveChange: (isLive) => changes.push(isLive),
  });
});

test("without subscriptions the socket is live after the welcome", () => {
  live.connect();
  assert.equal(live.isLive, false);
  last().welcome();
  assert.deepEqual(changes, [true]);
  assert.deepEqual(last().sent, []);
});

test("a socket that closes is sent nothing", async () => {
  live.connect();
  last().welcome();
  last().readyState = 2;
  live.subscribe("a");
  last().deliver({ type: "ping", t: 1 });
  assert.deepEqual(last().sent, []);
  last().disconnect(1006);
  await clock.pass(1000);
  last().welcome();
  assert.deepEqual(last().sent.map(({ ids }) => ids), [["a"]]);
});

test("with subscriptions the socket is live after the snapshot", () => {
  live.subscribe("a");
  live.connect();
  last().welcome();
  assert.deepEqual(last().sent, [{ type: "subscribe", ref: 1, ids: ["a"] }]);
  assert.deepEqual(changes, []);
  last().deliver({ type: "snapshot", ref: 1, uploads: [upload("a", "processing")], unknown: ["b"] });
  assert.deepEqual(changes, [true]);
  assert.deepEqual(uploads.map(({ state }) => state), ["processing"]);
  assert.deepEqual(unknown, ["b"]);
});

test("an upload that is accepted while a snapshot is awaited is subscribed to as well", () => {
  live.subscribe("a");
  live.connect();
  last().welcome();
  live.subscribe("b");
  assert.deepEqual(last().sent.map(({ ids }) => ids), [["a"], ["b"]]);
  last().deliver({ type: "snapshot", ref: 1, uploads: [upload("a", "processing")] });
  assert.deepEqual(changes, [], "the second snapshot is awaited");
  last().deliver({ type: "snapshot", ref: 2, uploads: [upload("b", "processing")] });
  assert.deepEqual(changes, [true]);
});

test("the socket reports uploads, answers pings, and ignores unknown messages", () => {
  live.connect();
  last().welcome();
  live.subscribe("a");
  for (const [type, state] of [["upload-changed", "processing"], ["thumbnail-ready", "ready"], ["upload-failed", "failed"], ["upload-gone", "gone"]]) {
    last().deliver({ type, upload: upload("a", state), later: true });
  }
  last().deliver({ type: "ping", t: 171 });
  last().deliver({ type: "wave" });
  assert.deepEqual(uploads.map(({ state }) => state), ["processing", "ready", "failed", "gone"]);
  assert.deepEqual(last().sent.at(-1), { type: "pong", t: 171 });
});

test("a new socket sends every subscription again", async () => {
  live.connect();
  last().welcome();
  live.subscribe("a");
  live.subscribe("b");
  live.subscribe("b");
  live.unsubscribe("a");
  live.unsubscribe("never");
  assert.deepEqual(last().sent.map(({ type, ids }) => [type, ids]), [["subscribe", ["a"]], ["subscribe", ["b"]], ["unsubscribe", ["a"]]]);
  last().disconnect(1006);
  await clock.pass(250);
  last().welcome();
  assert.deepEqual(last().sent.map(({ ids }) => ids), [["b"]]);
});

test("subscriptions stay within the server's limit, and a free place is filled", () => {
  for (const id of ["a", "b", "c"]) live.subscribe(id);
  live.connect();
  last().welcome({ max_ids: 2 });
  assert.deepEqual(last().sent.at(-1).ids, ["a", "b"]);
  live.unsubscribe("a");
  assert.deepEqual(last().sent.at(-1).ids, ["c"]);
});

test("more subscriptions than a socket may have take turns", async () => {
  for (const id of ["a", "b", "c", "d", "e"]) live.subscribe(id);
  live.connect();
  last().welcome({ max_ids: 2 });
  const turn = () => last().sent.filter(({ type }) => type === "subscribe").at(-1).ids;
  const turns = [turn()];
  last().deliver({ type: "snapshot", ref: 1, uploads: [], unknown: [] });
  for (let i = 0; i < 4; i += 1) {
    last().deliver({ type: "ping", t: i });
    await clock.pass(5000);
    turns.push(turn());
  }
  assert.deepEqual(turns, [["a", "b"], ["c", "d"], ["e", "a"], ["b", "c"], ["d", "e"]]);
  assert.deepEqual(last().sent.filter(({ type }) => type === "unsubscribe").map(({ ids }) => ids).at(0), ["a", "b"]);
  for (const id of ["a", "b", "c"]) live.unsubscribe(id);
  const count = last().sent.length;
  await clock.pass(20_000);
  assert.equal(last().sent.length, count, "two fit");
  assert.equal(live.isLive, true);
});

test("reconnects are delayed by a growing backoff, which starts over after a stable connection", async () => {
  live.connect();
  for (const delay of [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]) {
    const count = sockets.length;
    last().disconnect(1006);
    await clock.pass(delay - 1);
    assert.equal(sockets.length, count, `earlier than ${delay} ms`);
    await clock.pass(1);
    assert.equal(sockets.length, count + 1);
  }
  last().welcome();
  await clock.pass(30_000);
  last().disconnect(4008);
  await clock.pass(250);
  assert.equal(sockets.length, 10);
});

test("after a `bye` the server's delay is used", async () => {
  live.connect();
  last().welcome();
  last().deliver({ type: "bye", reason: "restart", retry_ms: 800 });
  last().disconnect(1012);
  assert.deepEqual(changes, [true, false]);
  await clock.pass(799);
  assert.equal(sockets.length, 1);
  await clock.pass(1);
  assert.equal(sockets.length, 2);
});

test("after a close code from 4500 to 4599 the socket never reconnects", async () => {
  live.connect();
  last().disconnect(4506);
  live.wake();
  await clock.pass(120_000);
  assert.equal(sockets.length, 1);
});

test("silence longer than the ping interval plus the margin reconnects", async () => {
  live.connect();
  last().welcome({ ping_ms: 1000 });
  await clock.pass(10_900);
  last().deliver({ type: "ping", t: 1 });
  await clock.pass(10_999);
  assert.equal(live.isLive, true);
  await clock.pass(1);
  assert.equal(live.isLive, false);
  assert.equal(sockets[0].isClosed, true);
  await clock.pass(250);
  assert.equal(sockets.length, 2);
});

test("a socket without a welcome is replaced", async () => {
  live.connect();
  await clock.pass(10_000 + 250);
  assert.equal(sockets.length, 2);
});

test("waking reconnects at once, but keeps a socket that works", async () => {
  live.connect();
  last().welcome();
  live.wake();
  assert.equal(sockets.length, 1);
  for (let i = 0; i < 8; i += 1) {
    last().disconnect(1006);
    live.wake();
  }
  assert.equal(sockets.length, 9);
  last().disconnect(1006);
  await clock.pass(250);
  assert.equal(sockets.length, 10, "the backoff started over");
});

test("waking after sleep replaces a socket that was silent meanwhile", () => {
  live.connect();
  last().welcome();
  clock.time += 3_600_000;
  live.wake();
  assert.equal(sockets.length, 2);
  assert.equal(sockets[0].isClosed, true);
});

test("without network the socket counts as lost, and reconnects go on", async () => {
  live.connect();
  last().welcome();
  live.assumeLost();
  assert.equal(live.isLive, false);
  sockets[0].deliver({ type: "thumbnail-ready", upload: upload("a", "ready") });
  assert.deepEqual(uploads, []);
  await clock.pass(250);
  assert.equal(sockets.length, 2);
});

test("a closed socket stays closed until it is woken", async () => {
  live.connect();
  last().welcome();
  live.close();
  await clock.pass(120_000);
  assert.equal(sockets.length, 1);
  assert.equal(live.isLive, false);
  live.wake();
  assert.equal(sockets.length, 2);
});
