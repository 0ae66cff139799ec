// @ts-check
/** The one place that touches the document for tiles. Text enters as text. */

import * as words from "./words.js";

/** @typedef {import("./merge.js").Upload} Upload */
/** @typedef {import("./queue.js").Stage} Stage */

/** Beads that are shown, one a picture. */
const MAX_BEADS = 40;
const STATIONS = ["sent", "queue", "worker", "back"];

/**
 * Makes an element.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  element.append(...children);
  return element;
}

/** @param {string} icon */
function makeIcon(icon) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "i");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#i-${icon}`);
  svg.append(use);
  return svg;
}

export class Tile {
  /**
   * @param {File} file
   * @param {{remove: () => void, retry: () => void}} does
   */
  constructor(file, does) {
    this.file = file;
    this.does = does;
    this.preview = URL.createObjectURL(file);
    this.startedAt = 0;
    this.picture = make("img", { alt: "" });
    this.picture.src = this.preview;
    this.picture.onload = () => {
      if (this.picture.src === this.preview) this.#ratio(this.picture.naturalWidth, this.picture.naturalHeight);
    };
    this.print = make("span", { class: "print" }, this.picture);
    this.picture.onerror = () => {
      this.print.classList.add("kind");
      this.print.replaceChildren(words.nameParts(file.name)[1].slice(1).toUpperCase() || "?");
    };
    this.frame = make("div", { class: "frame" }, this.print);
    this.line = make("div", { class: "line", "aria-hidden": "true" });
    this.gauge = make("p", { class: "gauge" });
    this.status = make("p", { class: "status" });
    this.percent = make("span", { class: "percent", "aria-hidden": "true" });
    this.actions = make("div", { class: "actions" });
    const [stem, end] = words.nameParts(file.name);
    const name = make("bdi", { class: "name", title: file.name }, make("span", { class: "stem" }, stem), make("span", { class: "ext" }, end));
    const says = make("div", { class: "words" }, make("h3", {}, name), this.percent, this.status, this.actions);
    this.element = make("li", { class: "tile" }, this.frame, this.line, this.gauge, says);
    document.querySelector(".tiles > ul")?.append(this.element);
  }

  /** @param {number} part from 0 to 1 */
  progress(part) {
    this.startedAt ||= performance.now();
    const percent = `${Math.round(part * 100)}%`;
    this.element.style.setProperty("--sent", percent);
    this.percent.textContent = percent;
    const bar = this.line.querySelector("progress");
    if (bar) bar.value = part * 100;
    const elapsed = (performance.now() - this.startedAt) / 1000;
    const rate = (part * this.file.size) / Math.max(elapsed, 0.1);
    const left = ((1 - part) * this.file.size) / Math.max(rate, 1);
    this.#facts(`${words.size(rate)}/s`, part < 1 ? `${Math.ceil(left)} s left` : "");
  }

  /** @param {Stage} stage @param {Upload | null} upload @param {string} reason */
  show(stage, upload, reason) {
    if (stage === "removed") return;
    this.element.dataset.state = stage;
    if (upload) this.#ratio(upload.width, upload.height);
    this.percent.textContent = "";
    this.#showLine(stage, upload);
    this.#showStatus(stage, upload, reason);
    this.#showActions(stage, upload);
    if (stage === "ready" && upload) this.#showReady(upload);
  }

  /** Takes the tile away; the focus goes to a neighbour, or to the button that everything begins with. @param {Tile} [neighbour] */
  remove(neighbour) {
    const hadFocus = this.element.contains(document.activeElement);
    this.element.remove();
    URL.revokeObjectURL(this.preview);
    const next = neighbour?.element.querySelector("button, a") ?? document.querySelector("#files");
    if (hadFocus) /** @type {HTMLElement | null} */ (next)?.focus();
  }

