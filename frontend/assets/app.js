import { browser, connect, copyLinks, find, hasFocus, inTurn, showPill } from "./dom.js";
import { DEFAULT_LIMITS } from "./probe.js";
import { MAX_FILES, listenForFiles } from "./intake.js";
import { Deletions, FORGOTTEN, KEY_NAME, Memory, Unsent, UploadKey } from "./memory.js";
import { Model } from "./model.js";
import { preparation } from "./prepare.js";
import { EarlierUploads, Lightbox, hideNotice, hopMark, reattachBelowTiles, showNotice, showSummary, showToSend, showUnsent } from "./summary.js";
import { Network, Queue, requestRetry, sendWithRetries } from "./send.js";
import { Tile, hang, measureTiles } from "./tile.js";
import * as words from "./words.js";

const PROBE_TIMEOUT_MS = 10_000;
const SAVE_AFTER_MS = 500;
const TURN = 4;

let limits = DEFAULT_LIMITS;
let isPaused = false;
const queue = new Queue(send);
const connection = connect({
  onUpload: (upload) => model.receive(upload),
  onUnknown: (id) => model.receiveUnknown(id),
  onLevel,
});
const network = new Network({
  isOnline: () => navigator.onLine || connection.level === "live",
  probe: loadLimits,
  ...browser,
  onChange(isAnswering) {
    announcer.note(words.ANNOUNCEMENTS[isAnswering ? "answered" : "unanswered"]);
    showPill(connection.level);
    showNetwork();
  },
});
/** @type {words.Announcer} */
const announcer = new words.Announcer({
  ...browser,
  announce: (text) => (find("#announcer").textContent = text),
  count: () => ({ ready: model.counts().ready, total: words.totalOf(model.counts()) }),
});
const memory = new Memory(() => localStorage);
const uploadKey = new UploadKey(() => localStorage, showKey);
const deletions = new Deletions({
  ...browser,
  onChange(deletion) {
    const { id } = deletion.upload;
    const sentence = words.ANNOUNCEMENTS.deletion(deletion);
    if (sentence) announcer.note(sentence);
    if (deletion.step === "gone") return model.receiveGone(id);
    const item = model.items.find(({ upload }) => upload?.id === id);
    if (item) show(item);
    else earlier.showDeletion(deletion.upload);
  },
});
const model = new Model({
  memory,
  connection,
  announcer,
  queue,
  requestRetry: (upload, signal) => requestRetry(upload, signal, uploadKey),
  now: browser.now,
  keyOf: (file) => unsent.claim({ name: file.name, bytes: file.size, modified: file.lastModified, key: crypto.getRandomValues(new Uint32Array(4)).join("-") }),
  onChange: show,
  onReady: hopMark,
  onRemove: removeTile,
  onEarlierChange: showEarlier,
});
const unsent = new Unsent(() => sessionStorage, () => localStorage);
const prepare = preparation({
  model,
  limits: () => firstLimits.then(() => limits),
  show,
  note: (sentence) => announcer.note(sentence),
});
const lightbox = new Lightbox(copy);
const earlier = new EarlierUploads({
  list: (most) => model.earlier(most),
  follow: (upload) => model.follow(upload),
  forget: (upload) => model.forgetEarlier([upload]),
  deletion: ({ id }) => deletions.get(id),
  remove: (upload) => deletions.start(upload),
  undo: (upload) => deletions.undo(upload),
});

/** @param {Level} level @param {Level} before */
function onLevel(level, before) {
  if (level === "offline") announcer.note(words.ANNOUNCEMENTS.offline);
  else if (before === "offline") announcer.note(words.ANNOUNCEMENTS.online);
  network.check(level === "live");
  showNetwork();
}

function showNetwork() {
  if (!network.isAnswering && connection.level !== "offline") showPill("unanswered");
  if (maySend()) queue.resume();
  else queue.pause();
  for (const item of model.items) if (item.stage === "uploading" || item.stage === "chosen") show(item);
}

function maySend() {
  return network.isUp() && !isPaused && !uploadKey.need;
}

function showKey() {
  const sentence = words.KEY[uploadKey.need];
  find(".key").hidden = !uploadKey.need;
  find("#key-note").textContent = sentence;
  find(".forget-key").hidden = !uploadKey.value;
  if (sentence) announcer.note(sentence);
  showNetwork();
}

function takeKeyFromAddress() {
  const address = new URL(location.href);
  const given = address.searchParams.get("key");
  if (given === null) return;
  address.searchParams.delete("key");
  history.replaceState(history.state, "", address);
  if (given) uploadKey.use(given);
}

