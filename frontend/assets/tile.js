/** One tile: picture, line, gauge, words. */

import { copyButton, icon, make, nameOf, setRatio, unseen } from "./dom.js";
import { arrive, impression, image } from "./picture.js";
import * as words from "./words.js";

/** How wide a tile's picture is. */
const SIZES = "(min-width: 34rem) 19rem, 6.5rem";

/** Where the message is. @type {Partial<Record<Stage, string>>} */
const AT = { queued: "queue", processing: "worker" };

export class Tile {
  #print = make("span", { class: "print", "data-empty": "" });
  #frame = make("a", { class: "frame" }, this.#print);
  #line = make("div", { class: "line", "aria-hidden": "true" });
  #gauge = make("p", { class: "gauge" });
  #percent = make("span", { class: "percent", "aria-hidden": "true" });
  #status = make("p", { class: "status" });
  #actions = make("div", { class: "actions" });
  /** What the parts show: only what changes is made anew. */
  #lineKind = "";
  #gaugeKind = "";
  #actionsKind = "";
  #pictureOf = "";

  /** @param {string} name @param {TileHandlers} handlers */
  constructor(name, handlers) {
    this.name = name;
    this.handlers = handlers;
    const heading = make("h3", {}, nameOf(name));
    this.element = make(
      "li",
      { class: "tile" },
      this.#frame,
      this.#line,
      this.#gauge,
      make("div", { class: "words" }, heading, this.#percent, this.#status, this.#actions),
    );
    this.#frame.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      handlers.look();
    });
  }

  /** For the lightbox to begin with. */
  get shown() {
    const picture = /** @type {HTMLImageElement | null} */ (this.#print.querySelector("img[srcset]"));
    return picture?.currentSrc ?? "";
  }

  /** @param {Item} item */
  show(item) {
    this.element.dataset.state = item.stage;
    if (item.upload) setRatio(this.element, item.upload);
    if (item.stage !== "uploading") this.element.style.removeProperty("--sent");
    this.#showLine(item);
    this.#showGauge(item);
    this.#percent.textContent = item.stage === "uploading" && !item.isWaiting ? words.percent(item.sent) : "";
    this.#status.replaceChildren(...statusOf(item));
    this.#showActions(item);
    this.#showMaking(item.stage === "processing");
    if (item.stage === "ready" && item.upload) {
      this.#frame.href = item.upload.thumbnails.at(-1)?.url ?? item.upload.links.original;
      this.#frame.setAttribute("aria-label", `Look at ${this.name}`);
      this.#showThumbnails(item.upload);
    }
  }

  /** @param {Item} item */
  showProgress(item) {
    if (item.stage !== "uploading") return;
    this.element.style.setProperty("--sent", words.percent(item.sent));
    const bar = this.#line.querySelector("progress");
    if (bar) bar.value = Math.floor(item.sent * 100);
    this.#percent.textContent = item.isWaiting ? "" : words.percent(item.sent);
    this.#showGauge(item);
  }

  /** The file's own picture. @param {HTMLImageElement} picture */
  showPreview(picture) {
    if (this.#pictureOf) return;
    setRatio(this.element, picture);
    this.#place(picture);
  }

  /** What the browser cannot draw: its kind, in type. @param {string} kind @param {{width?: number, height?: number}} [sides] */
  showKind(kind, sides = {}) {
    if (this.#pictureOf) return;
    if (sides.width && sides.height) setRatio(this.element, { width: sides.width, height: sides.height });
    this.#print.classList.add("kind");
    delete this.#print.dataset.empty;
    this.#print.replaceChildren(kind);
  }

  /** To its picture, else to its first action. */
  focus() {
    const first = this.element.querySelector("a[href], button");
    if (first instanceof HTMLElement) first.focus();
    return first !== null;
  }

  focusPicture() {
    this.#frame.focus();
  }

  /** @param {Upload} upload */
  async #showThumbnails(upload) {
    const name = `${upload.id}/${upload.gen}`;
    if (this.#pictureOf === name) return;
    this.#pictureOf = name;
    if (!this.#print.querySelector("canvas, img")) {
      const blurred = impression(upload.thumbhash);
      if (blurred) this.#place(blurred);
    }
    const picture = image(upload, SIZES);
    await picture.decode().catch(() => undefined);
    if (this.#pictureOf !== name || !picture.naturalWidth) return;
    if (this.#print.querySelector("canvas, img")) arrive(picture, this.#print);
    else this.#place(picture);
  }

  /** @param {Element} picture */
  #place(picture) {
    this.#print.classList.remove("kind");
    delete this.#print.dataset.empty;
    this.#print.replaceChildren(picture, ...this.#print.querySelectorAll(".making"));
  }

  /** @param {boolean} isMaking */
  #showMaking(isMaking) {
    const drawn = this.#print.querySelector(".making");
    if (!isMaking) drawn?.remove();
    else if (!drawn) this.#print.append(make("span", { class: "making", "aria-hidden": "true" }, make("i")));
  }

  /** @param {Item} item */
  #showLine(item) {
    const stopped = item.stage === "failed" || item.stage === "refused";
    const kind = item.stage === "uploading" ? "progress" : AT[item.stage] ? "journey" : stopped ? "stopped" : "plain";
    if (kind !== this.#lineKind) {
      this.#lineKind = kind;
      this.#line.replaceChildren(...lineOf(kind, this.name));
      if (kind === "progress") this.#line.removeAttribute("aria-hidden");
      else this.#line.setAttribute("aria-hidden", "true");
    }
    const at = AT[item.stage] ?? (item.stage === "refused" ? "sent" : item.stage === "failed" && item.upload ? "worker" : "");
    if (at) this.#line.dataset.at = at;
    else delete this.#line.dataset.at;
    if (item.stage === "failed" && !item.upload) this.#line.style.setProperty("--at", item.sent.toFixed(3));
    else this.#line.style.removeProperty("--at");
  }

  /** @param {Item} item */
  #showGauge(item) {
    const here = AT[item.stage] ?? (item.stage === "failed" && item.upload ? "worker" : "");
    const facts = here ? [] : factsOf(item);
    const kind = here || [item.stage, ...facts].join("\n");
    if (kind === this.#gaugeKind) return;
    this.#gaugeKind = kind;
    this.#gauge.classList.toggle("journey", here !== "");
    if (here) this.#gauge.setAttribute("aria-hidden", "true");
    else this.#gauge.removeAttribute("aria-hidden");
    const parts = here
      ? words.STATIONS.map((station) => make("span", station === here ? { class: "here" } : {}, station))
      : facts.map((fact) => make("span", {}, fact));
    this.#gauge.replaceChildren(...parts);
  }

  /** @param {Item} item */
  #showActions(item) {
    const kind = actionsOf(item);
    if (kind === this.#actionsKind) return;
    this.#actionsKind = kind;
    const hadFocus = this.#actions.contains(document.activeElement);
    // A new element does not slide.
    const actions = make("div", { class: "actions" }, ...this.#make(kind, item));
    this.#actions.replaceWith(actions);
    this.#actions = actions;
    if (hadFocus) this.#actions.querySelector("button")?.focus();
  }

  /** @param {string} kind @param {Item} item */
  #make(kind, item) {
    const { remove, retry, copy } = this.handlers;
    const press = (/** @type {string} */ symbol, /** @type {string} */ text, /** @type {() => void} */ act, more = "") => {
      const button = make("button", { class: `button ${more}`.trim(), type: "button" }, icon(symbol), text, unseen(` ${this.name}`));
      button.addEventListener("click", act);
      return button;
    };
    switch (kind) {
      case "chosen":
      case "gone":
        return [press("close", "Remove", remove)];
      case "uploading":
        return [press("close", "Cancel", remove)];
      case "refused":
        return [press("close", "Dismiss", remove)];
      case "failed":
        return [press("again", "Retry", retry, "solid"), press("close", "Remove", remove, "plain")];
      default: {
        const button = copyButton(this.name, () => copy(button));
        const open = make("a", { class: "button plain", href: item.upload?.links.self ?? "" }, "Open", icon("open", "turns"), unseen(` ${this.name}`));
        return [button, open];
      }
    }
  }
}

/** @param {Item} item */
function actionsOf(item) {
  if (item.stage === "failed" && item.isGone) return "gone";
  return item.upload && item.stage !== "failed" ? "sent" : item.stage;
}

/** @param {string} kind @param {string} name @returns {Element[]} */
function lineOf(kind, name) {
  const message = make("span", { class: "message" });
  switch (kind) {
    case "progress":
      return [make("progress", { max: "100", value: "0", "aria-label": `Sending ${name}` })];
    case "journey":
      return [make("span", { class: "stations" }, make("i"), make("i"), make("i"), make("i")), message];
    case "stopped":
      message.append(icon("close"));
      return [message];
    default:
      return [];
  }
}

/** @param {Item} item @returns {string[]} */
function factsOf(item) {
  const { stage, bytes, sent, width, height } = item;
  if (stage === "uploading") {
    if (item.isWaiting) return [words.sentPart(sent), ""];
    if (!item.speed) return ["", words.size(bytes)];
    return [words.speed(item.speed), words.timeLeft(((1 - sent) * bytes) / item.speed)];
  }
  if (stage === "refused") return [words.size(bytes), "not sent"];
  if (stage === "failed") return [words.sentPart(sent), words.sentOf(sent, bytes)];
  return [width && height ? words.sides({ width, height }) : "", words.size(bytes)];
}

/** @param {Item} item @returns {(Node | string)[]} */
function statusOf(item) {
  switch (item.stage) {
    case "uploading":
      return [item.isWaiting ? words.STATUS.noNetwork : words.STATUS.uploading];
    case "ready":
      return [words.STATUS.ready(item.upload ? words.took(item.upload) : "")];
    case "failed":
    case "refused":
      return [make("strong", {}, words.STATUS[item.stage]), ` ${item.reason}`];
    case "removed":
      return [];
    default:
      return [words.STATUS[item.stage]];
  }
}
