import { isGone, merge } from "./memory.js";
import { reasonToRefuse } from "./probe.js";
import { ANNOUNCEMENTS, FAILED, REFUSED } from "./words.js";

export const BULK_AFTER = 20;
export const MAX_ITEMS = 5000;
const MAX_WATCHED = 100;

/** @type {Record<Stage, Stage[]>} */
const NEXT = {
  chosen: ["uploading", "refused", "removed"],
  uploading: ["queued", "processing", "ready", "failed", "refused", "removed"],
  queued: ["processing", "ready", "failed", "gone", "removed"],
  processing: ["queued", "ready", "failed", "gone", "removed"],
  ready: ["queued", "processing", "failed", "gone", "removed"],
  failed: ["chosen", "queued", "processing", "ready", "gone", "removed"],
  refused: ["removed"],
  gone: ["removed"],
  removed: [],
};

export const HOPELESS = /-(decoded|kind|long|memory|pixels|gone)$/;

/** @param {Item} item @param {Upload} upload */
function explain(item, { error }) {
  item.reason = error?.title ?? "";
  item.canRetry = !HOPELESS.test(error?.type ?? "");
}

/** @type {Advance} */
export function advance(item, stage) {
  if (item.stage === stage) return;
  if (!NEXT[item.stage].includes(stage)) throw new Error(`A file that is ${item.stage} cannot become ${stage}.`);
  item.stage = stage;
}

export class Model {
  #environment;
  /** @type {Map<string, Item>} */
  #byId = new Map();
  /** @type {Set<string>} */
  #watched = new Set();

  /** @param {ModelEnvironment} environment */
  constructor(environment) {
    this.#environment = environment;
    /** @type {Item[]} */
    this.items = [];
  }

  counts() {
    const counts = { chosen: 0, uploading: 0, queued: 0, processing: 0, ready: 0, failed: 0, refused: 0, gone: 0, removed: 0 };
    for (const { stage } of this.items) counts[stage] += 1;
    return counts;
  }

  retriable() {
    return this.items.filter((item) => item.stage === "failed" && item.canRetry);
  }

  viewable() {
    return this.items.filter((item) => item.stage === "ready" && item.upload);
  }

  isSending() {
    return this.items.some(({ stage }) => stage === "chosen" || stage === "uploading");
  }

  toSend() {
    let [bytes, speed, files] = [0, 0, 0];
    for (const item of this.items) {
      if (item.stage !== "chosen" && item.stage !== "uploading") continue;
      files += 1;
      bytes += item.bytes * (item.stage === "chosen" ? 1 : 1 - item.sent);
      if (item.stage === "uploading") speed += item.speed;
    }
    return { files, bytes, speed };
  }

  unsent() {
    return this.items.filter(({ file, upload, stage }) => file && !upload && ["chosen", "uploading", "failed"].includes(stage));
  }

  /** @param {number} [most] */
  earlier(most = Infinity) {
    const { memory } = this.#environment;
    const now = this.#environment.now();
    const uploads = [];
    for (const id of memory.ids()) {
      if (uploads.length >= most) break;
      const upload = this.#byId.has(id) ? null : memory.get(id);
      if (upload?.state === "ready" && !(Date.parse(upload.expires_at ?? "") <= now)) uploads.push(upload);
    }
    return uploads;
  }

  /** @type {AddFiles} */
  add(files, unreadable = [], first = 0) {
    const added = files.map((file, index) => {
      const item = this.#create({ file, name: file.name || "picture", bytes: file.size, key: this.#environment.keyOf(file), isBulk: first + index >= BULK_AFTER });
      if (this.items.length > MAX_ITEMS) this.#stop(item, "refused", REFUSED.tooMany(MAX_ITEMS));
      return item;
    });
    for (const name of unreadable) {
      const item = this.#create({ name, bytes: 0 });
      this.#stop(item, "refused", REFUSED.unreadable);
      added.push(item);
    }
    this.#environment.announcer.added(added.length);
    return added;
  }

