import { beforeEach, test } from "node:test";
import assert from "node:assert/strict";
import { Poller } from "../assets/live.js";
import { Clock, settle, upload } from "./clock.js";

let clock, requests, answers, uploads, unknown, poller, random;

const answer = (status, headers = {}, body = null) => ({ status, headers: new Headers(headers), json: async () => body });
const notYet = () => answer(404, { "retry-after": "2" });

beforeEach(() => {
  [clock, requests, answers, uploads, unknown, random] = [new Clock(), [], {}, [], [], 0.5];
  poller = new Poller({
    after: clock.after,
    cancel: clock.cancel,
    random: () => random,
    fetch: async (url, options) => {
      requests.push([clock.time, url]);
      if (options.signal.aborted) throw new Error("aborted");
      const ready = answers[url] ?? notYet();
      if (ready instanceof Error) throw ready;
      return ready;
    },
    onUpload: (update) => {
      uploads.push(update);
      if (update.state === "ready") poller.unsubscribe(update.id);
    },
    onUnknown: (id) => {
      unknown.push(id);
      poller.unsubscribe(id);
    },
  });
});

test("nothing is requested before polling starts", async () => {
  poller.subscribe("a", "/uploads/a", false);
  await clock.pass(60_000);
  assert.deepEqual(requests, []);
});

test("each thumbnail is requested at once and then every two seconds ± 10 %", async () => {
  poller.subscribe("a", "/uploads/a", false);
  poller.start();
  await clock.pass(4000);
  assert.deepEqual(requests.map(([time]) => time), [0, 2000, 4000]);
  random = 0;
  await clock.pass(2000 + 1800);
  random = 0.999999;
  await clock.pass(1800 + 2200);
  assert.deepEqual(requests.map(([time]) => Math.round(time)).slice(3), [6000, 7800, 9600, 11_800]);
});

test("an existing thumbnail leads to one request for the upload, and to no more", async () => {
  poller.subscribe("a", "/uploads/a", false);
  answers["/uploads/a/small"] = answer(200);
  answers["/uploads/a"] = answer(200, {}, upload("a", "ready"));
  poller.start();
  await clock.pass(60_000);
  assert.deepEqual(uploads.map(({ state }) => state), ["ready"]);
  assert.deepEqual(requests.map(([, url]) => url), ["/uploads/a/small", "/uploads/a"]);
  assert.equal(clock.waiting, 0);
});

test("after 410 the upload is requested, which names the error", async () => {
  poller.subscribe("a", "/uploads/a", false);
  answers["/uploads/a/small"] = answer(410);
  answers["/uploads/a"] = answer(200, {}, upload("a", "failed"));
  poller.start();
  await settle();
  assert.deepEqual(uploads.map(({ state }) => state), ["failed"]);
});

test("after 410 of the upload itself it is gone", async () => {
  poller.subscribe("a", "/uploads/a", false);
  answers["/uploads/a/small"] = answer(410);
  answers["/uploads/a"] = answer(410);
  poller.start();
  await settle();
  assert.deepEqual(uploads.map(({ id, state }) => [id, state]), [["a", "gone"]]);
});

test("404 without Retry-After reports an unknown upload", async () => {
  poller.subscribe("a", "/uploads/a", false);
  answers["/uploads/a/small"] = answer(404);
  poller.start();
  await clock.pass(60_000);
  assert.deepEqual(unknown, ["a"]);
  assert.equal(requests.length, 1);
});

test("errors do not stop polling", async () => {
  poller.subscribe("a", "/uploads/a", false);
  answers["/uploads/a/small"] = new Error("no network");
  poller.start();
  await clock.pass(2000);
  answers["/uploads/a/small"] = answer(503);
  await clock.pass(2000);
  assert.equal(requests.length, 3);
});

test("stopping ends all requests, and starting again requests at once", async () => {
  poller.subscribe("a", "/uploads/a", false);
  poller.start();
  await settle();
  poller.stop();
  assert.equal(clock.waiting, 0);
  await clock.pass(10_000);
  assert.equal(requests.length, 1);
  poller.start();
  poller.start();
  await settle();
  assert.equal(requests.length, 2);
});

test("an upload that is subscribed while polling is first requested after one interval", async () => {
  poller.start();
  poller.subscribe("a", "/uploads/a", false);
  poller.subscribe("a", "/uploads/a", false);
  await clock.pass(1999);
  assert.equal(requests.length, 0);
  await clock.pass(1);
  assert.equal(requests.length, 1);
});

test("an ended upload is asked once a minute whether it was deleted or retried", async () => {
  poller.subscribe("a", "/uploads/a", true);
  answers["/uploads/a"] = answer(200, {}, upload("a", "failed"));
  poller.start();
  await clock.pass(59_999);
  assert.deepEqual(requests, []);
  await clock.pass(60_001);
  assert.deepEqual(requests, [[60_000, "/uploads/a"], [120_000, "/uploads/a"]]);
  answers["/uploads/a"] = answer(410);
  await clock.pass(60_000);
  assert.deepEqual(uploads.map(({ state }) => state), ["failed", "failed", "gone"]);
  answers["/uploads/a"] = answer(404);
  await clock.pass(60_000);
  assert.deepEqual(unknown, ["a"]);
  assert.equal(clock.waiting, 0);
});

test("an upload that ends while it is polled has one timer, with the long pause", async () => {
  poller.subscribe("a", "/uploads/a", false);
  answers["/uploads/a/small"] = answer(410);
  answers["/uploads/a"] = answer(200, {}, upload("a", "failed"));
  poller.start();
  await settle();
  poller.subscribe("a", "/uploads/a", true);
  assert.equal(clock.waiting, 1);
  requests = [];
  await clock.pass(60_000);
  assert.deepEqual(requests.map(([, url]) => url), ["/uploads/a"]);
  poller.subscribe("a", "/uploads/a", false);
  await clock.pass(2000);
  assert.deepEqual(requests.map(([, url]) => url).slice(1), ["/uploads/a/small", "/uploads/a"], "a retry shortens it");
});
