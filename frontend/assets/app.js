/** The page: puts the pure parts and the views together. */

import { Announcer } from "./announcer.js";
import { connect } from "./connection.js";
import { copyLink } from "./copy.js";
import { find } from "./dom.js";
import { takeFiles } from "./intake.js";
import { Lightbox } from "./lightbox.js";
import { Memory } from "./memory.js";
import { merge } from "./merge.js";
import { preview } from "./picture.js";
import { HEAD_BYTES, USUAL, judge, probe } from "./probe.js";
import { Queue, advance } from "./queue.js";
import { Network, sendThrough } from "./send.js";
import { EarlierUploads } from "./earlier.js";
import { Tile } from "./tile.js";
import { hop, reattachBelowTiles, showSummary } from "./summary.js";
import * as words from "./words.js";

/** From this file of a drop on. */
const BULK_FROM = 20;
/** As many as one socket may wait for. */
const MAX_ITEMS = 500;

let limits = USUAL;
/** @type {Item[]} */
let items = [];
/** @type {Map<string, Item>} */
const byId = new Map();
const list = find("#tiles");
const memory = new Memory(() => localStorage);
const queue = new Queue(sendItem);
const connection = connect({ tell: told, unknown: forgotten, stand });
const announcer = new Announcer({
  after: (callback, ms) => setTimeout(callback, ms),
  say: (text) => (find("#announcer").textContent = text),
  count: () => ({ ready: count().ready, total: words.totalOf(count()) }),
});
const lightbox = new Lightbox(copy);
const earlier = new EarlierUploads({
  forget(id) {
    memory.forget(id);
    connection.unwatch(id);
    announcer.note(words.SAID.forgotten);
    showEarlier();
  },
});

const network = new Network(() => navigator.onLine || connection.level === "live");

/** @param {Level} level @param {Level} before */
function stand(level, before) {
  if (level === "offline") announcer.note(words.SAID.offline);
  else if (before === "offline") announcer.note(words.SAID.online);
  network.look();
  if (network.isUp()) queue.release();
  else queue.hold();
  for (const item of items) if (item.stage === "uploading") show(item);
}

/** @returns {Counts} */
function count() {
  const counts = { chosen: 0, uploading: 0, queued: 0, processing: 0, ready: 0, failed: 0, refused: 0, removed: 0 };
  for (const { stage } of items) counts[stage] += 1;
  return counts;
}

/** @param {Partial<Item> & {name: string, bytes: number}} facts @returns {Item} */
function makeItem(facts) {
  /** @type {Item} */
  const item = {
    file: null,
    width: 0,
    height: 0,
    stage: "chosen",
    upload: null,
    reason: "",
    sent: 0,
    speed: 0,
    isWaiting: false,
    isGone: false,
    isRetrying: false,
    isBulk: false,
    key: randomKey(),
    abort: new AbortController(),
    tile: new Tile(facts.name, {
      remove: () => remove(item),
      retry: () => retry(item),
      copy: (button) => item.upload && copy(button, item.upload.links.self),
      look: () => look(item),
    }),
    ...facts,
  };
  items.push(item);
  list.append(item.tile.element);
  return item;
}

/** Without TLS there is no `randomUUID`. */
function randomKey() {
  return crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(16)).join("-");
}

/** @param {File[]} files */
function add(files) {
  if (!files.length) return;
  files.forEach((file, number) => {
    const item = makeItem({ file, name: file.name || "picture", bytes: file.size, isBulk: number >= BULK_FROM });
    if (items.length > MAX_ITEMS) refuse(item, words.REFUSED.tooMany(MAX_ITEMS));
    else prepare(item, file);
    item.tile.show(item);
  });
  announcer.added(files.length);
  reattachBelowTiles();
  showAll();
}

/** @param {Item} item @param {File} file */
async function prepare(item, file) {
  const head = await file.slice(0, HEAD_BYTES).arrayBuffer().catch(() => null);
  if (item.stage === "removed") return;
  const kind = head ? probe(new Uint8Array(head)) : null;
  const ending = words.splitName(item.name)[1].slice(1).toUpperCase();
  Object.assign(item, { width: kind?.width ?? 0, height: kind?.height ?? 0 });
  const reason = judge(file.size, kind, limits);
  const isHuge = item.width * item.height > limits.max_pixels;
  if (reason) refuse(item, reason);
  else queue.add(item);
  if (!kind?.format || isHuge) item.tile.showKind(kind?.name ?? (ending || "?"), kind ?? {});
  else showPreview(item, file, kind.name);
  show(item);
}