  restore() {
    const { memory, connection } = this.#environment;
    const restored = [];
    for (const id of memory.ids().reverse()) {
      const upload = memory.get(id);
      if (!upload || upload.state === "ready") continue;
      connection.subscribe(upload);
      const { name, bytes, width, height, state } = upload;
      const item = this.#create({ name, bytes, width, height, upload, stage: state, sent: 1 });
      explain(item, upload);
      this.#byId.set(upload.id, item);
      restored.push(item);
    }
    return restored;
  }

  /** @type {Prepare} */
  prepare(item, kind, limits, isLocated = false) {
    Object.assign(item, { width: kind?.width ?? 0, height: kind?.height ?? 0 });
    const reason = kind === undefined ? REFUSED.unreadable : reasonToRefuse(item.bytes, kind, limits);
    item.isLocated = !reason && isLocated;
    if (reason) this.#stop(item, "refused", reason);
    else if (!isLocated) this.#environment.queue.add(item);
  }

  /** @param {Item} item @param {File | null} file */
  release(item, file) {
    Object.assign(item, { file, isLocated: false });
    this.#environment.queue.add(item);
    this.#environment.onChange(item);
  }

  /** @param {Item} item */
  start(item) {
    if (item.stage !== "chosen" || !item.file) return null;
    advance(item, "uploading");
    Object.assign(item, { sent: 0, speed: 0, abort: new AbortController() });
    this.#environment.onChange(item);
    return item.file;
  }

  /** @param {Item} item @param {Outcome} outcome */
  finish(item, outcome) {
    if (item.abort.signal.aborted) return;
    if ("upload" in outcome) this.#accept(item, outcome.upload);
    else if (!("reason" in outcome)) this.#stop(item, "failed", item.sent ? FAILED.interrupted : FAILED.unreachable);
    else if ("refused" in outcome && outcome.refused) this.#stop(item, "refused", outcome.reason);
    else this.#stop(item, "failed", outcome.reason ?? "");
    this.#environment.onChange(item);
  }

  /** @param {Upload} upload */
  receive(upload) {
    if (isGone(upload)) return this.receiveGone(upload.id);
    const { memory, announcer, onChange, onReady, onEarlierChange } = this.#environment;
    memory.update(upload);
    const item = this.#byId.get(upload.id);
    if (!item?.upload) return onEarlierChange();
    if (item.stage === "gone") return;
    const merged = merge(item.upload, upload);
    if (merged === item.upload) return this.follow(merged);
    item.upload = { ...merged, token: item.upload.token };
    advance(item, merged.state);
    explain(item, merged);
    this.follow(merged);
    if (merged.state === "ready") {
      this.#end(item);
      onReady();
    } else if (merged.state === "failed") {
      announcer.note(ANNOUNCEMENTS.failed(item.name, item.reason));
    }
    onChange(item);
  }

  /** @param {string} id */
  receiveGone(id) {
    const item = this.#byId.get(id);
    const name = item?.name ?? this.#environment.memory.get(id)?.name;
    this.#forget(id);
    if (item?.stage === "gone" || !name) return;
    this.#environment.announcer.note(ANNOUNCEMENTS.gone(name));
    if (item) {
      advance(item, "gone");
      this.#environment.onChange(item);
    } else this.#environment.onEarlierChange();
  }

  /** @param {string} id */
  receiveUnknown(id) {
    this.#forget(id);
    const item = this.#byId.get(id);
    if (item && item.stage !== "ready" && item.stage !== "gone") {
      item.canRetry = false;
      if (item.stage !== "failed") this.#stop(item, "failed", FAILED.unknown);
      this.#environment.onChange(item);
    }
    this.#environment.onEarlierChange();
  }

