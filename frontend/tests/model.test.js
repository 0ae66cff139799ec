import { beforeEach, test } from "node:test";
import assert from "node:assert/strict";
import { BULK_AFTER, MAX_ITEMS, Model, advance } from "../assets/model.js";
import { DEFAULT_LIMITS } from "../assets/probe.js";
import { upload } from "./clock.js";

const PNG = { name: "PNG", format: "png", width: 4, height: 3 };

let model, stored, subscribed, queued, announced, changes, removed, retries, retryAnswer, counters;

beforeEach(() => {
  [stored, subscribed, queued, announced, changes, removed, retries] = [new Map(), new Set(), [], [], [], [], []];
  retryAnswer = null;
  counters = { ready: 0, earlier: 0, keys: 0, now: 0 };
  model = new Model({
    memory: {
      ids: () => [...stored.keys()].sort().reverse(),
      get: (id) => stored.get(id) ?? null,
      keep: (kept) => stored.set(kept.id, kept),
      update: (update) => stored.has(update.id) && stored.set(update.id, update),
      forget: (id) => stored.delete(id),
    },
    connection: { subscribe: ({ id }) => subscribed.add(id), unsubscribe: (id) => subscribed.delete(id) },
    announcer: {
      added: (count) => announced.push(`${count} added`),
      ready: (name) => announced.push(`${name} ready`),
      note: (sentence) => announced.push(sentence),
    },
    queue: { add: (item) => queued.push(item), remove: (item) => (queued = queued.filter((other) => other !== item)) },
    requestRetry: async ({ id }) => {
      retries.push(id);
      return retryAnswer;
    },
    now: () => (counters.now += 100),
    keyOf: () => `key ${(counters.keys += 1)}`,
    onChange: ({ name, stage }) => changes.push(`${name} ${stage}`),
    onReady: () => (counters.ready += 1),
    onRemove: (item, neighbour) => removed.push([item.name, neighbour?.name]),
    onEarlierChange: () => (counters.earlier += 1),
  });
});

const file = (name) => ({ name, size: 1000 });
const stages = () => model.items.map(({ stage }) => stage);

/** Adds a file and starts sending it. */
function sending(name) {
  const [item] = model.add([file(name)]);
  model.prepare(item, PNG, DEFAULT_LIMITS);
  model.start(item);
  return item;
}

/** Adds a file that the server has accepted as an upload. */
function accepted(id, state = "queued") {
  const item = sending(`${id}.jpg`);
  model.finish(item, { upload: upload(id, state) });
  return item;
}

test("an accepted file is remembered, subscribed, and counted by its stage", () => {
  const item = accepted("a");
  assert.equal(item.upload.id, "a");
  assert.ok(stored.has("a") && subscribed.has("a"));
  sending("b.jpg");
  const { queued: inQueue, uploading, ready } = model.counts();
  assert.deepEqual([inQueue, uploading, ready], [1, 1, 0]);
  assert.deepEqual(changes, ["a.jpg uploading", "a.jpg queued", "b.jpg uploading"]);
});

test("files of one drop beyond the limit use the bulk lane, and every file has its own key", () => {
  const items = model.add(Array.from({ length: BULK_AFTER + 2 }, (_, index) => file(`${index}.jpg`)));
  assert.deepEqual(items.map(({ isBulk }) => isBulk), [...Array(BULK_AFTER).fill(false), true, true]);
  assert.equal(new Set(items.map(({ key }) => key)).size, items.length);
  assert.deepEqual(announced, [`${BULK_AFTER + 2} added`]);
});

test("files beyond the limit of the page are refused", () => {
  const items = model.add(Array.from({ length: MAX_ITEMS + 1 }, (_, index) => file(`${index}.jpg`)));
  assert.deepEqual([items.at(-2).stage, items.at(-1).stage], ["chosen", "refused"]);
  assert.match(items.at(-1).reason, /^Only 5000 pictures/);
});

test("a file that cannot be read is refused as such", () => {
  const [picture, folder] = model.add([file("a.jpg")], ["b"]);
  model.prepare(picture, undefined, DEFAULT_LIMITS);
  assert.deepEqual([picture, folder].map(({ name, stage, reason }) => [name, stage, reason]), [
    ["a.jpg", "refused", "The file can't be read. Choose it again."],
    ["b", "refused", "The file can't be read. Choose it again."],
  ]);
  assert.ok(announced.includes("2 added"));
});

