import { beforeEach, test } from "node:test";
import assert from "node:assert/strict";
import { UploadKey } from "../assets/memory.js";
import { requestRetry, send, sendWithRetries, speedometer } from "../assets/send.js";

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
  getResponseHeader(name) {
    return this.answered[name] ?? null;
  }
  answer(status, response, answered = {}) {
    Object.assign(this, { status, response, answered });
    this.onload();
    this.onloadend();
  }
}

const sent = [];
const file = new File(["0123456789"], "cat.jpg", { type: "image/jpeg" });
const start = (signal = new AbortController().signal) => send({ url: "./uploads", file, key: "k1", headers: {}, signal, progress: (part) => sent.push(part) }, () => (request = new FakeRequest()));

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
  const ours = (kind, title) => ({ type: `/problems/${kind}`, title });
  const again = (reason, retryMs = 0) => ({ interrupted: true, reason, retryMs });
  const cases = [
    [202, { uploads: [], rejected: [{ name: "cat.jpg", status: 415, looks_like: "a film" }] }, { refused: true, reason: "This is a film, not a picture." }],
    [413, { limit: 1_048_576 }, { refused: true, reason: "10 bytes is too large. The limit is 1 MB." }],
    [503, ours("busy", "The server is full."), again("The server is full.", 5000), { "retry-after": "5" }],
    [503, ours("busy", "The server is full."), again("The server is full.", 300_000), { "retry-after": "86400" }],
    [503, ours("draining", "The server is about to stop."), again("The server is about to stop.", 0), { "retry-after": "Thu, 01 Jan 1970 00:00:00 GMT" }],
    [429, ours("too-many-at-once", "Too many at once."), again("Too many at once.", 2000), { "retry-after": "2" }],
    [409, ours("key-in-use", "In flight."), again("In flight.")],
    [507, ours("disk-full", "No room."), again("No room.")],
    [502, null, again("The server isn't answering.")],
    [503, null, again("The server isn't answering.")],
    [504, null, again("The server isn't answering.")],
    // Of networks in front of the server, such as Cloudflare.
    ...[520, 521, 522, 523, 524, 525, 526, 530, 598].map((status) => [status, null, again("The server isn't answering.")]),
    [501, null, { refused: false, reason: "Something went wrong on the server." }],
    [413, null, { refused: true, reason: "Too large for the way to the server: a proxy turned it back." }],
    [200, null, { refused: false, reason: "Something else answered, perhaps a login page. Look in a new tab, then retry." }],
    [403, null, { refused: false, reason: "Something else answered, perhaps a login page. Look in a new tab, then retry." }],
    [404, ours("not-found", "There is nothing here."), { refused: false, reason: "There is nothing here." }],
    [500, null, { refused: false, reason: "Something went wrong on the server." }],
  ];
  for (const [status, body, wanted, headers] of cases) {
    const outcome = start();
    request.answer(status, body, headers);
    assert.deepEqual(await outcome, wanted, `${status} ${body?.type}`);
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

/** Sends with retries; `answers` are given in turn, an error for each missing status. */
async function sending({ answerer = "server", answers = [], of = file, keyed = null }) {
  const [given, authorized] = [[], []];
  globalThis.XMLHttpRequest = class extends FakeRequest {
    send() {
      const [status, body] = answers.shift() ?? [];
      given.push(status ?? "error");
      authorized.push(this.headers.authorization);
      queueMicrotask(() => (status ? this.answer(status, body) : (this.onerror(), this.onloadend())));
    }
  };
  const confirmed = [];
  const network = { confirm: async () => (confirmed.push(answerer), answerer), probe: async () => answerer };
  const uploadKey = keyed ?? { value: "", headers: () => ({}) };
  const order = { url: "./uploads", file: of, key: "k1", signal: new AbortController().signal, progress() {}, wait() {} };
  try {
    return { outcome: await sendWithRetries(order, network, uploadKey), given, confirmed, authorized };
  } finally {
    delete globalThis.XMLHttpRequest;
  }
}

test("while the server is away an upload is tried again however often that takes", async () => {
  const { outcome, given } = await sending({ answerer: "none", answers: [...Array(20).fill([0]), [202, { uploads: [{ id: "a" }] }]] });
  assert.deepEqual([outcome, given.length], [{ upload: { id: "a" } }, 21]);
});

test("three interruptions by a server that answers end the upload", async () => {
  const { outcome, given } = await sending({});
  assert.deepEqual([outcome, given.length], [{ interrupted: true }, 3]);
});

test("a login page in front of the server is named", async () => {
  const { outcome } = await sending({ answerer: "other" });
  assert.deepEqual(outcome, { refused: false, reason: "Something else answered, perhaps a login page. Look in a new tab, then retry." });
});

test("a file that changed after it was chosen is refused, and the server is not asked", async () => {
  const changed = { size: 10, slice: () => ({ arrayBuffer: () => Promise.reject(new Error("NotReadableError")) }) };
  globalThis.FormData = class {
    append() {}
  };
  const { outcome, confirmed } = await sending({ of: changed });
  assert.deepEqual([outcome, confirmed], [{ refused: true, reason: "The file changed after it was chosen. Choose it again." }, []]);
});

const problem = (status, kind) => [status, { type: `/problems/${kind}`, title: "No.", status }];

test("an upload without a valid key waits for one, and is sent again with it", async () => {
  const given = ["bad", "good"];
  const asked = [];
  const keyed = new UploadKey(() => ({ getItem: () => null, setItem() {}, removeItem() {} }), () => {
    if (!keyed.need) return;
    asked.push(keyed.need);
    queueMicrotask(() => keyed.use(given.shift()));
  });
  const { outcome, authorized } = await sending({ keyed, answers: [problem(401, "key-needed"), problem(401, "wrong-key"), [202, { uploads: [{ id: "a" }] }]] });
  assert.deepEqual(outcome, { upload: { id: "a" } });
  assert.deepEqual([asked, authorized], [["needed", "wrong"], [undefined, "Bearer bad", "Bearer good"]]);
});

test("a key that is late or used up is named, and not sent again", async () => {
  for (const [status, kind, reason] of [
    [403, "ticket-late", "This link has expired. Ask for a new one."],
    [403, "ticket-used-up", "This link is used up. Ask for a new one."],
    [429, "day-used-up", "This key is used up for today."],
    [507, "room-used-up", "This key has no room left."],
  ]) {
    const { outcome, given } = await sending({ answers: [problem(status, kind)] });
    assert.deepEqual([outcome, given], [{ refused: true, reason }, [status]]);
  }
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
  const refused = [];
  const key = { value: "k", headers: () => ({ authorization: "Bearer k" }), refuse: (used) => refused.push(used) };
  const retry = async (...answers) => {
    const requests = [];
    const request = async (url, { method = "GET", headers }) => {
      requests.push(`${method} ${url}`);
      assert.equal(headers.authorization, "Bearer k");
      const [status, body] = answers.shift();
      return new Response(JSON.stringify(body), { status });
    };
    return [await requestRetry(upload, signal, key, request), requests];
  };
  assert.deepEqual(await retry([202, { id: "a", gen: 2 }]), [{ id: "a", gen: 2 }, ["POST /uploads/a/retry"]]);
  assert.deepEqual(await retry([409, {}], [200, { id: "a", gen: 3 }]), [{ id: "a", gen: 3 }, ["POST /uploads/a/retry", "GET /uploads/a"]]);
  assert.deepEqual(await retry([503, {}]), [null, ["POST /uploads/a/retry"]]);
  assert.deepEqual(await retry([401, {}]), [null, ["POST /uploads/a/retry"]]);
  assert.deepEqual(refused, ["k"]);
  assert.equal(await requestRetry(upload, signal, key, () => Promise.reject(new Error("no network"))), null);
});
