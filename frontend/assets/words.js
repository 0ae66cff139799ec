// @ts-check
/** Every word that the page makes up from facts. */

/** Sizes as people say them. @param {number} bytes */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  if (bytes < 999_500) return `${Math.round(bytes / 1000)} KB`;
  const mega = bytes / 1_000_000;
  return `${mega < 9.95 ? mega.toFixed(1) : Math.round(mega)} MB`;
}

/** @param {number} ms */
export function seconds(ms) {
  return ms < 59_500 ? `${Math.max(0.1, ms / 1000).toFixed(ms < 9950 ? 1 : 0)} s` : `${Math.round(ms / 60_000)} min`;
}

/** @param {number} width @param {number} height */
export function sides(width, height) {
  return `${width} × ${height}`;
}

/** How long an upload took. @param {{created_at: string, ended_at?: string}} upload */
export function readyIn(upload) {
  const took = upload.ended_at ? Date.parse(upload.ended_at) - Date.parse(upload.created_at) : NaN;
  return Number.isFinite(took) ? `Ready in ${seconds(took)}` : "Ready";
}

/** The headline. @param {number} ready @param {number} all */
export function total(ready, all) {
  if (all === 0) return "Nothing up yet";
  return ready === all ? `All ${all} ready` : `${ready} of ${all} ready`;
}

/** What is not ready. @param {{moving: number, next: number, failed: number, refused: number}} counts */
export function tally({ moving, next, failed, refused }) {
  const parts = [
    [moving, "on the way"],
    [next, "next"],
    [failed, "failed"],
    [refused, "refused"],
  ];
  return parts.filter(([count]) => count).map(([count, what]) => `${count} ${what}`).join(", ");
}

/** Splits a name, so that its end stays in sight. @param {string} name @returns {[string, string]} */
export function nameParts(name) {
  const dot = name.lastIndexOf(".");
  return dot > 0 && name.length - dot <= 6 ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
}

/** Why a file is not sent at all; nothing if it may be. @param {number} bytes @param {number} limit */
export function tooLarge(bytes, limit) {
  return bytes > limit ? `${size(bytes)} is too large. The limit is ${size(limit)}.` : "";
}

export const CONNECTION = { live: "Live", polling: "Polling every 2 s", offline: "Offline" };
export const STATUS = {
  chosen: "Next up",
  uploading: "Uploading",
  queued: "Sent. Waiting for a worker.",
  processing: "A worker is making three sizes.",
  waiting: "Waiting for the network",
  dropped: "The connection dropped on the way up.",
  full: "The server is full. Try again later.",
};
