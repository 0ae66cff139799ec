/** One print on one long line, in a native dialog. */

import { find, icon, make, setRatio, unseen } from "./dom.js";
import { sides, size } from "./words.js";

export class Lightbox {
  #dialog = /** @type {HTMLDialogElement} */ (find("#lightbox"));
  /** @type {Item[]} */
  #items = [];
  #place = 0;

  /** @param {(button: HTMLElement, url: string) => void} copy */
  constructor(copy) {
    this.copy = copy;
    find(".before", this.#dialog).addEventListener("click", () => this.#turn(-1));
    find(".after", this.#dialog).addEventListener("click", () => this.#turn(1));
    this.#dialog.addEventListener("keydown", (event) => {
      const forward = getComputedStyle(this.#dialog).direction === "rtl" ? "ArrowLeft" : "ArrowRight";
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      event.preventDefault();
      this.#turn(event.key === forward ? 1 : -1);
    });
    // Where `closedby` is not known yet.
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
    this.#dialog.addEventListener("close", () => {
      this.#items[this.#place]?.tile.focusPicture();
      this.#items = [];
    });
  }

  /** @param {Item[]} items ready ones @param {number} place which of them */
  open(items, place) {
    this.#items = items;
    this.#place = place;
    this.#show();
    this.#dialog.showModal();
  }

  /** @param {number} by */
  #turn(by) {
    const count = this.#items.length;
    if (count < 2) return;
    this.#place = (this.#place + by + count) % count;
    this.#show();
  }

  #show() {
    const item = this.#items[this.#place];
    const upload = item?.upload;
    if (!item || !upload) return;
    const print = find(".print", this.#dialog);
    setRatio(print, upload);
    this.#showPicture(print, item);
    find("bdi", this.#dialog).textContent = upload.name;
    find(".of", this.#dialog).textContent = `${sides(upload)}, ${size(upload.bytes)}`;
    /** @type {HTMLAnchorElement} */ (find(".original", this.#dialog)).href = upload.links.original;
    find(".turn", this.#dialog).hidden = this.#items.length < 2;
    find(".sizes", this.#dialog).replaceChildren(...upload.thumbnails.map((thumbnail) => this.#size(thumbnail)));
  }

  /** First what the tile shows, then the large one. @param {HTMLElement} print @param {Item} item */
  async #showPicture(print, item) {
    const large = item.upload?.thumbnails.at(-1);
    print.style.setProperty("--own", `${large?.width ?? 0}px`);
    const picture = make("img", { alt: item.name, width: String(large?.width ?? 4), height: String(large?.height ?? 3) });
    picture.src = item.tile.shown || large?.url || "";
    print.replaceChildren(picture);
    if (!large) return;
    const loaded = new Image();
    loaded.src = large.url;
    await loaded.decode().catch(() => undefined);
    if (loaded.naturalWidth && picture.isConnected) picture.src = loaded.src;
  }

  /** @param {Thumbnail} thumbnail */
  #size(thumbnail) {
    const button = make("button", { class: "button icon", type: "button" }, icon("link"), unseen(`Copy link to ${thumbnail.size}`));
    button.addEventListener("click", () => this.copy(button, thumbnail.url));
    const facts = make("span", { class: "facts" }, sides(thumbnail));
    return make("li", {}, make("a", { href: thumbnail.url }, thumbnail.size), facts, button);
  }
}
