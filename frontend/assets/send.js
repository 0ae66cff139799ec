// @ts-check
/** Sends one file, and says what became of it. */

import { STATUS } from "./words.js";

/** @typedef {import("./merge.js").Upload} Upload */
/** @typedef {{upload?: Upload, reason: string, refused: boolean}} Outcome */

/** Answers that say something of the file, and not of the moment. */
const REFUSALS = [400, 413, 415, 422];

/**
 * @param {File} file
 * @param {{bulk: boolean, signal: AbortSignal, progress: (part: number) => void}} options `progress` from 0 to 1
 * @returns {Promise<Outcome>}
 */
export function send(file, { bulk, signal, progress }) {
  return new Promise((resolve) => {
    // fetch cannot tell how much of a body was sent.
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("file", file, file.name);
    request.open("POST", bulk ? "./uploads?lane=bulk" : "./uploads");
    request.responseType = "json";
    request.setRequestHeader("accept", "application/json");
    request.upload.onprogress = (event) => progress(event.loaded / (event.total || 1));
    request.onload = () => resolve(outcome(request.status, request.response));
    request.onerror = request.onabort = () => resolve({ reason: STATUS.dropped, refused: false });
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

/**
 * @param {number} status
 * @param {any} body
 * @returns {Outcome}
 */
function outcome(status, body) {
  const [upload] = body?.uploads ?? [];
  if (upload) return { upload, reason: "", refused: false };
  const reason = status === 503 ? STATUS.full : body?.title;
  return { reason: reason ?? STATUS.dropped, refused: REFUSALS.includes(status) };
}
