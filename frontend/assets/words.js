const NO_BREAK = "\u00a0";

/** @param {Bytes} bytes */
export function size(bytes) {
  if (bytes < 1000) return bytes === 1 ? "1 byte" : `${bytes} bytes`;
  if (bytes < 999_500) return `${Math.round(bytes / 1000)} KB`;
  return `${megabytes(bytes)} MB`;
}

/** @param {Bytes} bytes */
function megabytes(bytes) {
  const millions = bytes / 1_000_000;
  return millions < 9.95 ? millions.toFixed(1) : String(Math.round(millions));
}

/** @param {Bytes} bytes */
export function limit(bytes) {
  const mebibytes = bytes / 1_048_576;
  return Number.isInteger(mebibytes) ? `${mebibytes} MB` : size(bytes);
}

/** @param {Sides} sides */
export function sides({ width, height }) {
  return `${width} × ${height}`;
}

/** @param {BytesPerSecond} bytesPerSecond */
export function speed(bytesPerSecond) {
  return bytesPerSecond < 499_500
    ? `${Math.max(1, Math.round(bytesPerSecond / 1000))} KB/s`
    : `${(bytesPerSecond / 1_000_000).toFixed(1)} MB/s`;
}

/** @param {number} seconds */
export function timeLeft(seconds) {
  if (seconds < 1) return "nearly there";
  return seconds < 90 ? `${Math.round(seconds)} s left` : `${Math.round(seconds / 60)} min left`;
}

/** @type {ToSend} */
export function toSend({ files, bytes, speed }) {
  if (files < 2) return "";
  return `${size(Math.ceil(bytes))} to send${speed ? `, ${timeLeft(bytes / speed)}` : ""}`;
}

/** @param {Fraction} sent */
export function percent(sent) {
  return `${Math.floor(sent * 100)}%`;
}

/** @param {Fraction} sent */
export function sentPart(sent) {
  return `${percent(sent)} sent`;
}

/** @param {Fraction} sent @param {Bytes} bytes */
export function sentOf(sent, bytes) {
  if (bytes < 999_500) return `${Math.round((sent * bytes) / 1000)} of ${size(bytes)}`;
  return `${((sent * bytes) / 1_000_000).toFixed(bytes < 9_950_000 ? 1 : 0)} of ${size(bytes)}`;
}

/** @param {Milliseconds} ms */
function duration(ms) {
  const seconds = ms / 1000;
  if (seconds < 60) return `${Math.max(0.1, seconds).toFixed(1)}${NO_BREAK}s`;
  return `${Math.round(seconds / 60)}${NO_BREAK}min`;
}

/** @param {string} name @returns {[string, string]} */
export function splitName(name) {
  const dot = name.lastIndexOf(".");
  return dot > 0 && name.length - dot <= 6 ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
}

/** @type {Record<Pill, string>} */
export const CONNECTION = {
  connecting: "Connecting",
  live: "Live updates",
  polling: `Checking every 2${NO_BREAK}s`,
  offline: "Offline",
  unanswered: "No answer",
};

/** @type {Record<Step, string>} */
export const STEPS = { sent: "sent", queued: "in line", processing: "resizing", ready: "done" };

/** @type {StatusTexts} */
export const STATUS = {
  chosen: "Next up",
  located: "Waiting for your choice",
  paused: "Paused",
  key: "Waiting for the key",
  uploading: "Uploading",
  offline: "Waiting for the network",
  unanswered: "The server isn't answering. Trying again…",
  busy: "The server is busy. Trying again…",
  queued: "Uploaded. In line for resizing.",
  processing: "Making three sizes…",
  failed: "Failed.",
  refused: "Not uploaded.",
  gone: "Deleted.",
};

export const DELETION = { soon: "Deleting in 8 seconds.", now: "Deleting…", failed: "Not deleted.", kept: "", gone: "" };

export const FROM_LIST = "Remove from list";

/** @param {Upload} upload */
export function ready({ created_at, ended_at, format, frames = 1, warnings }, tookMs = Date.parse(ended_at ?? "") - Date.parse(created_at)) {
  if (warnings?.includes("cut-short")) return "Ready, but the file is cut short.";
  const time = tookMs >= 0 ? `Ready in ${duration(tookMs)}` : "Ready";
  if (frames < 2) return time;
  return `${time}. ${format === "tiff" ? `${frames} pages; thumbnails show the first.` : "Animated; thumbnails show its first frame."}`;
}

