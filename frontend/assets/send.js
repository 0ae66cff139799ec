/** Sends a file, and again while that makes sense: its key makes it safe. */

import { backoff } from "./backoff.js";
import { refusal } from "./probe.js";
import { FAILED } from "./words.js";

/** Tries while the network is there, before a file fails. */
const MAX_TRIES = 3;
const REST_MS = 300;
/** How far a speed looks back. */
const LOOK_BACK_MS = 4000;
/** Before this it is a guess. */
const AT_LEAST_MS = 300;

export class Network extends EventTarget {
  /** @param {() => boolean} isUp */
  constructor(isUp) {
    super();
    this.isUp = isUp;
  }

  look() {
    if (this.isUp()) this.dispatchEvent(new Event("up"));
  }

  /** Until it is up. @param {AbortSignal} signal @returns {Promise<void>} */
  up(signal) {
    return new Promise((resolve) => {
      this.addEventListener("up", () => resolve(), { once: true, signal });
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }
}

/** @param {Order} order @param {Network} network @returns {Promise<Outcome>} */
export async function sendThrough(order, network) {
  const { file, signal } = order;
  for (let tries = 1; ; tries += 1) {
    const readSpeed = speedometer(() => performance.now());
    const outcome = await send({ ...order, progress: (sent) => order.progress(sent, readSpeed(sent * file.size)) });
    if (!("dropped" in outcome) || signal.aborted) return outcome;
    if (tries < MAX_TRIES) await new Promise((resolve) => setTimeout(resolve, REST_MS + backoff(tries, Math.random)));
    if (!network.isUp()) {
      await network.up(signal);
      tries = 0;
    } else if (tries >= MAX_TRIES) {
      return outcome;
    }
  }
}

/** Over the last moments only. @param {() => number} now milliseconds @returns {(bytes: number) => number} bytes so far to bytes a second; 0 while unknown */
export function speedometer(now) {
  const marks = [{ at: now(), bytes: 0 }];
  return (bytes) => {
    const at = now();
    marks.push({ at, bytes });
    while (marks.length > 2 && at - (marks[1]?.at ?? at) > LOOK_BACK_MS) marks.shift();
    const first = marks[0];
    if (!first || at - first.at < AT_LEAST_MS) return 0;
    return ((bytes - first.bytes) / (at - first.at)) * 1000;
  };
}

/**
 * Once. `XMLHttpRequest` because `fetch` tells nothing of the progress of a body.
 * @param {Omit<Order, "progress"> & {progress: (sent: number) => void}} order
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
    request.onload = () => resolve(read(request, file.size));
    request.onerror = () => resolve({ dropped: true });
    request.onabort = () => resolve({ aborted: true });
    request.onloadend = () => signal.removeEventListener("abort", abort);
    const form = new FormData();
    form.append("file", file, file.name);
    request.send(form);
  });
}

/**
 * @param {Pick<XMLHttpRequest, "status" | "response">} answer
 * @param {number} bytes
 * @returns {Outcome}
 */
function read({ status, response }, bytes) {
  const upload = response?.uploads?.[0];
  if (status >= 200 && status < 300 && upload) return { upload };
  const rejected = response?.rejected?.[0];
  if (rejected) return refusal(rejected.status, rejected, bytes);
  // A gateway without a server behind it, a server that starts again, or the try before this one still on its way.
  if ([502, 504].includes(status) || /draining|key-in-use/.test(response?.type)) return { dropped: true };
  if (status === 429 || status === 503 || status === 507) return { refused: false, reason: response?.title || FAILED.full };
  const { refused, reason } = refusal(status, response, bytes);
  return { refused, reason: reason || FAILED.server };
}
