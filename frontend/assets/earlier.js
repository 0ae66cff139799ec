/** The list “Earlier”: ready uploads of earlier visits that this browser remembers. */

import { find, make, nameOf, setRatio, unseen } from "./dom.js";
import { arrive, image, impression } from "./picture.js";
import { reattachBelowTiles } from "./summary.js";
import { when } from "./words.js";

const SIZES = "8rem";

export class EarlierUploads {
  /** @type {Map<string, HTMLElement>} */
  #prints = new Map();

  /** @param {{forget: (id: string) => void}} handlers */
  constructor(handlers) {
    this.handlers = handlers;
  }

  /** @param {Upload[]} uploads the newest first */
  show(uploads) {
    const section = find(".earlier");
    const list = find(".earlier-list", section);
    const hadFocus = list.contains(document.activeElement);
    const had = this.#prints;
    this.#prints = new Map(uploads.map((upload) => [upload.id, had.get(upload.id) ?? this.#print(upload)]));
    const isSame = had.size === this.#prints.size && [...had.keys()].every((id) => this.#prints.has(id));
    if (isSame) return;
    const focused = [...had.keys()].findIndex((id) => had.get(id)?.contains(document.activeElement));
    list.replaceChildren(...this.#prints.values());
    section.hidden = uploads.length === 0;
    reattachBelowTiles();
    if (!hadFocus) return;
    const next = [...this.#prints.values()][Math.min(focused, this.#prints.size - 1)];
    find(next ? "button" : "#files", next).focus();
  }

  /** @param {Upload} upload */
  #print(upload) {
    const print = make("span", { class: "print" });
    const blurred = impression(upload.thumbhash);
    if (blurred) print.append(blurred);
    const frame = make("span", { class: "frame" }, print);
    setRatio(frame, upload);
    show(upload, print);
    const created = new Date(upload.created_at);
    const time = make("time", { datetime: upload.created_at }, when(created, new Date()));
    const forget = make("button", { class: "forget", type: "button" }, "Forget", unseen(` ${upload.name}`));
    forget.addEventListener("click", () => this.handlers.forget(upload.id));
    return make("li", {}, make("a", { href: upload.links.self }, frame, nameOf(upload.name)), make("p", { class: "when" }, time, forget));
  }
}

/** @param {Upload} upload @param {HTMLElement} print */
async function show(upload, print) {
  const picture = image(upload, SIZES);
  await picture.decode().catch(() => undefined);
  if (!picture.naturalWidth) return;
  arrive(picture, print);
}