export const FAILED = {
  interrupted: "The upload was interrupted.",
  unreachable: "The server isn't answering.",
  changed: "The file changed after it was chosen. Choose it again.",
  other: "Something else answered, perhaps a login page. Look in a new tab, then retry.",
  server: "Something went wrong on the server.",
  unknown: "This picture is no longer on the server.",
  noRetry: "Retry didn't work.",
  noPermission: "This browser may no longer delete it.",
};

/** @type {Record<string, string>} */
export const USED_UP = {
  "/problems/ticket-late": "This link has expired. Ask for a new one.",
  "/problems/ticket-used-up": "This link is used up. Ask for a new one.",
  "/problems/day-used-up": "This key is used up for today.",
  "/problems/room-used-up": "This key has no room left.",
};

/** @type {Record<KeyNeed, string>} */
export const KEY = {
  "": "",
  needed: "Enter a key to send pictures here.",
  wrong: "This key isn't valid. Enter another one.",
};

/** @type {RefusalTexts} */
export const REFUSED = {
  empty: "The file is empty.",
  unreadable: "The file can't be read. Choose it again.",
  proxy: "Too large for the way to the server: a proxy turned it back.",
  other: "This file type isn't supported.",
  kind: (kind) => `This is ${kind}${/picture$|raw/.test(kind) ? ". Use JPEG, PNG or WebP." : ", not a picture."}`,
  heic: "HEIC pictures don't work here yet. Save it as JPEG and try again.",
  format: (kind) => `${kind} isn't supported. Use JPEG, PNG or WebP.`,
  tooLarge: (bytes, most) => `${size(bytes)} is too large. The limit is ${limit(most)}.`,
  tooManyPixels: (pixels, most) =>
    `Too big: ${Math.ceil(pixels / 1_000_000)} megapixels. The limit is ${Math.floor(most / 1_000_000)}.`,
  tooMany: (most) => `Only ${most} pictures fit at a time. Remove some, then choose it again.`,
};

/** @param {string[]} formats @param {Bytes} bytes */
export function limits(formats, bytes) {
  const names = formats.map((format) => (format === "webp" ? "WebP" : format.toUpperCase()));
  const last = names.pop() ?? "";
  return `${names.length ? `${names.join(", ")} or ${last}` : last}, up to ${limit(bytes).replace(" ", NO_BREAK)} each.`;
}

/** @type {LeftOut} */
export function leftOut({ files, unreadable, others, appleDouble, tooMany }, most) {
  return [
    others && `${others === 1 ? "One file is not a picture and was" : `${others} files are not pictures and were`} left out.`,
    appleDouble && `${appleDouble} hidden ${appleDouble === 1 ? "file" : "files"} of a Mac (._…) left out.`,
    tooMany && `${tooMany} more left out: ${most} fit at a time. Drop them again afterwards.`,
  ]
    .filter(Boolean)
    .join(" ") || (files.length + unreadable.length ? "" : "No pictures found.");
}

const JPEG = "image/jpeg";

/** @param {string[]} formats */
export function accept(formats) {
  const types = formats.map((format) => (/^hei[cf]$/.test(format) ? "image/heic,image/heif,.heic,.heif" : `image/${format}`));
  return [...new Set(types)].sort((a, b) => Number(b === JPEG) - Number(a === JPEG)).join();
}

/** @param {Counts} counts */
export function totalOf(counts) {
  return counts.chosen + counts.uploading + counts.queued + counts.processing + counts.ready + counts.failed;
}

/** @param {Counts} counts */
export function total(counts) {
  const all = totalOf(counts);
  if (isDone(counts) && counts.failed + counts.refused) {
    return `Done: ${[counts.ready && `${counts.ready} ready`, ...troubles(counts)].filter(Boolean).join(", ")}`;
  }
  if (!all) return "Nothing up yet";
  if (counts.ready < all) return `${counts.ready} of ${all} ready`;
  return all === 1 ? "1 ready" : `All ${all} ready`;
}

/** @param {Counts} counts */
export function isDone({ chosen, uploading, queued, processing }) {
  return !(chosen + uploading + queued + processing);
}

/** @param {Counts} counts */
function troubles({ failed, refused }) {
  return [failed && `${failed} failed`, refused && `${refused} not sent`];
}

/** @param {Counts} counts */
export function tally(counts) {
  const onTheWay = counts.uploading + counts.queued + counts.processing;
  return [onTheWay && `${onTheWay} on the way`, counts.chosen && `${counts.chosen} next`, ...troubles(counts)].filter(Boolean).join(", ");
}