test("a file is queued if the limits allow it, else refused with a reason", () => {
  const [picture, empty] = model.add([file("a.png"), { name: "", size: 0 }]);
  model.prepare(picture, PNG, DEFAULT_LIMITS);
  model.prepare(empty, null, DEFAULT_LIMITS);
  assert.deepEqual(queued, [picture]);
  assert.deepEqual([picture.width, picture.height], [4, 3]);
  assert.deepEqual([empty.name, empty.stage, empty.reason], ["picture", "refused", "The file is empty."]);
});

test("only a chosen file is started", () => {
  const item = sending("a.jpg");
  assert.equal(model.start(item), null);
  model.remove(item);
  assert.equal(model.start(item), null);
});

test("a file that the server refuses is refused, any other failure can be retried", () => {
  const [refused, failed, interrupted] = ["a.jpg", "b.jpg", "c.jpg"].map(sending);
  model.finish(refused, { refused: true, reason: "This is not a picture." });
  model.finish(failed, { refused: false, reason: "The server is full. Try again later." });
  model.finish(interrupted, { interrupted: true });
  assert.deepEqual(stages(), ["refused", "failed", "failed"]);
  assert.deepEqual(model.retriable(), [failed, interrupted]);
});

test("an interrupted file says whether the server received any of it", () => {
  const [some, none] = ["a.jpg", "b.jpg"].map(sending);
  some.sent = 0.4;
  for (const item of [some, none]) model.finish(item, { interrupted: true });
  assert.deepEqual([some.reason, none.reason], ["The upload was interrupted.", "The server isn't answering."]);
});

test("the result of a file that was removed meanwhile is ignored", () => {
  const item = sending("a.jpg");
  const { signal } = item.abort;
  model.remove(item);
  model.finish(item, { upload: upload("a") });
  assert.equal(signal.aborted, true);
  assert.deepEqual([item.stage, stored.size], ["removed", 0]);
});

test("two files that became one upload leave one item", () => {
  const first = accepted("a");
  const second = sending("again.jpg");
  model.finish(second, { upload: upload("a") });
  assert.deepEqual(model.items, [first]);
  assert.ok(stored.has("a") && subscribed.has("a"), "the first one is still followed");
});

test("received uploads are merged: a later one changes the item, an earlier one does not", () => {
  const item = accepted("a");
  model.receive(upload("a", "processing"));
  model.receive(upload("a", "queued"));
  assert.equal(item.stage, "processing");
  model.receive(upload("a", "ready"));
  model.receive(upload("a", "ready"));
  assert.equal(item.stage, "ready");
  assert.equal(counters.ready, 1);
  assert.equal(announced.filter((text) => text === "a.jpg ready").length, 1);
  assert.ok(subscribed.has("a"), "only a deletion can follow");
  assert.deepEqual(model.viewable(), [item]);
});

test("time is counted from the press, and after a reload from the acceptance", () => {
  const item = accepted("a");
  model.receive(upload("a", "ready"));
  assert.equal(item.tookMs, 100);
  stored.set("b", upload("b"));
  const [restored] = model.restore();
  model.receive(upload("b", "ready"));
  assert.deepEqual([restored.stage, restored.tookMs], ["ready", undefined]);
});

test("a failed upload names its error and stays subscribed for a retry by another client", () => {
  const item = accepted("a");
  model.receive({ ...upload("a", "failed"), error: { type: "/problems/damaged", title: "The file is damaged." } });
  assert.deepEqual([item.stage, item.reason, subscribed.has("a")], ["failed", "The file is damaged.", true]);
  assert.equal(announced.at(-1), "a.jpg failed: the file is damaged.");
  model.receive(upload("a", "queued", 2));
  assert.deepEqual([item.stage, item.reason], ["queued", ""]);
});

test("a received upload without an item updates the earlier uploads", () => {
  stored.set("a", upload("a", "processing"));
  subscribed.add("a");
  model.receive(upload("a", "ready"));
  assert.deepEqual(model.earlier().map(({ id }) => id), ["a"]);
  assert.deepEqual([counters.earlier, subscribed.has("a")], [1, true]);
});

