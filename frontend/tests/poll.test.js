import { beforeEach, test } from "node:test";
import assert from "node:assert/strict";
import { Poller } from "../assets/poll.js";
import { Clock, settle, upload } from "./clock.js";

let clock, asked, answers, told, unknown, poller, random;

const answer = (status, headers = {}, body = null) => ({ status, headers: new Headers(headers), json: async () => body });
const notYet = () => answer(404, { "retry-after": "2" });

beforeEach(() => {
  [clock, asked, answers, told, unknown, random] = [new Clock(), [], {}, [], [], 0.5];
  poller = new Poller({
    after: clock.after,
    cancel: clock.cancel,
    random: () => random,
    fetch: async (url, options) => {
      asked.push([clock.time, url]);
      if (options.signal.aborted) throw new Error("aborted");
      const ready = answers[url] ?? notYet();
      if (ready instanceof Error) throw ready;
      return ready;
    },
    tell: (news) => {
      told.push(news);
      if (news.state === "ready") poller.unwatch(news.id);
    },
    unknown: (id) => {
      unknown.push(id);
      poller.unwatch(id);
    },
  });
});

test("nothing is asked before it is started", async () => {
  poller.watch("a", "/uploads/a");
  await clock.pass(60_000);
  assert.deepEqual(asked, []);
});

test("each thumbnail is asked for at once and then every two seconds, more or less a tenth", async () => {
  poller.watch("a", "/uploads/a");
  poller.start();
  await clock.pass(4000);
  assert.deepEqual(asked.map(([time]) => time), [0, 2000, 4000]);
  random = 0;
  await clock.pass(2000 + 1800);
  random = 0.999999;
  await clock.pass(1800 + 2200);
  assert.deepEqual(asked.map(([time]) => Math.round(time)).slice(3), [6000, 7800, 9600, 11_800]);
});

test("when the thumbnail is there the upload itself is asked, and nothing more", async () => {
  poller.watch("a", "/uploads/a");
  answers["/uploads/a/small"] = answer(200);
  answers["/uploads/a"] = answer(200, {}, upload("a", "ready"));
  poller.start();
  await clock.pass(60_000);
  assert.deepEqual(told.map(({ state }) => state), ["ready"]);
  assert.deepEqual(asked.map(([, url]) => url), ["/uploads/a/small", "/uploads/a"]);
  assert.equal(clock.waiting, 0);
});

test("410 means that the upload tells why", async () => {
  poller.watch("a", "/uploads/a");
  answers["/uploads/a/small"] = answer(410);
  answers["/uploads/a"] = answer(200, {}, upload("a", "failed"));
  poller.start();
  await settle();
  assert.deepEqual(told.map(({ state }) => state), ["failed"]);
});

test("a 404 without Retry-After means that there is nothing to wait for", async () => {
  poller.watch("a", "/uploads/a");
  answers["/uploads/a/small"] = answer(404);
  poller.start();
  await clock.pass(60_000);
  assert.deepEqual(unknown, ["a"]);
  assert.equal(asked.length, 1);
});

test("errors are asked away", async () => {
  poller.watch("a", "/uploads/a");
  answers["/uploads/a/small"] = new Error("no network");
  poller.start();
  await clock.pass(2000);
  answers["/uploads/a/small"] = answer(503);
  await clock.pass(2000);
  assert.equal(asked.length, 3);
});

test("stopped, it asks no more; started again, at once", async () => {
  poller.watch("a", "/uploads/a");
  poller.start();
  await settle();
  poller.stop();
  assert.equal(clock.waiting, 0);
  await clock.pass(10_000);
  assert.equal(asked.length, 1);
  poller.start();
  poller.start();
  await settle();
  assert.equal(asked.length, 2);
});

test("what is waited for later is asked after one interval", async () => {
  poller.start();
  poller.watch("a", "/uploads/a");
  poller.watch("a", "/uploads/a");
  await clock.pass(1999);
  assert.equal(asked.length, 0);
  await clock.pass(1);
  assert.equal(asked.length, 1);
});