export const BATCH = { cancel: "Cancel all", finished: "Clear finished", pause: "Pause", resume: "Resume" };

/** @type {Announcements} */
export const ANNOUNCEMENTS = {
  failed: (name, reason) => `${name} failed: ${lowerFirst(reason)}`,
  refused: (name, reason) => `${name} not uploaded: ${lowerFirst(reason)}`,
  copied: "Link copied.",
  notCopied: "The link could not be copied.",
  offline: "Offline. Uploads will resume.",
  online: "Back online.",
  unanswered: STATUS.unanswered,
  answered: "The server answers again.",
  retrying: (name) => `Retrying ${name}.`,
  located: "Some pictures tell where they were taken.",
  cancelled: (count) => `${pictures(count)} cancelled.`,
  paused: "Paused. Uploads on the way go on.",
  resumed: "Resumed.",
  cleared: (count) => `${count} cleared. Their links are under Earlier.`,
  link: "Links can't be sent. Save the picture, then choose it.",
  removed: (name, isSent) => `${name} removed${isSent ? " from this list. Its link keeps working" : ""}.`,
  gone: (name) => `${name} was deleted.`,
  deletion: ({ step, upload: { name }, reason }) =>
    ({ soon: `Deleting ${name} in 8 seconds.`, kept: `${name} stays.`, failed: `${name} not deleted: ${lowerFirst(reason ?? "")}`, now: "", gone: "" })[step],
  forgotten: (count) => `${pictures(count)} removed from this list. Links keep working.`,
  unsent: (count) => `${pictures(count)} ${count === 1 ? "was" : "were"} not sent before the page closed.`,
};

/** @param {number} count */
function pictures(count) {
  return count === 1 ? "One picture" : `${count} pictures`;
}

/** @param {string} sentence */
function lowerFirst(sentence) {
  return /^[A-Z][a-z ]/.test(sentence) ? sentence.charAt(0).toLowerCase() + sentence.slice(1) : sentence;
}

/** @param {Date} moment @param {Date} now */
export function when(moment, now) {
  const days = Math.round((midnight(now) - midnight(moment)) / 86_400_000);
  const time = moment.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  if (days <= 0) return `Today, ${time}`;
  if (days === 1) return "Yesterday";
  if (days < 7) return moment.toLocaleDateString("en-GB", { weekday: "long" });
  const year = moment.getFullYear() === now.getFullYear() ? undefined : "numeric";
  return moment.toLocaleDateString("en-GB", { day: "numeric", month: "long", year });
}

/** @param {Date} moment */
function midnight(moment) {
  return new Date(moment.getFullYear(), moment.getMonth(), moment.getDate()).getTime();
}

export const COLLECT_MS = 1000;

export class Announcer {
  #environment;
  #added = 0;
  /** @type {string[]} */
  #ready = [];
  /** @type {string[]} */
  #sentences = [];
  #end = "";
  #isCollecting = false;

  /** @param {AnnouncerEnvironment} environment */
  constructor(environment) {
    this.#environment = environment;
  }

  /** @param {number} count */
  added(count) {
    this.#added += count;
    this.#collect();
  }

  /** @param {string} name */
  ready(name) {
    this.#ready.push(name);
    this.#collect();
  }

  /** @param {string} sentence */
  ended(sentence) {
    this.#end = sentence;
    this.#collect();
  }

  /** @param {string} sentence */
  note(sentence) {
    if (!this.#sentences.includes(sentence)) this.#sentences.push(sentence);
    this.#collect();
  }

  #collect() {
    if (this.#isCollecting) return;
    this.#isCollecting = true;
    this.#environment.after(() => this.#announce(), COLLECT_MS);
  }

  #announce() {
    this.#isCollecting = false;
    const sentences = [];
    if (this.#added) sentences.push(`${this.#added} ${this.#added === 1 ? "picture" : "pictures"} added.`);
    sentences.push(...this.#sentences);
    const [first, ...others] = this.#ready;
    if (first !== undefined) {
      const { ready, total } = this.#environment.count();
      sentences.push(others.length ? `${first} and ${others.length} more ready.` : `${first} ready.`);
      if (this.#end) sentences.push(this.#end);
      else if (ready < total) sentences.push(`${ready} of ${total}.`);
      else if (total > 1) sentences.push(`All ${total} ready.`);
    } else if (this.#end) sentences.push(this.#end);
    this.#end = "";
    this.#added = 0;
    this.#ready = [];
    this.#sentences = [];
    this.#environment.announce(sentences.join(" "));
  }
}
