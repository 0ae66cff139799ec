import { backoff } from "./backoff.js";
import { readProblem } from "./probe.js";
import { FAILED } from "./words.js";

/** While the network is up. */
const MAX_ATTEMPTS = 3;
const MIN_DELAY_MS = 300;
const SPEED_WINDOW_MS = 4000;
const MIN_SPEED_SPAN_MS = 300;

export class Network extends EventTarget {
  /** @param {() => boolean} isUp */
  constructor(isUp) {
    super();
    this.isUp = isUp;
  }

  /** The network may have changed. */
  check() {
    if (this.isUp()) this.dispatchEvent(new Event("up"));
  }

  /** Resolves on abort, too. @param {AbortSignal} signal @returns {Promise<void>} */
  waitUntilUp(signal) {
    return new Promise((resolve) => {
      this.addEventListener("up", () => resolve(), { once: true, signal });
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }
}

/** @param {SendOrder} order @param {Network} network @returns {Promise<Outcome>} */
export async function sendWithRetries(order, network) {
  const { file, signal } = order;
  for (let attempts = 1; ; attempts += 1) {
    const readSpeed = speedometer(() => performance.now());
    const outcome = await send({ ...order, progress: (sent) => order.progress(sent, readSpeed(sent * file.size)) });
    if (!("interrupted" in outcome) || signal.aborted) return outcome;
    if (attempts < MAX_ATTEMPTS) await new Promise((resolve) => setTimeout(resolve, MIN_DELAY_MS + backoff(attempts, Math.random)));
    if (!network.isUp()) {
      await network.waitUntilUp(signal);
      attempts = 0;
    } else if (attempts >= MAX_ATTEMPTS) {
      return outcome;
    }
  }
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

/**
 * One attempt, not by `fetch`: it reports no upload progress.
 * @param {SendAttempt} attempt
 * @param {() => XMLHttpRequest} [open]
 * @returns {Promise<Outcome>}
 */
export function send({ url, file, key, signal, progress }, open = () => new XMLHttpRequest()) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve({ aborted: true });
    const request = open();
    const abort = () => request.abort();
    signal.addEventListener("abort", abort, { once: true });
    request.open("POST", url);
    request.setRequestHeader("accept", "application/json");
    request.setRequestHeader("idempotency-key", key);
    request.responseType = "json";
    request.upload.onprogress = ({ loaded, total }) => progress(total ? Math.min(1, loaded / total) : 0);
    request.onload = () => resolve(outcomeOf(request, file.size));
    request.onerror = () => resolve({ interrupted: true });
    request.onabort = () => resolve({ aborted: true });
    request.onloadend = () => signal.removeEventListener("abort", abort);
    const form = new FormData();
    form.append("file", file, file.name);
    request.send(form);
  });
}

/**
 * @param {XMLHttpRequest} answer
 * @param {Bytes} bytes
 * @returns {Outcome}
 */
function outcomeOf({ status, response }, bytes) {
  const upload = response?.uploads?.[0];
  if (status >= 200 && status < 300 && upload) return { upload };
  const rejected = response?.rejected?.[0];
  if (rejected) return readProblem(rejected.status, rejected, bytes);
  // A gateway without its server, a restart, or an earlier attempt in flight.
  if ([502, 504].includes(status) || /draining|key-in-use/.test(response?.type)) return { interrupted: true };
  if (status === 429 || status === 503 || status === 507) return { refused: false, reason: response?.title || FAILED.full };
  const { refused, reason } = readProblem(status, response, bytes);
  return { refused, reason: reason || FAILED.server };
}

/**
 * @param {Upload} upload
 * @param {AbortSignal} signal
 * @param {typeof fetch} [request]
 * @returns {Promise<Upload | null>} `null` on failure
 */
export async function requestRetry({ links }, signal, request = fetch) {
  try {
    const headers = { accept: "application/json" };
    const answer = await request(`${links.self}/retry`, { method: "POST", headers, signal });
    // 409: another client has retried it.
    const current = answer.status === 409 ? await request(links.self, { headers, signal }) : answer;
    return current.ok ? await current.json() : null;
  } catch {
    return null;
  }
}
