import { find, icon, make, setRatio, visuallyHidden } from "./dom.js";
import { sides, size } from "./words.js";

const SWIPE_PX = 40;
const DRAWN = ["jpeg", "png", "gif", "webp", "bmp"];

export class Lightbox {
  #dialog = /** @type {HTMLDialogElement} */ (find("#lightbox"));
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
    // For browsers without `closedby`.
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
    this.#dialog.addEventListener("close", () => {
      this.#items[this.#index]?.tile?.focusPicture();
      this.#items = [];
    });
  }

  /** @param {Item[]} items ready ones @param {number} index */
  open(items, index) {
    this.#items = items;
    this.#index = index;
    this.#show();
    this.#dialog.showModal();
  }

  /** @param {number} step 1 or -1 */
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
    find(".of", this.#dialog).textContent = `${sides(upload)}, ${size(upload.bytes)}`;
    /** @type {HTMLAnchorElement} */ (find(".original", this.#dialog)).href = upload.links.original;
    find(".count", this.#dialog).textContent = `${this.#index + 1} of ${this.#items.length}`;
    find(".turn", this.#dialog).hidden = this.#items.length < 2;
    find(".sizes", this.#dialog).replaceChildren(...upload.thumbnails.map((thumbnail) => this.#size(thumbnail)));
  }

  /** @param {HTMLElement} print @param {Item} item @param {Upload} upload */
  async #showPicture(print, item, upload) {
    const large = upload.thumbnails.at(-1);
    const original = DRAWN.includes(upload.format) ? upload.width : 0;
    const own = Math.max(original, large?.width ?? 0);
    print.style.setProperty("--own", `${own}px`);
    const picture = make("img", { alt: item.name, width: String(large?.width ?? 4), height: String(large?.height ?? 3) });
    picture.src = item.tile?.thumbnailUrl || large?.url || "";
    print.replaceChildren(picture);
    if (!large) return;
    const loaded = new Image();
    loaded.sizes = `min(100vw, ${own}px)`;
    loaded.srcset = `${large.url} ${large.width}w${original > large.width ? `, ${upload.links.original} ${original}w` : ""}`;
    await loaded.decode().catch(() => undefined);
    if (loaded.naturalWidth && picture.isConnected) picture.src = loaded.currentSrc;
  }

  /** @param {Thumbnail} thumbnail */
  #size(thumbnail) {
    const button = make("button", { class: "button icon", type: "button" }, icon("link"), visuallyHidden(`Copy link to ${thumbnail.size}`));
    button.addEventListener("click", () => this.copy(button, thumbnail.url));
    const facts = make("span", { class: "facts" }, sides(thumbnail));
    return make("li", {}, make("a", { href: thumbnail.url }, thumbnail.size), facts, button);
  }
}