  /** @param {Item} item */
  remove(item) {
    if (!this.items.includes(item)) return;
    const id = item.upload?.id ?? "";
    if (this.#byId.get(id) === item) this.#forget(id);
    this.#environment.announcer.note(ANNOUNCEMENTS.removed(item.name, item.upload !== null && item.stage !== "gone"));
    this.#drop(item);
  }

  /** @type {ClearStages} */
  clear(stages, sentence) {
    const items = this.items.filter(({ stage }) => stages.includes(stage));
    for (const item of items) this.#drop(item);
    this.#environment.announcer.note(sentence(items.length));
    this.#environment.onEarlierChange();
  }

  /** @param {Item} item */
  async retry(item) {
    if (item.stage !== "failed" || item.isRetrying || !item.canRetry) return;
    this.#environment.announcer.note(ANNOUNCEMENTS.retrying(item.name));
    item.pressedAt = this.#environment.now();
    if (!item.upload) {
      advance(item, "chosen");
      this.#environment.queue.add(item);
      return this.#environment.onChange(item);
    }
    item.isRetrying = true;
    const upload = await this.#environment.requestRetry(item.upload, item.abort.signal);
    item.isRetrying = false;
    if (upload) this.receive(upload);
    else if (item.stage === "failed") {
      item.reason = FAILED.noRetry;
      this.#environment.onChange(item);
    }
  }

  /** @param {Upload[]} uploads */
  forgetEarlier(uploads) {
    for (const { id } of uploads) this.#forget(id);
    this.#environment.announcer.note(ANNOUNCEMENTS.forgotten(uploads.length));
    this.#environment.onEarlierChange();
  }

  /** @param {Upload[]} uploads */
  remember(uploads) {
    for (const upload of uploads) this.#environment.memory.keep(upload);
    this.#environment.onEarlierChange();
  }

  keepShown() {
    for (const { upload, stage } of this.items) if (upload && stage !== "gone") this.#environment.memory.keep(upload);
  }

  /** @param {ItemFields} fields */
  #create(fields) {
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
      held: "",
      isBusy: false,
      canRetry: true,
      isRetrying: false,
      pressedAt: fields.file ? this.#environment.now() : NaN,
      isBulk: false,
      isLocated: false,
      clean: null,
      key: "",
      abort: new AbortController(),
      ...fields,
    };
    this.items.push(item);
    return item;
  }

  /** @param {Item} item @param {Upload} upload */
  #accept(item, upload) {
    const other = this.#byId.get(upload.id);
    if (other && other !== item) return this.remove(item);
    const { width, height, bytes } = upload;
    Object.assign(item, { upload, sent: 1, width, height, bytes });
    this.#byId.set(upload.id, item);
    this.#environment.memory.keep(upload);
    advance(item, upload.state);
    explain(item, upload);
    if (upload.state === "ready") this.#end(item);
    this.follow(upload);
  }

  /** @param {Item} item */
  #end(item) {
    const tookMs = this.#environment.now() - item.pressedAt;
    if (tookMs >= 0) item.tookMs = tookMs;
    this.#environment.announcer.ready(item.name);
  }

  /** @param {Upload} upload */
  follow(upload) {
    this.#environment.connection.subscribe(upload);
    if (upload.state !== "ready") return;
    this.#watched.add(upload.id);
    const [oldest = ""] = this.#watched;
    if (this.#watched.size > MAX_WATCHED) this.#unwatch(oldest);
  }

  /** @param {Item} item */
  #drop(item) {
    const index = this.items.indexOf(item);
    this.#environment.queue.remove(item);
    advance(item, "removed");
    item.abort.abort();
    if (item.upload && this.#byId.get(item.upload.id) === item) this.#byId.delete(item.upload.id);
    this.items.splice(index, 1);
    this.#environment.onRemove(item, this.items[index] ?? this.items[index - 1]);
  }

  /** @param {string} id */
  #unwatch(id) {
    this.#watched.delete(id);
    this.#environment.connection.unsubscribe(id);
  }

  /** @param {string} id */
  #forget(id) {
    this.#environment.memory.forget(id);
    this.#unwatch(id);
  }

  /** @type {Stop} */
  #stop(item, stage, reason) {
    advance(item, stage);
    item.reason = reason;
    this.#environment.announcer.note(ANNOUNCEMENTS[stage](item.name, reason));
  }
}