/** @param {Event} event */
function useKey(event) {
  event.preventDefault();
  const field = find("#key");
  uploadKey.use(field.value.trim());
  field.value = "";
  (uploadKey.need ? field : find("#files")).focus();
}

function pause() {
  isPaused = !isPaused;
  announcer.note(words.ANNOUNCEMENTS[isPaused ? "paused" : "resumed"]);
  showNetwork();
  showAll();
}

/** @param {string} subject @param {string} sentence */
function tell(subject, sentence) {
  showNotice(subject, [sentence]);
  announcer.note(sentence);
}

/** @param {Taken} taken */
function add(taken) {
  const leftOut = words.leftOut(taken, MAX_FILES);
  if (leftOut) tell("left out", leftOut);
  else hideNotice("left out");
  if (!taken.files.length && !taken.unreadable.length) return;
  hideNotice("link");
  adding = adding.then(() => addInTurns(taken));
}

let adding = Promise.resolve();

/** @param {Taken} taken */
async function addInTurns({ files, unreadable }) {
  for (let index = 0; index < files.length || unreadable.length; index += TURN) {
    const added = model.add(files.slice(index, index + TURN), unreadable.splice(0, TURN), index);
    for (const item of added) {
      addTile(item);
      if (item.stage === "chosen" && item.file) prepare(item, item.file);
    }
    if (!unsent.left.length) hideNotice("unsent");
    reattachBelowTiles();
    showAll();
    await new Promise((done) => inTurn(files, () => done(null)));
    if (index === 0) added[0]?.tile?.element.scrollIntoView({ block: "nearest" });
  }
}

/** @param {Item} item */
function addTile(item) {
  item.tile = new Tile(item.name, {
    remove: () => model.remove(item),
    retry: () => model.retry(item),
    copy: (button) => item.upload && copy(button, item.upload.links.self),
    view: () => view(item),
    delete: () => item.upload && deletions.start(item.upload),
    undo: () => item.upload && deletions.undo(item.upload),
  });
  hang(find("#tiles"), item.tile.element);
  item.tile.draw(item);
}

/** @param {Item} item @param {Item} [neighbour] */
function removeTile({ tile }, neighbour) {
  const hadFocus = tile && hasFocus(tile.element);
  tile?.element.remove();
  if (hadFocus && !neighbour?.tile?.focus()) find("#files").focus();
  showAll();
}

/** @param {Item} item */
async function send(item) {
  const file = model.start(item);
  if (!file) return;
  const outcome = await sendWithRetries({
    url: item.isBulk ? "./uploads?lane=bulk" : "./uploads",
    file,
    key: item.file === item.clean ? `${item.key}-clean` : item.key,
    signal: item.abort.signal,
    wait(isWaiting) {
      item.isBusy = isWaiting;
      show(item);
    },
    progress(sent, speed) {
      Object.assign(item, { sent, speed });
      item.tile?.showProgress(item);
      afterChanges(showLeft);
    },
  }, network, uploadKey);
  model.finish(item, outcome);
}

function clearAll() {
  const { cancelled, cleared } = words.ANNOUNCEMENTS;
  if (model.isSending()) model.clear(["chosen", "uploading"], cancelled);
  else model.clear(["ready", "refused", "gone"], cleared);
  find("#files").focus();
}

function retryAll() {
  const failed = model.retriable();
  for (const item of failed) model.retry(item);
  failed[0]?.tile?.focus();
}

/** @type {CopyAndSay} */
async function copy(button, ...urls) {
  const isCopied = await copyLinks(button, ...urls);
  announcer.note(words.ANNOUNCEMENTS[isCopied ? "copied" : "notCopied"]);
}

/** @param {Item} item */
function view(item) {
  const items = model.viewable();
  if (items.includes(item)) lightbox.open(items, items.indexOf(item));
}

/** @param {Item} item */
function show(item) {
  if (item.stage === "removed") return;
  item.held = hold(item);
  item.deletion = deletions.get(item.upload?.id);
  item.tile?.show(item);
  if (item.stage === "gone") lightbox.leaveOut(item);
  showAll();
}

/** @param {Item} item */
function hold({ isBusy, stage }) {
  if (uploadKey.need && (stage === "chosen" || stage === "uploading")) return "key";
  if (stage !== "uploading") return isPaused && stage === "chosen" ? "paused" : "";
  if (network.isUp()) return isBusy ? "busy" : "";
  return network.isAnswering ? "offline" : "unanswered";
}

/** @type {Set<() => void>} */
const scheduled = new Set();

