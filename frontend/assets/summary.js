import { button, fileName, find, hasFocus, icon, image, isDrawable, make, setRatio, sharpen } from "./dom.js";
import { fadeIn, thumbnailImage } from "./tile.js";
import * as words from "./words.js";

const MAX_BEADS = 40;
const HOP_EVERY_MS = 2000;
/** @type {Record<string, string>} */
const ICONS = { failed: "m8 8 16 16M24 8 8 24", ready: "m6 17 7 7L26 9" };
const favicon = find('link[rel="icon"]');
const mark = favicon.getAttribute("href") ?? "";

/** @type {ShowSummary} */
export const showSummary = (counts, stages, retriable, isPaused) => {
  const total = words.total(counts);
  const isEmpty = stages.length === 0;
  const heading = find("#total");
  const [first = "", ...others] = total.split(/(?=, )/);
  if (heading.textContent !== total) heading.replaceChildren(first, ...(others.length ? [make("span", {}, ...others)] : []));
  find(".total").toggleAttribute("data-done", /^Done/.test(total));
  showIcon(!words.isDone(counts) || isEmpty ? "" : counts.failed + counts.refused ? "failed" : "ready");
  document.title = words.totalOf(counts) + counts.refused ? `${total} · up!` : "up!";
  if (find(".tiles").hidden !== isEmpty) {
    for (const part of [".tiles", ".rest"]) find(part).hidden = isEmpty;
    find(".nothing").hidden = !isEmpty;
    find(".page").toggleAttribute("data-started", !isEmpty);
    reattach([".slab", ".desk"]);
  }
  setText(find(".tally"), words.tally(counts));
  showBeads(stages.filter((stage) => stage !== "refused" && stage !== "gone").slice(0, MAX_BEADS));
  const clear = find(".clear-all");
  const isSending = counts.chosen + counts.uploading > 0;
  clear.toggleAttribute("data-idle", isSending ? counts.chosen + counts.uploading < 2 : !(counts.ready + counts.refused + counts.gone));
  setText(clear, isSending ? words.BATCH.cancel : words.BATCH.finished);
  const pause = find(".pause-all");
  pause.toggleAttribute("data-idle", !isPaused && counts.chosen < 1);
  setText(pause, isPaused ? words.BATCH.resume : words.BATCH.pause);
  const retry = find(".retry-all");
  retry.toggleAttribute("data-idle", !retriable || !pause.hasAttribute("data-idle"));
  if (retriable) setText(find("span", retry), `Retry ${retriable} failed`);
};

/** @param {string} text */
export function showToSend(text) {
  setText(find(".to-send"), text);
}

/** @param {string} kind */
function showIcon(kind) {
  const path = ICONS[kind];
  const href = path ? mark.replace(/d='m16.*fill='.{9}/, `fill='none' d='${path}`) : mark;
  if (favicon.getAttribute("href") !== href) favicon.setAttribute("href", href);
}

/** @param {string[]} stages */
function showBeads(stages) {
  const old = find(".beads");
  if (old.children.length === stages.length) return colour(old, stages);
  const tally = find(".tally");
  tally.replaceWith(tally.cloneNode(true));
  const beads = make("span", { class: "beads", "aria-hidden": "true" }, ...stages.map(() => make("i")));
  old.replaceWith(beads);
  colour(beads, stages);
}

/** @param {HTMLElement} beads @param {string[]} stages */
function colour(beads, stages) {
  stages.forEach((stage, index) => {
    const bead = beads.children[index];
    if (bead?.getAttribute("data-state") !== stage) bead?.setAttribute("data-state", stage);
  });
}

/** @param {Element} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function reattachBelowTiles() {
  reattach([".earlier", ".foot"]);
}

/** @param {string[]} selectors */
function reattach(selectors) {
  const sections = selectors.map((selector) => find(selector));
  for (const section of sections) {
    if (!hasFocus(section)) section.parentElement?.append(section);
  }
}

let hoppedAt = -Infinity;

export function hopMark() {
  const now = performance.now();
  if (now - hoppedAt < HOP_EVERY_MS) return;
  hoppedAt = now;
  const mark = find(".mark");
  mark.classList.add("hop");
  setTimeout(() => mark.classList.remove("hop"), HOP_EVERY_MS / 2);
}

/** @type {Map<string, HTMLElement>} */
const shown = new Map();

