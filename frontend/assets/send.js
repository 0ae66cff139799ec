import { backoff } from "./live.js";
import { readProblem } from "./probe.js";
import { FAILED, USED_UP } from "./words.js";

const KEYLESS = /\/(key-needed|wrong-key)$/;
const MAX_ATTEMPTS = 3;
const MAX_BUSY_ATTEMPTS = 12;
const MIN_DELAY_MS = 300;
const MAX_RETRY_AFTER_MS = 300_000;
const STALL_MS = 30_000;
const MAX_STALLS = 4;
const SPEED_WINDOW_MS = 4000;
const MIN_SPEED_SPAN_MS = 300;

/** @type {SendWithRetries} */
export const sendWithRetries = async (order, network, uploadKey) => {
  const { file, signal } = order;
  for (let attempts = 1; ; attempts += 1) {
    const readSpeed = speedometer(() => performance.now());
    const used = uploadKey.value;
    const outcome = await send({ ...order, headers: uploadKey.headers(), progress: (sent) => order.progress(sent, readSpeed(sent * file.size)), isAnswering: async () => (await network.probe()) !== "none" });
    if ("needsKey" in outcome) {
      uploadKey.refuse(used);
      await uploadKey.given(signal);
      if (signal.aborted) return { aborted: true };
      attempts = 0;
      continue;
    }
    if (!("interrupted" in outcome) || signal.aborted) return outcome;
    if (!(await file.slice(0, 1).arrayBuffer().catch(() => null))) return { refused: true, reason: FAILED.changed };
    const answerer = await network.confirm(signal);
    if (signal.aborted) return { aborted: true };
    if (answerer === "other") return { refused: false, reason: FAILED.other };
    if (answerer === "none") attempts = 0;
    else if (attempts >= (outcome.reason ? MAX_BUSY_ATTEMPTS : MAX_ATTEMPTS)) return outcome;
    else {
      order.wait(Boolean(outcome.reason));
      await pause(Math.max(outcome.retryMs ?? 0, MIN_DELAY_MS + backoff(attempts, Math.random)), signal);
      order.wait(false);
    }
  }
};

/** @param {Milliseconds} ms @param {AbortSignal} signal */
function pause(ms, signal) {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
    signal.addEventListener("abort", resolve, { once: true });
  });
}

/** @param {() => Milliseconds} now @returns {Speedometer} */
export function speedometer(now) {
  const samples = [{ at: now(), bytes: 0 }];
  return (bytes) => {
    const at = now();
    samples.push({ at, bytes });
    while (samples.length > 2 && at - (samples[1]?.at ?? at) > SPEED_WINDOW_MS) samples.shift();
    const first = samples[0];
    if (!first || at - first.at < MIN_SPEED_SPAN_MS) return 0;
    return ((bytes - first.bytes) / (at - first.at)) * 1000;
  };
}

/** @type {Send} */
export function send({ url, file, key, headers, signal, progress, isAnswering }, open = () => new XMLHttpRequest()) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve({ aborted: true });
    const request = open();
    const abort = () => request.abort();
    signal.addEventListener("abort", abort, { once: true });
    let [stalls, timer] = [0, 0];
    const watch = () => {
      clearTimeout(timer);
      timer = setTimeout(async () => {
        stalls += 1;
        if (stalls < MAX_STALLS && (await isAnswering())) return timer && watch();
        resolve({ interrupted: true });
        abort();
      }, STALL_MS);
    };
    watch();
    request.open("POST", url);
    request.setRequestHeader("accept", "application/json");
    request.setRequestHeader("idempotency-key", key);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.responseType = "json";
    request.upload.onprogress = ({ loaded, total }) => {
      stalls = 0;
      watch();
      progress(total ? Math.min(1, loaded / total) : 0);
    };
    request.onload = () => resolve(outcomeOf(request, file.size));
    request.onerror = () => resolve({ interrupted: true });
    request.onabort = () => resolve({ aborted: true });
    request.onloadend = () => {
      clearTimeout(timer);
      timer = 0;
      signal.removeEventListener("abort", abort);
    };
    const form = new FormData();
    form.append("file", file, file.name);
    request.send(form);
  });
}

