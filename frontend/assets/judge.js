/** Whether a file is worth sending, by what the server takes. */

import { REFUSED } from "./words.js";

/** @import { Kind, Limits } from "../types.d.ts" */

/** What a server takes unless it says otherwise. @type {Limits} */
export const USUAL = {
  max_upload_bytes: 50 * 1024 * 1024,
  max_pixels: 100_000_000,
  formats: ["jpeg", "png", "gif", "webp", "bmp", "tiff"],
};

/**
 * @param {number} bytes
 * @param {Kind | null} kind
 * @param {Limits} limits
 * @returns {string} why it is refused; empty if it is not
 */
export function judge(bytes, kind, limits) {
  if (bytes === 0) return REFUSED.empty;
  if (!kind) return REFUSED.other;
  if (kind.article) return REFUSED.kind(kind.article);
  if (kind.format && !limits.formats.includes(kind.format)) {
    return kind.format === "heic" ? REFUSED.heic : REFUSED.format(kind.name);
  }
  if (bytes > limits.max_upload_bytes) return REFUSED.tooLarge(bytes, limits.max_upload_bytes);
  const pixels = (kind.width ?? 0) * (kind.height ?? 0);
  return pixels > limits.max_pixels ? REFUSED.tooManyPixels(pixels, limits.max_pixels) : "";
}

/**
 * The same in the server's answer: a status and its problem.
 * @param {number} status
 * @param {any} problem
 * @param {number} bytes
 * @returns {{refused: boolean, reason: string}}
 */
export function refusal(status, problem, bytes) {
  const title = typeof problem?.title === "string" ? problem.title : "";
  switch (status) {
    case 413:
      return { refused: true, reason: problem?.limit ? REFUSED.tooLarge(bytes, problem.limit) : title };
    case 415:
      return { refused: true, reason: problem?.looks_like ? REFUSED.kind(problem.looks_like) : title || REFUSED.other };
    case 400:
    case 422:
      return { refused: true, reason: title };
    default:
      return { refused: false, reason: title };
  }
}