test("an unknown upload is forgotten, and its item fails without a retry", async () => {
  const item = accepted("a");
  model.receiveUnknown("a");
  assert.deepEqual([item.stage, item.canRetry, stored.has("a"), subscribed.has("a")], ["failed", false, false, false]);
  assert.deepEqual(model.retriable(), []);
  await model.retry(item);
  assert.deepEqual(retries, []);
});

test("a deleted upload is forgotten, and stays gone whatever comes later", () => {
  for (const [id, state] of [["a", "queued"], ["b", "ready"], ["c", "failed"]]) {
    const item = accepted(id, state);
    model.receive({ id, gen: 1, state: "gone" });
    assert.deepEqual([item.stage, stored.has(id), subscribed.has(id)], ["gone", false, false]);
    model.receive(upload(id, "ready", 2));
    model.receive({ id, gen: 1, state: "gone" });
    model.receiveUnknown(id);
    assert.deepEqual([item.stage, stored.has(id), announced.filter((text) => text === `${id}.jpg was deleted.`).length], ["gone", false, 1]);
  }
  assert.deepEqual([model.retriable(), model.viewable(), model.counts().gone], [[], [], 3]);
  model.clear(["gone"], (count) => `${count} cleared.`);
  assert.deepEqual(model.items, []);
});

test("a deleted upload of an earlier visit leaves the list", () => {
  stored.set("a", upload("a", "ready"));
  model.restore();
  for (const shown of model.earlier()) model.follow(shown);
  assert.ok(subscribed.has("a"));
  model.receive({ id: "a", gen: 1, state: "gone" });
  assert.deepEqual([model.earlier(), subscribed.has("a"), counters.earlier], [[], false, 1]);
});

test("a later state of an upload keeps the token", () => {
  const item = sending("a.jpg");
  model.finish(item, { upload: { ...upload("a"), token: "t" } });
  model.receive(upload("a", "ready"));
  assert.deepEqual([item.upload.state, item.upload.token], ["ready", "t"]);
});

test("only a hundred ready uploads stay subscribed, the newest", () => {
  const ids = Array.from({ length: 150 }, (_, index) => `u${index}`);
  for (const id of ids) accepted(id, "ready");
  assert.deepEqual([...subscribed], ids.slice(50));
});

test("a failure that a retry would meet again offers none, also after a reload", async () => {
  const item = accepted("a");
  const failed = (type) => ({ ...upload("a", "failed"), error: { type: `/problems/${type}`, title: "It failed." } });
  model.receive(failed("cannot-be-decoded"));
  assert.deepEqual([item.stage, model.retriable()], ["failed", []]);
  for (const [id, type] of [["b", "too-many-pixels"], ["c", "exhausted"]]) stored.set(id, { ...failed(type), id });
  stored.delete("a");
  model.restore();
  assert.deepEqual(model.retriable().map(({ upload }) => upload.id), ["c"]);
});

test("an item with thumbnails stays ready though the server no longer knows it", () => {
  const item = accepted("a", "ready");
  model.receiveUnknown("a");
  assert.deepEqual([item.stage, item.canRetry], ["ready", true]);
});

test("a removed item is forgotten, and its neighbour is named", () => {
  const [a, b, c] = ["a", "b", "c"].map((id) => accepted(id));
  model.remove(b);
  model.remove(c);
  model.remove(a);
  model.remove(a);
  assert.deepEqual(removed, [["b.jpg", "c.jpg"], ["c.jpg", "a.jpg"], ["a.jpg", undefined]]);
  assert.deepEqual([stored.size, subscribed.size, model.items.length], [0, 0, 0]);
});

test("cancelling and clearing leave the others, and cleared uploads become earlier ones", () => {
  const [ready, waiting, failed] = [accepted("a", "ready"), accepted("b"), accepted("c", "failed")];
  const chosen = model.add([file("d.jpg")])[0];
  const uploading = sending("e.jpg");
  model.clear(["chosen", "uploading"], (count) => `${count} cancelled.`);
  assert.deepEqual([chosen.stage, uploading.stage, uploading.abort.signal.aborted], ["removed", "removed", true]);
  assert.equal(announced.at(-1), "2 cancelled.");
  model.clear(["ready", "refused"], (count) => `${count} cleared.`);
  assert.deepEqual([ready.stage, model.items], ["removed", [waiting, failed]]);
  assert.deepEqual(model.earlier().map(({ id }) => id), ["a"]);
});