/** @type {ShowNotice} */
export const showNotice = (subject, content, actions = [{ text: "Dismiss", run() {} }]) => {
  const buttons = actions.map(({ text, run, stays }, index) => {
    const press = () => {
      if (!stays) hideNotice(subject);
      run();
    };
    return button(index === actions.length - 1 ? "button plain" : "button", text, press, text);
  });
  const notice = make("div", { class: "notice" }, make("p", {}, ...content), make("div", { class: "actions" }, ...buttons));
  shown.get(subject)?.remove();
  shown.set(subject, notice);
  find(".notices").append(notice);
  reattach([".nothing", ".tiles", ".earlier", ".foot"]);
  notice.scrollIntoView({ block: "nearest" });
};

/** @param {string} subject */
export function hideNotice(subject) {
  const notice = shown.get(subject);
  const hadFocus = notice && hasFocus(notice);
  notice?.remove();
  shown.delete(subject);
  if (hadFocus) find("#files").focus();
}

const MAX_NAMES = 20;

/** @type {ShowUnsent} */
export const showUnsent = (names, dismiss) => {
  const shown = names.slice(0, MAX_NAMES).flatMap((name, index) => [index ? ", " : " ", make("bdi", {}, name)]);
  const rest = names.length > MAX_NAMES ? ` and ${names.length - MAX_NAMES} more` : "";
  const sentence = words.ANNOUNCEMENTS.unsent(names.length);
  showNotice("unsent", [make("strong", {}, sentence), ...shown, rest], [
    { text: "Choose again", run: () => find("#files").click(), stays: true },
    { text: "Dismiss", run: dismiss },
  ]);
  return sentence;
};

const SIZES_EARLIER = "8rem";
const PAGE = 60;

export class EarlierUploads {
  /** @type {Map<string, HTMLElement>} */
  #entries = new Map();

  #most = PAGE;