/** @param {XMLHttpRequest} answer @param {Bytes} bytes */
function outcomeOf(answer, bytes) {
  const { status, response } = answer;
  const upload = response?.uploads?.[0];
  if (status >= 200 && status < 300 && upload) return { upload };
  const rejected = response?.rejected?.[0];
  if (rejected) return readProblem(rejected.status, rejected, bytes);
  if (status === 401 && KEYLESS.test(response?.type)) return { needsKey: true };
  const usedUp = USED_UP[response?.type];
  if (usedUp) return { refused: true, reason: usedUp };
  if (/408|429|50[2-47]|5[2-9]./.test(String(status)) || /key-in-use/.test(response?.type)) {
    return { interrupted: true, reason: response?.title || FAILED.unreachable, retryMs: retryAfter(answer) };
  }
  if (typeof response?.title !== "string" && status < 500 && status !== 413) return { refused: false, reason: FAILED.other };
  const { refused, reason } = readProblem(status, response, bytes);
  return { refused, reason: status === 500 ? FAILED.server : reason || FAILED.server };
}

/** @param {XMLHttpRequest} answer */
function retryAfter(answer) {
  const value = answer.getResponseHeader("retry-after") ?? "";
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Math.min(MAX_RETRY_AFTER_MS, Math.max(0, ms || 0));
}

/** @type {RequestRetry} */
export const requestRetry = async ({ links }, signal, uploadKey, request = fetch) => {
  try {
    const used = uploadKey.value;
    const headers = { accept: "application/json", ...uploadKey.headers() };
    const answer = await request(`${links.self}/retry`, { method: "POST", headers, signal });
    if (answer.status === 401) uploadKey.refuse(used);
    const current = answer.status === 409 ? await request(links.self, { headers, signal }) : answer;
    return current.ok ? await current.json() : null;
  } catch {
    return null;
  }
};

export const MAX_RUNNING = 3;

/** @template T */
export class Queue {
  /** @type {T[]} */
  #waiting = [];
  #running = 0;
  #isPaused = false;

  /** @param {(item: T) => Promise<void>} run */
  constructor(run, most = MAX_RUNNING) {
    this.run = run;
    this.most = most;
  }

  /** @param {T} item */
  add(item) {
    this.#waiting.push(item);
    this.#fill();
  }

  /** @param {T} item */
  remove(item) {
    this.#waiting = this.#waiting.filter((other) => other !== item);
  }

  pause() {
    this.#isPaused = true;
  }

  resume() {
    this.#isPaused = false;
    this.#fill();
  }

  #fill() {
    while (!this.#isPaused && this.#running < this.most) {
      const item = this.#waiting.shift();
      if (item === undefined) return;
      this.#running += 1;
      const done = () => {
        this.#running -= 1;
        this.#fill();
      };
      this.run(item).then(done, (error) => {
        done();
        throw error;
      });
    }
  }
}

const MIN_PROBE_MS = 500;
const MAX_PROBE_MS = 8000;

export class Network extends EventTarget {
  #environment;
  #failures = 0;
  /** @type {Promise<Answerer> | null} */
  #probing = null;
  #timer = 0;

  /** @param {NetworkEnvironment} environment */
  constructor(environment) {
    super();
    this.#environment = environment;
    this.isAnswering = true;
  }

  isUp() {
    return this.isAnswering && this.#environment.isOnline();
  }

  /** @param {boolean} [isLive] */
  check(isLive = false) {
    if (isLive) this.#setAnswering(true);
    else if (!this.isAnswering && this.#environment.isOnline()) this.probe();
    if (this.isUp()) this.dispatchEvent(new Event("up"));
  }

  /** @param {AbortSignal} signal */
  async confirm(signal) {
    const answerer = this.isUp() ? await this.probe() : "none";
    if (answerer !== "none") return answerer;
    if (!this.isUp() && !signal.aborted) {
      await new Promise((resolve) => {
        for (const source of [this, signal]) {
          for (const type of ["up", "abort"]) source.addEventListener(type, resolve, { once: true });
        }
      });
    }
    return "none";
  }

  probe() {
    this.#environment.cancel(this.#timer);
    this.#probing ??= this.#environment.probe().then((answerer) => {
      this.#probing = null;
      this.#setAnswering(answerer !== "none" || !this.#environment.isOnline());
      return answerer;
    });
    return this.#probing;
  }

  /** @param {boolean} isAnswering */
  #setAnswering(isAnswering) {
    const { after, cancel, random, onChange, isOnline } = this.#environment;
    cancel(this.#timer);
    const delayMs = MIN_PROBE_MS + Math.min(MAX_PROBE_MS, backoff(this.#failures, random));
    if (!isAnswering) this.#timer = after(() => isOnline() && this.probe(), delayMs);
    this.#failures = isAnswering ? 0 : this.#failures + 1;
    if (isAnswering === this.isAnswering) return;
    this.isAnswering = isAnswering;
    onChange(isAnswering);
    if (this.isUp()) this.dispatchEvent(new Event("up"));
  }
}