  /** @param {number} width @param {number} height */
  #ratio(width, height) {
    this.element.style.setProperty("--ratio", `${width} / ${height}`);
  }

  /** @param {...string} facts */
  #facts(...facts) {
    this.gauge.className = "gauge";
    this.gauge.replaceChildren(...facts.map((fact) => make("span", {}, fact)));
  }

  /** @param {Stage} stage @param {Upload | null} upload */
  #showLine(stage, upload) {
    this.line.replaceChildren();
    delete this.line.dataset.at;
    const at = { queued: "queue", processing: "worker", failed: upload ? "worker" : "" }[/** @type {"queued"} */ (stage)];
    if (stage === "uploading") {
      this.line.removeAttribute("aria-hidden");
      this.line.append(make("progress", { max: "100", value: "0", "aria-label": `Sending ${this.file.name}` }));
      return;
    }
    this.line.setAttribute("aria-hidden", "true");
    const facts = upload ? [words.sides(upload.width, upload.height), words.size(upload.bytes)] : [words.size(this.file.size)];
    if (stage === "refused") facts.push("not sent");
    this.#facts(...facts);
    if (!at) {
      if (stage === "failed" || stage === "refused") this.line.append(make("span", { class: "message" }, makeIcon("close")));
      return;
    }
    this.line.dataset.at = at;
    const message = make("span", { class: "message" });
    if (stage === "failed") message.append(makeIcon("close"));
    else this.line.append(make("span", { class: "stations" }, ...STATIONS.map(() => make("i"))));
    this.line.append(message);
    this.gauge.className = "gauge journey";
    this.gauge.replaceChildren(...STATIONS.map((station) => make("span", station === at ? { class: "here" } : {}, station)));
  }

  /** @param {Stage} stage @param {Upload | null} upload @param {string} reason */
  #showStatus(stage, upload, reason) {
    if (stage === "failed" || stage === "refused") {
      const verdict = make("strong", {}, stage === "failed" ? "Failed." : "Refused.");
      this.status.replaceChildren(verdict, ` ${reason}`);
    } else {
      this.status.textContent = stage === "ready" && upload ? words.readyIn(upload) : words.STATUS[/** @type {"queued"} */ (stage)];
    }
  }

  /** @param {Stage} stage @param {Upload | null} upload */
  #showActions(stage, upload) {
    const key = `${stage} ${upload ? upload.id : ""}`;
    if (this.actions.dataset.key === key) return;
    const hadFocus = this.actions.contains(document.activeElement);
    this.actions.dataset.key = key;
    /** @type {Node[]} */
    const actions = [];
    if (stage === "chosen") actions.push(this.#button("close", "Remove", this.does.remove));
    if (stage === "uploading") actions.push(this.#button("close", "Cancel", this.does.remove));
    if (stage === "refused") actions.push(this.#button("close", "Dismiss", this.does.remove));
    if (stage === "failed") {
      const again = this.#button("again", "Retry", this.does.retry);
      again.classList.add("solid");
      const away = this.#button("close", "Remove", this.does.remove);
      away.classList.add("plain");
      actions.push(again, away);
    }
    if (upload && stage !== "failed") actions.push(this.#copyButton(upload.links.self), this.#openLink(upload.links.self));
    this.actions.replaceChildren(...actions);
    if (hadFocus) /** @type {HTMLElement | null} */ (this.actions.querySelector("button, a"))?.focus();
  }

  /** @param {string} icon @param {string} label @param {() => void} does */
  #button(icon, label, does) {
    const button = make("button", { class: "button", type: "button" }, makeIcon(icon), label, make("span", { class: "vh" }, ` ${this.file.name}`));
    button.addEventListener("click", does);
    return button;
  }

  /** @param {string} link */
  #copyButton(link) {
    const swap = make("span", { class: "swap" }, make("span", {}, "Copy link"), make("span", {}, "Copied"));
    const button = make("button", { class: "button", type: "button" }, makeIcon("link"), swap, make("span", { class: "vh" }, ` to ${this.file.name}`));
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(new URL(link, location.href).href);
      button.dataset.done = "";
      setTimeout(() => delete button.dataset.done, 2000);
    });
    return button;
  }

  /** @param {string} link */
  #openLink(link) {
    return make("a", { class: "button plain", href: link }, "Open", makeIcon("open"), make("span", { class: "vh" }, ` ${this.file.name}`));
  }

  /** Shows the thumbnails, once they are decoded: nothing flickers, and nothing moves. @param {Upload} upload */
  async #showReady(upload) {
    const [small] = upload.thumbnails;
    if (this.picture.dataset.ready || !small) return;
    this.picture.dataset.ready = "";
    const picture = make("img", {
      alt: "",
      width: `${upload.width}`,
      height: `${upload.height}`,
      sizes: "(min-width: 34rem) 19rem, 6.5rem",
      srcset: upload.thumbnails.map(({ url, width }) => `${url} ${width}w`).join(", "),
      src: small.url,
    });
    await picture.decode().catch(() => {});
    this.print.classList.remove("kind");
    this.print.replaceChildren(picture);
    URL.revokeObjectURL(this.preview);
    const large = upload.thumbnails[upload.thumbnails.length - 1];
    const link = make("a", { class: "frame", href: large.url, "aria-label": `Look at ${this.file.name}` }, this.print);
    this.frame.replaceWith(link);
    this.frame = /** @type {any} */ (link);
  }
}

/** The headline, the tally and the beads. @param {Stage[]} stages */
export function showTotal(stages) {
  const count = (/** @type {Stage[]} */ ...wanted) => stages.filter((stage) => wanted.includes(stage)).length;
  const [ready, failed] = [count("ready"), count("failed")];
  const headline = words.total(ready, stages.length);
  const set = (/** @type {string} */ selector, /** @type {string} */ text) => {
    const element = document.querySelector(selector);
    if (element) element.textContent = text;
  };
  set("#total", headline);
  document.title = stages.length ? `${headline} · up!` : "up!";
  set(".tally", words.tally({ moving: count("uploading", "queued", "processing"), next: count("chosen"), failed, refused: count("refused") }));
  set(".retry-all span", `Retry ${failed} failed`);
  const hide = (/** @type {string} */ selector, /** @type {boolean} */ hidden) => document.querySelector(selector)?.toggleAttribute("hidden", hidden);
  hide(".retry-all", failed === 0);
  hide(".rest", stages.length === 0);
  hide(".tiles", stages.length === 0);
  hide(".nothing", stages.length > 0);
  const beads = stages.slice(0, MAX_BEADS).map((stage) => make("i", { "data-state": stage }));
  document.querySelector(".beads")?.replaceChildren(...beads);
}
