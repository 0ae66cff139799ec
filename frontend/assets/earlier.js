import { fileName, find, make, setRatio, visuallyHidden } from "./dom.js";
import { blurredPreview, fadeIn, thumbnailImage } from "./picture.js";
import { reattachBelowTiles } from "./summary.js";
import { when } from "./words.js";

const SIZES = "8rem";
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
      /** @type {HTMLElement | null | undefined} */ (last?.nextElementSibling?.querySelector("a"))?.focus();
    });
  }

  show() {
    const uploads = this.handlers.list(this.#most + 1);
    find(".more").hidden = uploads.length <= this.#most;
    uploads.splice(this.#most);
    const section = find(".earlier");
    const list = find(".earlier-list", section);
    const hadFocus = list.contains(document.activeElement);
    const old = this.#entries;
    this.#entries = new Map(uploads.map((upload) => [upload.id, old.get(upload.id) ?? this.#entry(upload)]));
    const isSame = old.size === this.#entries.size && [...old.keys()].every((id) => this.#entries.has(id));
    if (isSame) return;
    const focused = [...old.values()].findIndex((entry) => entry.contains(document.activeElement));
    list.replaceChildren(...this.#entries.values());
    section.hidden = uploads.length === 0;
    reattachBelowTiles();
    if (!hadFocus) return;
    const next = [...this.#entries.values()][Math.min(focused, this.#entries.size - 1)];
    find(next ? "button" : "#files", next).focus();
  }

  /** @param {Upload} upload */
  #entry(upload) {
    const print = make("span", { class: "print" });
    const blurred = blurredPreview(upload.thumbhash);
    if (blurred) print.append(blurred);
    const frame = make("span", { class: "frame" }, print);
    setRatio(frame, upload);
    showThumbnail(upload, print);
    const created = new Date(upload.created_at);
    const time = make("time", { datetime: upload.created_at }, when(created, new Date()));
    const forget = make("button", { class: "forget", type: "button" }, "Forget", visuallyHidden(` ${upload.name}`));
    forget.addEventListener("click", () => this.handlers.forget(upload));
    return make("li", {}, make("a", { href: upload.links.self }, frame, fileName(upload.name)), make("p", { class: "when" }, time, forget));
  }
}

/** @param {Upload} upload @param {HTMLElement} print */
async function showThumbnail(upload, print) {
  const picture = thumbnailImage(upload, SIZES);
  await picture.decode().catch(() => undefined);
  if (!picture.naturalWidth) return;
  fadeIn(picture, print);
}