/** @param {Item} item @param {File} file @param {string} kind */
async function showPreview(item, file, kind) {
  const picture = await preview(file);
  if (item.stage === "removed") return;
  if (!picture) return item.tile.showKind(kind, item);
  // Turned by EXIF.
  if (!item.upload && picture.width > picture.height !== item.width > item.height) {
    [item.width, item.height] = [item.height, item.width];
  }
  item.tile.showPreview(picture);
  if (item.stage === "chosen") show(item);
}

/** @param {Item} item @param {string} reason */
function refuse(item, reason) {
  advance(item, "refused");
  item.reason = reason;
  announcer.note(words.SAID.refused(item.name, reason));
}

/** @param {Item} item @param {string} reason */
function fail(item, reason) {
  advance(item, "failed");
  item.reason = reason;
  announcer.note(words.SAID.failed(item.name, reason));
}

/** @param {Item} item */
async function sendItem(item) {
  if (item.stage !== "chosen" || !item.file) return;
  advance(item, "uploading");
  Object.assign(item, { sent: 0, speed: 0 });
  item.abort = new AbortController();
  show(item);
  const order = {
    url: item.isBulk ? "./uploads?lane=bulk" : "./uploads",
    file: item.file,
    key: item.key,
    signal: item.abort.signal,
    progress(/** @type {number} */ sent, /** @type {number} */ speed) {
      Object.assign(item, { sent, speed });
      item.tile.showProgress(item);
    },
  };
  const outcome = await sendThrough(order, network);
  if (item.abort.signal.aborted) return;
  if ("upload" in outcome) accepted(item, outcome.upload);
  else if ("reason" in outcome) (outcome.refused ? refuse : fail)(item, outcome.reason);
  else fail(item, words.FAILED.dropped);
  show(item);
}

/** @param {Item} item @param {Upload} upload */
function accepted(item, upload) {
  const other = byId.get(upload.id);
  if (other && other !== item) return remove(item);
  item.upload = upload;
  item.sent = 1;
  Object.assign(item, { width: upload.width, height: upload.height, bytes: upload.bytes });
  byId.set(upload.id, item);
  memory.keep(upload);
  advance(item, upload.state);
  if (upload.state === "failed") item.reason = upload.error?.title ?? "";
  else if (upload.state === "ready") announcer.ready(item.name);
  follow(upload);
}

/** @param {Upload} upload */
function follow(upload) {
  if (upload.state === "ready") connection.unwatch(upload.id);
  else connection.watch(upload);
}

/** By whatever way. @param {Upload} upload */
function told(upload) {
  memory.update(upload);
  const item = byId.get(upload.id);
  if (!item?.upload) return earlierTold(upload);
  const merged = merge(item.upload, upload);
  if (merged === item.upload) return follow(merged);
  item.upload = merged;
  advance(item, merged.state);
  item.isGone = false;
  item.reason = merged.error?.title ?? "";
  follow(merged);
  if (merged.state === "ready") {
    announcer.ready(item.name);
    hop();
  } else if (merged.state === "failed") {
    announcer.note(words.SAID.failed(item.name, item.reason));
  }
  show(item);
}

/** @param {Upload} upload */
function earlierTold(upload) {
  if (upload.state === "ready") connection.unwatch(upload.id);
  showEarlier();
}

/** The server does not know it any more. @param {string} id */
function forgotten(id) {
  memory.forget(id);
  connection.unwatch(id);
  const item = byId.get(id);
  if (item && item.stage !== "ready") {
    item.isGone = true;
    if (item.stage !== "failed") fail(item, words.FAILED.unknown);
    show(item);
  }
  showEarlier();
}