test("a removed file leaves the queue", () => {
  const [item] = model.add([file("a.jpg")]);
  model.prepare(item, PNG, DEFAULT_LIMITS);
  model.remove(item);
  assert.deepEqual(queued, []);
});

test("a retry of a file that was never accepted sends it again with the same key", async () => {
  const item = sending("a.jpg");
  const { key } = item;
  model.finish(item, { interrupted: true });
  queued = [];
  await model.retry(item);
  assert.deepEqual([item.stage, item.key, queued, retries], ["chosen", key, [item], []]);
});

test("a retry of an upload asks the server once, and follows the new generation", async () => {
  const item = accepted("a");
  model.receive(upload("a", "failed"));
  retryAnswer = upload("a", "queued", 2);
  await Promise.all([model.retry(item), model.retry(item)]);
  assert.deepEqual([retries, item.stage, item.upload.gen], [["a"], "queued", 2]);
});

test("a retry that the server does not answer leaves the item failed, with that reason", async () => {
  const item = accepted("a");
  model.receive(upload("a", "failed"));
  await model.retry(item);
  assert.equal(item.stage, "failed");
  assert.equal(item.reason, "Retry didn't work.");
  retryAnswer = upload("a", "queued", 2);
  await model.retry(item);
  assert.equal(item.stage, "queued");
});

test("after a reload unfinished and failed uploads are items again, in their order, and ready ones are earlier", () => {
  for (const [id, state] of [["a", "ready"], ["b", "queued"], ["c", "failed"]]) stored.set(id, upload(id, state));
  assert.deepEqual(model.restore().map(({ name, stage }) => [name, stage]), [["b.jpg", "queued"], ["c.jpg", "failed"]]);
  assert.deepEqual(model.earlier().map(({ id }) => id), ["a"]);
  assert.deepEqual([...subscribed].sort(), ["b", "c"]);
});

test("an upload that has expired leaves the list, and one that is gone stays forgotten", () => {
  for (const [id, ms] of [["a", 50], ["b", 5000]]) stored.set(id, { ...upload(id, "ready"), expires_at: new Date(ms).toISOString() });
  assert.deepEqual(model.earlier().map(({ id }) => id), ["b"]);
  accepted("c", "ready");
  accepted("d", "ready");
  model.receiveGone("c");
  stored.clear();
  model.keepShown();
  assert.deepEqual([...stored.keys()], ["d"]);
});

test("forgetting one earlier upload or all of them keeps the uploads of items", () => {
  for (const id of ["a", "b", "c"]) stored.set(id, upload(id, "ready"));
  accepted("d");
  model.forgetEarlier([upload("b")]);
  assert.deepEqual(model.earlier().map(({ id }) => id), ["c", "a"]);
  assert.deepEqual(model.earlier(1).map(({ id }) => id), ["c"]);
  const all = model.earlier();
  model.forgetEarlier(all);
  assert.deepEqual([model.earlier(), [...stored.keys()]], [[], ["d"]]);
  assert.equal(announced.at(-1), "2 pictures removed from this list. Links keep working.");
  model.remember(all);
  assert.deepEqual(model.earlier().map(({ id }) => id), ["c", "a"]);
});

test("a file passes its stages, including a retry", () => {
  const item = { stage: "chosen" };
  for (const stage of ["uploading", "queued", "processing", "failed", "queued", "processing", "ready", "removed"]) advance(item, stage);
  assert.equal(item.stage, "removed");
});

test("advancing to the same stage changes nothing", () => {
  const item = { stage: "refused" };
  advance(item, "refused");
  assert.equal(item.stage, "refused");
});

test("a change that is not allowed throws and changes nothing", () => {
  for (const [from, to] of [["chosen", "ready"], ["chosen", "failed"], ["ready", "uploading"], ["refused", "uploading"], ["removed", "chosen"], ["queued", "chosen"]]) {
    const item = { stage: from };
    assert.throws(() => advance(item, to), /cannot become/, `${from} → ${to}`);
    assert.equal(item.stage, from);
  }
});