  /** @param {EarlierHandlers} handlers */
  constructor(handlers) {
    this.handlers = handlers;
    find(".more").addEventListener("click", () => {
      const last = [...this.#entries.values()].at(-1);
      this.#most += PAGE;
      this.show();
      last?.nextElementSibling?.querySelector("a")?.focus();
    });
  }

  show = () => {
    const uploads = this.handlers.list(this.#most + 1);
    find(".more").hidden = uploads.length <= this.#most;
    uploads.splice(this.#most);
    const section = find(".earlier");
    const list = find(".earlier-list", section);
    const hadFocus = hasFocus(list);
    const old = this.#entries;
    this.#entries = new Map(uploads.map((upload) => [upload.id, old.get(upload.id) ?? this.#entry(upload)]));
    const isSame = old.size === this.#entries.size && [...old.keys()].every((id) => this.#entries.has(id));
    if (isSame) return;
    const focused = [...old.values()].findIndex(hasFocus);
    list.replaceChildren(...this.#entries.values());
    section.hidden = uploads.length === 0;
    find(".desk").toggleAttribute("data-known", !section.hidden);
    reattachBelowTiles();
    if (!hadFocus) return;
    const next = [...this.#entries.values()][Math.min(focused, this.#entries.size - 1)];
    find(next ? "button" : "#files", next).focus();
  };

  /** @param {Upload} upload */
  #entry(upload) {
    const print = make("span", { class: "print" });
    const frame = make("span", { class: "frame" }, print);
    setRatio(frame, upload);
    showThumbnail(upload, print);
    this.handlers.follow(upload);
    const entry = make("li", {}, make("a", { href: upload.links.self }, frame, fileName(upload.name)), make("p", { class: "when" }));
    this.#showActions(entry, upload);
    return entry;
  }

  /** @param {Deletable} upload */
  showDeletion(upload) {
    const entry = this.#entries.get(upload.id);
    if (entry) this.#showActions(entry, /** @type {Upload} */ (upload));
  }

  /** @param {HTMLElement} entry @param {Upload} upload */
  #showActions(entry, upload) {
    const { deletion, forget, remove, undo } = this.handlers;
    const { step = "kept", reason = "" } = deletion(upload) ?? {};
    const line = find(".when", entry);
    const hadFocus = hasFocus(line);
    /** @param {string} text @param {(upload: Upload) => void} run */
    const action = (text, run) =>
      button("text", `${text} ${upload.name}`, () => run(upload), text);
    const time = make("time", { datetime: upload.created_at }, words.when(new Date(upload.created_at), new Date()));
    const said = words.DELETION[step] ? `${words.DELETION[step]} ${reason}`.trim() : time;
    const actions = step === "now" ? [] : step === "soon" ? [action("Undo", undo)] : [action(words.FROM_LIST, forget)];
    if (upload.token && step !== "soon" && step !== "now") actions.push(action("Delete", remove));
    line.replaceChildren(said, ...actions);
    if (hadFocus) (actions.at(-1) ?? find("a", entry)).focus();
  }
}

/** @param {Upload} upload @param {HTMLElement} print */
async function showThumbnail(upload, print) {
  const picture = thumbnailImage(upload, SIZES_EARLIER);
  if (await isDrawable(picture)) fadeIn(picture, print);
}

const SWIPE_PX = 40;
const DRAWN = ["jpeg", "png", "gif", "webp", "bmp", "avif"];

export class Lightbox {
  #dialog = find("#lightbox");
  /** @type {Item[]} */
  #items = [];
  #index = 0;

  /** @param {(button: HTMLElement, url: string) => void} copy */
  constructor(copy) {
    this.copy = copy;
    find(".before", this.#dialog).addEventListener("click", () => this.#move(-1));
    find(".after", this.#dialog).addEventListener("click", () => this.#move(1));
    this.#dialog.addEventListener("keydown", (event) => {
      const forward = getComputedStyle(this.#dialog).direction === "rtl" ? "ArrowLeft" : "ArrowRight";
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      event.preventDefault();
      this.#move(event.key === forward ? 1 : -1);
    });
    const stage = find(".stage", this.#dialog);
    let from = { x: 0, y: 0 };
    stage.addEventListener("pointerdown", ({ x, y }) => (from = { x, y }));
    stage.addEventListener("pointerup", ({ x, y, pointerType }) => {
      const across = x - from.x;
      if (pointerType !== "touch" || Math.abs(across) < SWIPE_PX || Math.abs(across) < Math.abs(y - from.y)) return;
      this.#move(across > 0 ? -1 : 1);
    });
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
    this.#dialog.addEventListener("close", () => {
      this.#items[this.#index]?.tile?.focusPicture();
      this.#items = [];
    });
  }

  /** @param {Item[]} items @param {number} index */
  open(items, index) {
    this.#items = items;
    this.#index = index;
    this.#show();
    this.#dialog.showModal();
  }

  /** @param {Item} item */
  leaveOut(item) {
    if (item === this.#items[this.#index]) return this.#dialog.close();
    const shown = this.#items[this.#index];
    this.#items = this.#items.filter((other) => other !== item);
    if (!shown) return;
    this.#index = this.#items.indexOf(shown);
    this.#showCount();
  }

  /** @param {number} step */
  #move(step) {
    const count = this.#items.length;
    if (count < 2) return;
    this.#index = (this.#index + step + count) % count;
    this.#show();
  }

  #show() {
    const item = this.#items[this.#index];
    const upload = item?.upload;
    if (!item || !upload) return;
    const print = find(".print", this.#dialog);
    setRatio(print, upload);
    this.#showPicture(print, item, upload);
    find("bdi", this.#dialog).textContent = upload.name;
    find(".of", this.#dialog).textContent = `${words.sides(upload)}, ${words.size(upload.bytes)}`;
    find(".original", this.#dialog).href = upload.links.original;
    this.#showCount();
    find(".sizes", this.#dialog).replaceChildren(...upload.thumbnails.map((thumbnail) => this.#size(thumbnail)));
  }

  #showCount() {
    find(".count", this.#dialog).textContent = `${this.#index + 1} of ${this.#items.length}`;
    find(".turn", this.#dialog).hidden = this.#items.length < 2;
  }

  /** @param {HTMLElement} print @param {Item} item @param {Upload} upload */
  #showPicture(print, item, upload) {
    const large = upload.thumbnails.at(-1);
    const original = DRAWN.includes(upload.format) ? upload.width : 0;
    const own = Math.max(original, large?.width ?? 0);
    print.style.setProperty("--own", `${own}px`);
    const picture = image(large, { alt: item.name });
    picture.src = item.tile?.thumbnailUrl || large?.url || "";
    print.replaceChildren(picture);
    if (!large) return;
    sharpen(picture, `min(100vw, ${own}px)`, `${large.url} ${large.width}w${original > large.width ? `, ${upload.links.original} ${original}w` : ""}`);
  }

  /** @param {Thumbnail} thumbnail */
  #size(thumbnail) {
    const { size, url } = thumbnail;
    const copy = button("button icon", `Copy link to ${size}`, () => this.copy(copy, url), icon("link"));
    return make("li", {}, make("a", { href: url }, size), make("span", { class: "facts" }, words.sides(thumbnail)), copy);
  }
}