/** @param {() => void} work */
function afterChanges(work) {
  if (scheduled.has(work)) return;
  scheduled.add(work);
  queueMicrotask(() => {
    scheduled.delete(work);
    work();
  });
}

function showAll() {
  afterChanges(showCounts);
}

function showCounts() {
  const counts = model.counts();
  isPaused &&= counts.chosen > 0;
  if (maySend()) queue.resume();
  showSummary(counts, model.items.map((item) => item.stage), model.retriable().length, isPaused);
  showLeft();
  announceEnd(counts);
  guardUnsent();
}

function showLeft() {
  showToSend(words.toSend(model.toSend()));
}

let wasDone = true;

/** @param {Counts} counts */
function announceEnd(counts) {
  const isDone = words.isDone(counts);
  if (isDone && !wasDone && counts.failed + counts.refused) announcer.ended(`${words.total(counts)}.`);
  wasDone = isDone || (wasDone && !counts.uploading);
}

/** @param {Event} event */
const ask = (event) => event.preventDefault();
let saveTimer = 0;

function guardUnsent() {
  if (model.isSending()) addEventListener("beforeunload", ask);
  else removeEventListener("beforeunload", ask);
  saveTimer ||= setTimeout(saveUnsent, SAVE_AFTER_MS);
}

function saveUnsent(isLeaving = false) {
  clearTimeout(saveTimer);
  saveTimer = 0;
  const files = model.unsent().map(({ name, file, key }) => ({ name, bytes: file?.size ?? 0, modified: file?.lastModified ?? 0, key }));
  unsent.keep(files, isLeaving);
}

function reportUnsent() {
  unsent.take();
  const names = unsent.left.map(({ name }) => name);
  if (!names.length) return;
  announcer.note(showUnsent(names, () => {
    unsent.left = [];
    saveUnsent();
  }));
}

function showEarlier() {
  afterChanges(earlier.show);
}

function forgetAll() {
  const uploads = model.earlier();
  model.forgetEarlier(uploads);
  memory.tellForgotten();
  showNotice("forgotten", [words.ANNOUNCEMENTS.forgotten(uploads.length)], [
    { text: "Undo", run: () => model.remember(uploads) },
    { text: "Dismiss", run() {} },
  ]);
  find("#files").focus();
}

function restore() {
  for (const item of model.restore()) {
    addTile(item);
    if (item.upload) item.tile?.showKind(item.upload.format.toUpperCase(), item.upload);
  }
  showEarlier();
  showAll();
}

async function loadLimits() {
  try {
    const answer = await fetch("./limits", { cache: "no-store", redirect: "manual", signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    if (answer.status >= 500) return "none";
    limits = { ...DEFAULT_LIMITS, ...(await answer.json()) };
    find("#limits").textContent = words.limits(limits.formats, limits.max_upload_bytes);
    find("#files").setAttribute("accept", words.accept(limits.formats));
    if (limits.key_required) uploadKey.refuse("");
    return "server";
  } catch (error) {
    return error instanceof SyntaxError ? "other" : "none";
  }
}

function listenForButtons() {
  find(".retry-all").addEventListener("click", retryAll);
  find(".clear-all").addEventListener("click", clearAll);
  find(".forget-all").addEventListener("click", forgetAll);
  find(".forget-key").addEventListener("click", () => {
    uploadKey.forget();
    find("#files").focus();
    loadLimits();
  });
  find("#key-form").addEventListener("submit", useKey);
  find(".pause-all").addEventListener("click", pause);
  const copyAll = find(".copy-all");
  copyAll.addEventListener("click", () => copy(copyAll, ...model.earlier().map(({ links }) => links.self)));
  addEventListener("storage", ({ key, newValue }) => {
    if (key === KEY_NAME) newValue ? uploadKey.use(newValue) : uploadKey.forget();
    if (key === FORGOTTEN) model.keepShown();
    showEarlier();
  });
  addEventListener("online", () => network.check());
  document.addEventListener("visibilitychange", () => document.hidden || network.check());
  addEventListener("pagehide", () => {
    saveUnsent(true);
    deletions.sendAll();
  });
  addEventListener("pageshow", (event) => event.persisted && saveUnsent());
}

const firstLimits = loadLimits();
takeKeyFromAddress();
showKey();
find("#here").textContent = new URL("./uploads/", location.href).href;
reportUnsent();
listenForFiles(add, () => tell("link", words.ANNOUNCEMENTS.link));
listenForButtons();
measureTiles(find("#tiles"), reattachBelowTiles);
restore();
connection.start();
