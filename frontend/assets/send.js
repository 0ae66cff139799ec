/** Sends one file. `XMLHttpRequest` because `fetch` tells nothing of the progress of a body. */

import { refusal } from "./judge.js";
import { FAILED } from "./words.js";

/** @import { Order, Outcome } from "../types.d.ts" */

/**
 * @param {Order} order
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
  // A gateway without a server behind it, for instance while it starts again.
  if (status === 502 || status === 504) return { dropped: true };
  if (status === 503 && response?.type === "/problems/draining") return { dropped: true };
  if (status === 429 || status === 503 || status === 507) return { refused: false, reason: response?.title || FAILED.full };
  const { refused, reason } = refusal(status, response, bytes);
  return { refused, reason: reason || FAILED.server };
}
