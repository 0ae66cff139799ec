import { beforeEach, test } from "node:test";
import assert from "node:assert/strict";
import { Deletions, Memory, UNDO_MS } from "../assets/memory.js";
import { Clock, upload } from "./clock.js";

let clock, asked, answer, steps, deletions;

beforeEach(() => {
  [clock, asked, steps] = [new Clock(), [], []];
  answer = async () => ({ status: 204 });
  deletions = new Deletions({
    after: clock.after,
    cancel: clock.cancel,
    fetch: (url, options) => {
      asked.push([options.method, url, options.headers.authorization, options.keepalive]);
      return answer();
    },
    onChange: ({ step, reason }) => steps.push(reason ? `${step}: ${reason}` : step),
  });
});

const held = (id) => ({ ...upload(id, "ready"), token: `token of ${id}` });

test("a deletion is sent after eight seconds, with the token", async () => {
  deletions.start(held("a"));
  await clock.pass(UNDO_MS - 1);
  assert.deepEqual([asked, steps], [[], ["soon"]]);
  await clock.pass(1);
  assert.deepEqual(asked, [["DELETE", "/uploads/a", "Bearer token of a", true]]);
  assert.deepEqual(steps, ["soon", "now", "gone"]);
});

test("an undone deletion is never sent", async () => {
  deletions.start(held("a"));
  await clock.pass(UNDO_MS - 1);
  deletions.undo(held("a"));
  deletions.sendAll();
  await clock.pass(UNDO_MS);
  assert.deepEqual([asked, steps, clock.waiting], [[], ["soon", "kept"], 0]);
});

test("leaving the page sends what waits, once, and an undo comes too late", async () => {
  for (const id of ["a", "b"]) deletions.start(held(id));
  deletions.sendAll();
  deletions.undo(held("a"));
  await clock.pass(UNDO_MS);
  assert.deepEqual(asked.map(([, url]) => url), ["/uploads/a", "/uploads/b"]);
  assert.equal(deletions.get("a").step, "gone");
});

for (const [what, given, reason] of [
  ["no network", () => Promise.reject(new TypeError("Failed to fetch")), "The server isn't answering."],
  ["another token", async () => ({ status: 403 }), "This browser may no longer delete it."],
  ["a full server", async () => ({ status: 503, json: async () => ({ title: "The server is full. Try again later." }) }), "The server is full. Try again later."],
  ["a login page", async () => ({ status: 200, json: () => Promise.reject(new SyntaxError()) }), "Something went wrong on the server."],
]) {
  test(`a deletion that ${what} prevents says so, and can be tried again`, async () => {
    answer = given;
    deletions.start(held("a"));
    await clock.pass(UNDO_MS);
    assert.deepEqual(steps, ["soon", "now", `failed: ${reason}`]);
    answer = async () => ({ status: 204 });
    deletions.start(held("a"));
    await clock.pass(UNDO_MS);
    assert.equal(steps.at(-1), "gone");
  });
}

test("the memory keeps the token of an upload, whatever it receives later", () => {
  const values = new Map();
  const memory = new Memory(() => ({ length: 0, key: () => null, getItem: (key) => values.get(key) ?? null, setItem: (key, value) => values.set(key, value), removeItem: (key) => values.delete(key) }));
  memory.keep({ ...upload("a"), token: "t" });
  memory.update(upload("a", "ready"));
  assert.deepEqual([memory.get("a").state, memory.get("a").token], ["ready", "t"]);
  memory.forget("a");
  assert.equal(memory.get("a"), null);
});