/** @param {Item} item */
function remove(item) {
  const place = items.indexOf(item);
  if (place < 0) return;
  const hadFocus = item.tile.element.contains(document.activeElement);
  queue.remove(item);
  advance(item, "removed");
  item.abort.abort();
  if (item.upload && byId.get(item.upload.id) === item) {
    byId.delete(item.upload.id);
    connection.unwatch(item.upload.id);
    memory.forget(item.upload.id);
  }
  items.splice(place, 1);
  item.tile.element.remove();
  const neighbour = items[place] ?? items[place - 1];
  if (hadFocus && !neighbour?.tile.focus()) find("#files").focus();
  announcer.note(words.SAID.removed(item.name));
  showAll();
}

/** @param {Item} item */
async function retry(item) {
  if (item.stage !== "failed" || item.isRetrying || item.isGone) return;
  announcer.note(words.SAID.retrying(item.name));
  if (!item.upload) {
    advance(item, "chosen");
    queue.add(item);
    return show(item);
  }
  item.isRetrying = true;
  const upload = await askRetry(item.upload, item.abort.signal);
  item.isRetrying = false;
  if (upload) told(upload);
  else if (item.stage === "failed") {
    item.reason = words.FAILED.noRetry;
    show(item);
  }
}

/** @param {Upload} upload @param {AbortSignal} signal @returns {Promise<Upload | null>} */
async function askRetry(upload, signal) {
  try {
    const headers = { accept: "application/json" };
    const answer = await fetch(`${upload.links.self}/retry`, { method: "POST", headers, signal });
    // Somebody else retried it.
    const now = answer.status === 409 ? await fetch(upload.links.self, { headers, signal }) : answer;
    return now.ok ? await now.json() : null;
  } catch {
    return null;
  }
}

function retriable() {
  return items.filter((item) => item.stage === "failed" && !item.isGone);
}

function retryAll() {
  const failed = retriable();
  for (const item of failed) retry(item);
  failed[0]?.tile.focus();
}

/** @param {HTMLElement} button @param {string} url */
async function copy(button, url) {
  const worked = await copyLink(button, url);
  announcer.note(worked ? words.SAID.copied : words.SAID.notCopied);
}

/** @param {Item} item */
function look(item) {
  const ready = items.filter((other) => other.stage === "ready" && other.upload);
  if (ready.includes(item)) lightbox.open(ready, ready.indexOf(item));
}

/** @param {Item} item */
function show(item) {
  if (item.stage === "removed") return;
  item.isWaiting = item.stage === "uploading" && !network.isUp();
  item.tile.show(item);
  item.tile.showProgress(item);
  showAll();
}

let isShowing = false;

function showAll() {
  if (isShowing) return;
  isShowing = true;
  queueMicrotask(() => {
    isShowing = false;
    showSummary(count(), items.map((item) => item.stage), retriable().length);
  });
}

function showEarlier() {
  earlier.show(memory.all().filter((upload) => upload.state === "ready" && !byId.has(upload.id)));
}

/** Restores unfinished and failed uploads as tiles; ready ones are listed under Earlier. */
function remember() {
  for (const upload of memory.all().reverse()) {
    connection.watch(upload);
    if (upload.state === "ready") continue;
    const { name, bytes, width, height, state } = upload;
    const item = makeItem({ name, bytes, width, height, upload, stage: state, sent: 1, reason: upload.error?.title ?? "" });
    byId.set(upload.id, item);
    item.tile.showKind(upload.format.toUpperCase(), upload);
    item.tile.show(item);
  }
  showEarlier();
  showAll();
}

async function learnLimits() {
  const answer = await fetch("./limits", { signal: AbortSignal.timeout(10_000) }).catch(() => null);
  if (!answer?.ok) return;
  limits = { ...USUAL, ...(await answer.json()) };
  find("#limits").textContent = words.limits(limits.formats, limits.max_upload_bytes);
}

function listen() {
  find(".retry-all").addEventListener("click", retryAll);
  find(".forget-all").addEventListener("click", () => {
    for (const upload of memory.all()) {
      if (byId.has(upload.id)) continue;
      memory.forget(upload.id);
      connection.unwatch(upload.id);
    }
    announcer.note(words.SAID.forgotten);
    showEarlier();
    find("#files").focus();
  });
  addEventListener("storage", showEarlier);
}

find("#here").textContent = new URL("./uploads/", location.href).href;
takeFiles(add);
listen();
remember();
learnLimits();
connection.start();
