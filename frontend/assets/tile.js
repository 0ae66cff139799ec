import { copyButton, fileName, icon, make, setRatio, visuallyHidden } from "./dom.js";
import { blurredPreview, fadeIn, thumbnailImage, whenSeen } from "./picture.js";
import * as words from "./words.js";

const SIZES = "(min-width: 34rem) 19rem, 6.5rem";

export class Tile {
  #print = make("span", { class: "print", "data-empty": "" });
  #frame = make("a", { class: "frame" }, this.#print);
  #line = make("div", { class: "line", "aria-hidden": "true" });
  #gauge = make("p", { class: "gauge" });
  #percent = make("span", { class: "percent", "aria-hidden": "true" });
  #status = make("p", { class: "status" });
  #actions = make("div", { class: "actions" });
  #lineKind = "";
  #gaugeKind = "";
  #actionsKind = "";
  #thumbnailsOf = "";

  /** @param {string} name @param {TileHandlers} handlers */
  constructor(name, handlers) {
    this.name = name;
    this.handlers = handlers;
    const heading = make("h3", {}, fileName(name));
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
      handlers.view();
    });
  }

  get thumbnailUrl() {
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
    this.#percent.textContent = item.stage === "uploading" && !item.held ? words.percent(item.sent) : "";
    this.#status.replaceChildren(...statusOf(item));
    this.#showActions(item);
    this.#showResizing(item.stage === "processing");
    if (item.stage === "ready" && item.upload) {
      this.#frame.href = item.upload.thumbnails.at(-1)?.url ?? item.upload.links.original;
      this.#frame.setAttribute("aria-label", `View ${this.name}`);
      this.#showThumbnails(item.upload);
    }
  }

  /** @param {Item} item */
  showProgress(item) {
    if (item.stage !== "uploading") return;
    this.element.style.setProperty("--sent", words.percent(item.sent));
    const bar = this.#line.querySelector("progress");
    if (bar) bar.value = Math.floor(item.sent * 100);
    this.#percent.textContent = item.held ? "" : words.percent(item.sent);
    this.#showGauge(item);
  }

  /** @param {HTMLImageElement} picture */
  showPreview(picture) {
    if (this.#thumbnailsOf) return;
    setRatio(this.element, picture);
    this.#setPicture(picture);
  }

  /** @param {string} kind @param {Partial<Sides>} [sides] */
  showKind(kind, sides = {}) {
    if (this.#thumbnailsOf) return;
    if (sides.width && sides.height) setRatio(this.element, { width: sides.width, height: sides.height });
    this.#print.classList.add("kind");
    delete this.#print.dataset.empty;
    this.#print.replaceChildren(kind);
  }

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
    const revision = `${upload.id}/${upload.gen}`;
    if (this.#thumbnailsOf === revision) return;
    this.#thumbnailsOf = revision;
    if (!this.#print.querySelector("canvas, img")) {
      await whenSeen(this.element);
      const blurred = blurredPreview(upload.thumbhash);
      if (blurred) this.#setPicture(blurred);
    }
    const picture = thumbnailImage(upload, SIZES);
    await picture.decode().catch(() => undefined);
    if (this.#thumbnailsOf !== revision || !picture.naturalWidth) return;
    if (this.#print.querySelector("canvas, img")) fadeIn(picture, this.#print);
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
      if (kind === "progress") this.#line.removeAttribute("aria-hidden");
      else this.#line.setAttribute("aria-hidden", "true");
    }
    const at = item.stage === "refused" ? "sent" : step;
    if (at) this.#line.dataset.at = at;
    else delete this.#line.dataset.at;
    if (item.stage === "failed" && !item.upload) this.#line.style.setProperty("--at", item.sent.toFixed(3));
    else this.#line.style.removeProperty("--at");
  }

  /** @param {Item} item */
  #showGauge(item) {
    const step = stepOf(item);
    const facts = step ? [] : factsOf(item);
    const kind = step ?? [item.stage, ...facts].join("\n");
    if (kind === this.#gaugeKind) return;
    this.#gaugeKind = kind;
    this.#gauge.classList.toggle("steps", step !== null);
    if (step) this.#gauge.setAttribute("aria-hidden", "true");
    else this.#gauge.removeAttribute("aria-hidden");
    const parts = step
      ? Object.entries(words.STEPS).map(([name, text]) => make("span", name === step ? { class: "here" } : {}, text))
      : facts.map((fact) => make("span", {}, fact));
    this.#gauge.replaceChildren(...parts);
  }

  /** @param {Item} item */
  #showActions(item) {
    const kind = actionsOf(item);
    if (kind === this.#actionsKind) return;
    this.#actionsKind = kind;
    const hadFocus = this.#actions.contains(document.activeElement);
    // A new element: moved buttons are a layout shift.
    const actions = make("div", { class: "actions" }, ...this.#buttons(kind, item));
    this.#actions.replaceWith(actions);
    this.#actions = actions;
    if (hadFocus) this.#actions.querySelector("button")?.focus();
  }

  /** @param {string} kind @param {Item} item */
  #buttons(kind, item) {
    const { remove, retry, copy } = this.handlers;
    const action = (/** @type {string} */ symbol, /** @type {string} */ text, /** @type {() => void} */ onClick, classes = "") => {
      const button = make("button", { class: `button ${classes}`.trim(), type: "button" }, icon(symbol), text, visuallyHidden(` ${this.name}`));
      button.addEventListener("click", onClick);
      return button;
    };
    switch (kind) {
      case "chosen":
      case "gone":
        return [action("close", "Remove", remove)];
      case "uploading":
        return [action("close", "Cancel", remove)];
      case "refused":
        return [action("close", "Dismiss", remove)];
      case "failed":
        return [action("again", "Retry", retry, "solid"), action("close", "Remove", remove, "plain")];
      default: {
        const button = copyButton(this.name, () => copy(button));
        const open = make("a", { class: "button plain", href: item.upload?.links.self ?? "" }, "Open", icon("open", "turns"), visuallyHidden(` ${this.name}`));
        return [button, open];
      }
    }
  }
}

/** @param {Item} item @returns {Step | null} */
function stepOf({ stage, upload }) {
  if (stage === "queued" || stage === "processing") return stage;
  return stage === "failed" && upload ? "processing" : null;
}

/** @param {Item} item */
function actionsOf(item) {
  if (item.stage === "failed" && !item.canRetry) return "gone";
  return item.upload && item.stage !== "failed" ? "sent" : item.stage;
}

/** @param {string} kind @param {string} name @returns {Element[]} */
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

/** @param {Item} item @returns {string[]} */
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

/** @param {Item} item @returns {(Node | string)[]} */
function statusOf(item) {
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
      return [words.STATUS[item.isLocated ? "located" : item.held === "paused" ? item.held : item.stage]];
  }
}
