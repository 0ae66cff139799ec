// @ts-check
/** The page: puts the pure parts and the view together. */

import { Connection } from "./connection.js";
import { isFinal, merge } from "./merge.js";
import { Queue, advance } from "./queue.js";
import { send } from "./send.js";
import { Tile, showTotal } from "./view.js";
import * as words from "./words.js";

/** @typedef {import("./merge.js").Upload} Upload */
/**
 * @typedef {object} Item
 * @property {File} file
 * @property {import("./queue.js").Stage} stage
 * @property {Upload | null} upload
 * @property {string} reason why it failed or was refused
 * @property {boolean} bulk
 * @property {AbortController} abort
 * @property {Tile} tile
 */

/** From this file of one drop on the bulk lane is asked for. */
const BULK_FROM = 20;
/** The limit until the server has said, in bytes. */
let maxBytes = 50 * 1024 * 1024;

/** @type {Item[]} */
const items = [];
/** @type {Map<string, Item>} */
const byId = new Map();
const announcer = /** @type {HTMLElement} */ (document.querySelector("#announcer"));
const connection = new Connection(told);
const queue = new Queue(sendItem);

/** @param {FileList | File[]} files */
function add(files) {
  const list = [...files];
  list.forEach((file, number) => {
    /** @type {Item} */
    const item = {
      file,
      stage: "chosen",
      upload: null,
      reason: "",
      bulk: number >= BULK_FROM,
      abort: new AbortController(),
      tile: new Tile(file, { remove: () => remove(item), retry: () => retry(item) }),
    };
    items.push(item);
    item.reason = words.tooLarge(file.size, maxBytes);
    if (item.reason) advance(item, "refused");
    else queue.add(item);
    show(item);
  });
  if (list.length) say(list.length === 1 ? "1 picture added." : `${list.length} pictures added.`);
}

/** @param {Item} item */
async function sendItem(item) {
  advance(item, "uploading");
  show(item);
  const outcome = await send(item.file, { bulk: item.bulk, signal: item.abort.signal, progress: (sent) => item.tile.progress(sent) });
  if (item.stage === "removed") return;
  if (outcome.upload) {
    item.upload = outcome.upload;
    byId.set(outcome.upload.id, item);
    advance(item, outcome.upload.state);
    connection.watch(outcome.upload);
  } else {
    item.reason = outcome.reason;
    advance(item, outcome.refused ? "refused" : "failed");
    say(`${item.file.name} ${outcome.refused ? "refused" : "failed"}: ${outcome.reason}`);
  }
  show(item);
}

/** What the server says of an upload, by whatever way. @param {Upload} upload */
function told(upload) {
  const item = byId.get(upload.id);
  if (!item?.upload) return;
  const merged = merge(item.upload, upload);
  if (merged === item.upload) return;
  item.upload = merged;
  advance(item, merged.state);
  if (isFinal(merged)) {
    connection.unwatch(merged.id);
    item.reason = merged.error?.title ?? "";
    const ready = items.filter((other) => other.stage === "ready").length;
    say(merged.state === "ready" ? `${item.file.name} ready. ${ready} of ${items.length}.` : `${item.file.name} failed: ${item.reason}`);
  }
  show(item);
}

/** @param {Item} item */
function remove(item) {
  item.abort.abort();
  queue.remove(item);
  if (item.upload) connection.unwatch(item.upload.id);
  const at = items.indexOf(item);
  items.splice(at, 1);
  advance(item, "removed");
  const neighbour = items[at] ?? items[at - 1];
  item.tile.remove(neighbour?.tile);
  showAll();
}

/** @param {Item} item */
async function retry(item) {
  if (item.stage !== "failed") return;
  if (!item.upload) {
    item.abort = new AbortController();
    advance(item, "chosen");
    queue.add(item);
    show(item);
    return;
  }
  const answer = await fetch(`${item.upload.links.self}/retry`, { method: "POST" }).catch(() => null);
  if (answer?.status === 202) {
    const upload = await answer.json();
    connection.watch(upload);
    told(upload);
  }
}

/** @param {Item} item */
function show(item) {
  item.tile.show(item.stage, item.upload, item.reason);
  showAll();
}

function showAll() {
  showTotal(items.map((item) => item.stage));
}

/** @param {string} text */
function say(text) {
  announcer.textContent = text;
}

function listen() {
  const input = /** @type {HTMLInputElement} */ (document.querySelector("#files"));
  input.addEventListener("change", () => {
    add(input.files ?? []);
    input.value = "";
  });
  document.querySelector("form.send")?.addEventListener("submit", (event) => event.preventDefault());
  document.querySelector(".retry-all")?.addEventListener("click", () => items.forEach((item) => retry(item)));
  addEventListener("paste", (event) => add(event.clipboardData?.files ?? []));
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.dataset.dragging = "";
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) delete document.body.dataset.dragging;
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    delete document.body.dataset.dragging;
    add(event.dataTransfer?.files ?? []);
  });
}

async function learnLimits() {
  const answer = await fetch("./limits").catch(() => null);
  if (!answer?.ok) return;
  const limits = await answer.json();
  maxBytes = limits.max_upload_bytes;
  const shown = document.querySelector("#limits");
  if (shown) shown.textContent = `JPEG, PNG, WebP, GIF, BMP or TIFF, up to ${words.size(maxBytes)} each.`;
}

const here = document.querySelector(".here-url");
if (here) here.textContent = new URL(".", location.href).href.replace(/\/$/, "");
listen();
learnLimits();
showAll();
connection.start();
