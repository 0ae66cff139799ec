import { button, copyButton, fileName, hasFocus, icon, image, inTurn, isDrawable, make, setRatio } from "./dom.js";
import * as words from "./words.js";

const SIZES = "(min-width: 34rem) 19rem, 6.5rem";

export class Tile {
  #print = make("span", { class: "print", "data-empty": "" });
  #frame = make("a", { class: "frame" }, this.#print);
  #line = make("div", { class: "line" });
  #gauge = make("p", { class: "gauge" });
  #percent = make("span", { class: "percent", "aria-hidden": "true" });
  #status = make("p", { class: "status" });
  #actions = make("div", { class: "actions" });
  #lineKind = "";
  #gaugeKind = "";
  #actionsKind = "";
  #delete;
  #thumbnailsOf = "";

  /** @param {string} name @param {TileHandlers} handlers */
  constructor(name, handlers) {
    this.name = name;
    this.handlers = handlers;
    const heading = make("h3", {}, fileName(name));
    this.#delete = button("text", `Delete ${name}`, handlers.delete, "Delete");
    this.element = make(
      "li",
      { class: "tile", tabindex: "-1" },
      this.#frame,
      this.#line,
      this.#gauge,
      make("div", { class: "words" }, heading, this.#percent, this.#delete, this.#status, this.#actions),
    );
    this.#frame.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      handlers.view();
    });
  }

  get thumbnailUrl() {
    return this.#print.querySelector("img[srcset]")?.currentSrc ?? "";
  }

  /** @param {Item} item */
  show(item) {
    inTurn(this, () => item.stage === "removed" || this.draw(item), item.stage === "uploading");
  }

  /** @param {Item} item */
  draw(item) {
    this.element.dataset.state = item.stage;
    if (item.upload) setRatio(this.#print, item.upload);
    if (item.stage !== "uploading") this.#print.style.removeProperty("--sent");
    this.#showLine(item);
    this.#showGauge(item);
    this.#percent.textContent = item.stage === "uploading" && !item.held ? words.percent(item.sent) : "";
    this.#status.replaceChildren(...statusOf(item));
    this.#showActions(item);
    this.#showResizing(item.stage === "processing");
    if (item.stage === "ready" && item.upload) {
      this.#frame.href = item.upload.thumbnails.at(-1)?.url ?? item.upload.links.original;
      this.#frame.setAttribute("aria-label", `View ${this.name}`);
      this.#showThumbnails(item.upload);
    }
    if (item.stage === "gone") this.#clear();
    this.showProgress(item);
  }

  /** @param {Item} item */
  showProgress(item) {
    if (item.stage !== "uploading" || this.element.dataset.state !== item.stage) return;
    this.#print.style.setProperty("--sent", words.percent(item.sent));
    const bar = this.#line.querySelector("progress");
    if (bar) bar.value = Math.floor(item.sent * 100);
    this.#percent.textContent = item.held ? "" : words.percent(item.sent);
    this.#showGauge(item);
  }

  /** @param {HTMLImageElement} picture */
  showPreview(picture) {
    if (this.#thumbnailsOf) return;
    setRatio(this.#print, picture);
    this.#setPicture(picture);
  }

  /** @type {ShowKind} */
  showKind(kind, sides = {}) {
    if (this.#thumbnailsOf) return;
    if (sides.width && sides.height) setRatio(this.#print, { width: sides.width, height: sides.height });
    this.#print.classList.add("kind");
    delete this.#print.dataset.empty;
    this.#print.replaceChildren(kind);
  }

  focus() {
    release(this.element);
    const first = this.element.querySelector("a[href], button:not([hidden])");
    if (first instanceof HTMLElement) first.focus();
    return first !== null;
  }

  focusPicture() {
    if (this.#frame.hasAttribute("href")) this.#frame.focus();
    else this.focus();
  }

  #clear() {
    this.#thumbnailsOf = "gone";
    this.#frame.removeAttribute("href");
    this.#frame.removeAttribute("aria-label");
    this.#print.classList.add("kind");
    this.#print.replaceChildren();
    if (hasFocus(this.#frame)) this.focus();
  }

  /** @param {Upload} upload */
  async #showThumbnails(upload) {
    const revision = `${upload.id}/${upload.gen}`;
    if (this.#thumbnailsOf === revision) return;
    this.#thumbnailsOf = revision;
    if (!this.#print.querySelector("img")) await whenSeen(this.element);
    const picture = thumbnailImage(upload, SIZES);
    if (!(await isDrawable(picture)) || this.#thumbnailsOf !== revision) return;
    if (this.#print.querySelector("img")) fadeIn(picture, this.#print);
    else this.#setPicture(picture);
  }

  /** @param {Element} picture */
  #setPicture(picture) {
    this.#print.classList.remove("kind");
    delete this.#print.dataset.empty;
    this.#print.replaceChildren(picture, ...this.#print.querySelectorAll(".resizing"));
  }

  /** @param {boolean} isResizing */
  #showResizing(isResizing) {
    const drawn = this.#print.querySelector(".resizing");
    if (!isResizing) drawn?.remove();
    else if (!drawn) this.#print.append(make("span", { class: "resizing", "aria-hidden": "true" }, make("i")));
  }

  /** @param {Item} item */
  #showLine(item) {
    const step = stepOf(item);
    const isStopped = item.stage === "failed" || item.stage === "refused";
    const kind = item.stage === "uploading" ? "progress" : isStopped ? "stopped" : step ? "steps" : "plain";
    if (kind !== this.#lineKind) {
      this.#lineKind = kind;
      this.#line.replaceChildren(...lineOf(kind, this.name));
    }
    const at = item.stage === "refused" ? "sent" : step;
    if (at) this.#line.dataset.at = at;
    else delete this.#line.dataset.at;
    this.#line.style.setProperty("--at", item.stage === "failed" && !item.upload ? item.sent.toFixed(3) : "");
  }

  /** @param {Item} item */
  #showGauge(item) {
    const step = stepOf(item);
    const facts = step ? [] : factsOf(item);
    const kind = step ?? [item.stage, ...facts].join("\n");
    if (kind === this.#gaugeKind) return;
    this.#gaugeKind = kind;
    this.#gauge.classList.toggle("steps", step !== null);
    const parts = step
      ? Object.entries(words.STEPS).map(([name, text]) => make("span", { class: name === step ? "here" : "", "aria-hidden": "true" }, text))
      : facts.map((fact) => make("span", {}, fact));
    this.#gauge.replaceChildren(...parts);
  }

  /** @param {Item} item */
  #showActions(item) {
    const kind = actionsOf(item);
    const hadFocus = hasFocus(this.#actions) || hasFocus(this.#delete);
    this.#delete.hidden = !item.upload?.token || isDeleting(item) || item.stage === "gone";
    if (kind === this.#actionsKind) return;
    this.#actionsKind = kind;
    const actions = make("div", { class: "actions" }, ...this.#buttons(kind, item));
    this.#actions.replaceWith(actions);
    this.#actions = actions;
    if (hadFocus) (this.#actions.querySelector("button") ?? this.element).focus();
  }

  /** @param {string} kind @param {Item} item */
  #buttons(kind, item) {
    const { remove, retry, copy, undo } = this.handlers;
    const removal = item.upload ? words.FROM_LIST : "Remove";
    /** @param {string} symbol @param {string} text @param {() => void} run */
    const action = (symbol, text, run, classes = "button") =>
      button(classes, `${text} ${this.name}`, run, icon(symbol), text);
    switch (kind.split(" ")[0]) {
      case "chosen":
      case "lost":
        return [action("close", removal, remove)];
      case "soon":
        return [action("again", "Undo", undo, "button solid")];
      case "now":
        return [];
      case "uploading":
        return [action("close", "Cancel", remove)];
      case "refused":
      case "gone":
        return [action("close", "Dismiss", remove)];
      case "failed":
        return [action("again", "Retry", retry, "button solid"), action("close", removal, remove, "button plain")];
      default: {
        const link = copyButton(this.name, () => copy(link));
        return [link, make("a", { class: "button plain", href: item.upload?.links.self ?? "", "aria-label": `Open ${this.name}` }, "Open", icon("open", "i turns"))];
      }
    }
  }
}

/** @param {Item} item */
function stepOf({ stage, upload }) {
  if (stage === "queued" || stage === "processing") return stage;
  return stage === "failed" && upload ? "processing" : null;
}

/** @param {Item} item */
function actionsOf(item) {
  if (isDeleting(item)) return item.deletion?.step ?? "";
  if (item.stage === "failed") return item.canRetry ? `failed ${item.upload ? "sent" : ""}` : "lost";
  return item.upload && item.stage !== "gone" ? "sent" : item.stage;
}

/** @param {Item} item */
function isDeleting({ stage, deletion }) {
  return stage !== "gone" && (deletion?.step === "soon" || deletion?.step === "now");
}

/** @param {string} kind @param {string} name */
function lineOf(kind, name) {
  const marker = make("span", { class: "marker" });
  switch (kind) {
    case "progress":
      return [make("progress", { max: "100", value: "0", "aria-label": `Sending ${name}` })];
    case "steps":
      return [make("span", { class: "dots" }, make("i"), make("i"), make("i"), make("i")), marker];
    case "stopped":
      marker.append(icon("close"));
      return [marker];
    default:
      return [];
  }
}

/** @param {Item} item */
function factsOf(item) {
  const { stage, bytes, sent, width, height } = item;
  if (stage === "uploading") {
    if (item.held) return [words.sentPart(sent), ""];
    if (!item.speed) return ["", words.size(bytes)];
    return [words.speed(item.speed), words.timeLeft(((1 - sent) * bytes) / item.speed)];
  }
  if (stage === "refused") return [item.file ? words.size(bytes) : "", "not sent"];
  if (stage === "failed") return [words.sentPart(sent), words.sentOf(sent, bytes)];
  return [width && height ? words.sides({ width, height }) : "", words.size(bytes)];
}

/** @param {Item} item */
function statusOf(item) {
  const { deletion, stage } = item;
  if (stage !== "gone" && deletion && words.DELETION[deletion.step]) {
    return [make("strong", {}, words.DELETION[deletion.step]), ` ${deletion.reason ?? ""}`];
  }
  switch (item.stage) {
    case "uploading":
      return [words.STATUS[item.held || "uploading"]];
    case "ready":
      return item.upload ? [words.ready(item.upload, item.tookMs)] : [];
    case "failed":
    case "refused":
      return [make("strong", {}, words.STATUS[item.stage]), ` ${item.reason}`];
    case "removed":
      return [];
    default:
      return [words.STATUS[item.isLocated ? "located" : item.held || item.stage]];
  }
}

const FADE_MS = 400;

/** @param {Upload} upload @param {string} sizes */
export function thumbnailImage(upload, sizes) {
  const widths = new Map(upload.thumbnails.map((thumbnail) => [thumbnail.width, thumbnail.url]));
  const small = upload.thumbnails[0];
  const srcset = [...widths].map(([width, url]) => `${url} ${width}w`).join(", ");
  return image(small, { decoding: "async", sizes, srcset, src: small?.url ?? "" });
}

/** @param {Element} picture @param {Element} print */
export function fadeIn(picture, print) {
  const present = print.querySelector("img");
  picture.classList.add("over");
  print.append(picture);
  setTimeout(() => {
    present?.remove();
    picture.classList.remove("over");
  }, FADE_MS);
}

/** @type {WeakMap<Element, Promise<unknown>>} */
const watched = new WeakMap();
const observer = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    observer.unobserve(target);
    setTimeout(() => target.dispatchEvent(new Event("seen")));
  }
}, { rootMargin: "50%" });

/** @param {Element} element */
export async function whenSeen(element) {
  if (!watched.has(element)) {
    watched.set(element, new Promise((done) => element.addEventListener("seen", done)));
    observer.observe(element);
  }
  return watched.get(element);
}

/** @type {Set<HTMLElement>} */
const held = new Set();
/** @type {HTMLElement[]} */
const near = [];

/** @param {HTMLElement} list @param {HTMLElement} element */
export function hang(list, element) {
  if (list.firstElementChild) {
    element.dataset.held = "";
    held.add(element);
    whenSeen(element).then(() => near.push(element));
    queueMicrotask(releaseInTurn);
  }
  list.append(element);
}

/** @param {HTMLElement} element */
function release(element) {
  held.delete(element);
  delete element.dataset.held;
}

function releaseNext() {
  const [first] = held;
  const next = near.find((element) => held.has(element)) ?? first;
  if (next) release(next);
  queueMicrotask(releaseInTurn);
}

function releaseInTurn() {
  if (held.size) inTurn(held, releaseNext);
}

/** @param {HTMLElement} list @param {() => void} onChange */
export function measureTiles(list, onChange) {
  new ResizeObserver(() => {
    const tall = `${list.firstElementChild?.getBoundingClientRect().height}px`;
    if (list.style.getPropertyValue("--tall") === tall) return;
    list.style.setProperty("--tall", tall);
    onChange();
  }).observe(list);
}
