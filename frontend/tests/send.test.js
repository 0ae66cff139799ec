import { beforeEach, test } from "node:test";
import assert from "node:assert/strict";
import { requestRetry, send, speedometer } from "../assets/send.js";

let request;

class FakeRequest {
  headers = {};
  upload = {};
  isAborted = false;
  open(method, url) {
    Object.assign(this, { method, url });
  }
  setRequestHeader(name, value) {
    this.headers[name] = value;
  }
  send(form) {
    this.form = form;
  }
  abort() {
    this.isAborted = true;
    this.onabort();
    this.onloadend();
  }
  answer(status, response) {
    Object.assign(this, { status, response });
    this.onload();
    this.onloadend();
  }
}

const sent = [];
const file = new File(["0123456789"], "cat.jpg", { type: "image/jpeg" });
const start = (signal = new AbortController().signal) => send({ url: "./uploads", file, key: "k1", signal, progress: (part) => sent.push(part) }, () => (request = new FakeRequest()));

beforeEach(() => {
  sent.length = 0;
});

test("a file is sent as one form field, with its idempotency key", async () => {
  const outcome = start();
  assert.deepEqual([request.method, request.url, request.headers["idempotency-key"]], ["POST", "./uploads", "k1"]);
  assert.equal(request.form.get("file").name, "cat.jpg");
  request.upload.onprogress({ loaded: 5, total: 10 });
  request.answer(202, { uploads: [{ id: "a" }], rejected: [] });
  assert.deepEqual(await outcome, { upload: { id: "a" } });
  assert.deepEqual(sent, [0.5]);
});

test("every other answer gets the outcome that fits it", async () => {
  const cases = [
    [202, { uploads: [], rejected: [{ name: "cat.jpg", status: 415, looks_like: "a film" }] }, { refused: true, reason: "This is a film, not a picture." }],
    [413, { limit: 1_048_576 }, { refused: true, reason: "10 bytes is too large. The limit is 1 MB." }],
    [503, { type: "/problems/busy", title: "The server is full. Try again later." }, { refused: false, reason: "The server is full. Try again later." }],
    [503, { type: "/problems/draining" }, { interrupted: true }],
    [507, null, { refused: false, reason: "The server is full. Try again later." }],
    [502, null, { interrupted: true }],
    [500, null, { refused: false, reason: "Something went wrong on the server." }],
  ];
  for (const [status, body, wanted] of cases) {
    const outcome = start();
    request.answer(status, body);
    assert.deepEqual(await outcome, wanted, String(status));
  }
});

test("sending can be aborted before and during the request", async () => {
  const controller = new AbortController();
  const outcome = start(controller.signal);
  controller.abort();
  assert.deepEqual(await outcome, { aborted: true });
  assert.equal(request.isAborted, true);
  request = null;
  assert.deepEqual(await start(controller.signal), { aborted: true });
  assert.equal(request, null);
});

test("the speed is measured over the last seconds", () => {
  let now = 0;
  const read = speedometer(() => now);
  now = 100;
  assert.equal(read(1000), 0);
  now = 1000;
  assert.equal(read(100_000), 100_000);
  for (let bytes = 100_000; now < 20_000; now += 500) read((bytes += 5000));
  assert.ok(Math.abs(read(300_000) - 10_000) < 2000);
});

test("a retry returns the upload, also if another client retried first, and null on failure", async () => {
  const upload = { id: "a", links: { self: "/uploads/a" } };
  const { signal } = new AbortController();
  const retry = async (...answers) => {
    const requests = [];
    const request = async (url, { method = "GET" }) => {
      requests.push(`${method} ${url}`);
      const [status, body] = answers.shift();
      return new Response(JSON.stringify(body), { status });
    };
    return [await requestRetry(upload, signal, request), requests];
  };
  assert.deepEqual(await retry([202, { id: "a", gen: 2 }]), [{ id: "a", gen: 2 }, ["POST /uploads/a/retry"]]);
  assert.deepEqual(await retry([409, {}], [200, { id: "a", gen: 3 }]), [{ id: "a", gen: 3 }, ["POST /uploads/a/retry", "GET /uploads/a"]]);
  assert.deepEqual(await retry([503, {}]), [null, ["POST /uploads/a/retry"]]);
  assert.equal(await requestRetry(upload, signal, () => Promise.reject(new Error("no network"))), null);
});
