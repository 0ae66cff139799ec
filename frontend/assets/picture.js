import { make } from "./dom.js";
import { thumbhashPixels } from "./probe.js";
import { Queue } from "./send.js";

const PREVIEW_WIDTH = 640;
const FADE_MS = 400;

const drawings = new Queue(async (/** @type {Drawing} */ { file, isWanted, done }) => done(isWanted() ? await draw(file).catch(() => null) : null), 1);

/** @type {WeakMap<Element, () => void>} */
const unseen = new WeakMap();
const observer = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    observer.unobserve(target);
    // A task each.
    setTimeout(() => unseen.get(target)?.());
  }
}, { rootMargin: "25%" });

/** @param {Element} element @returns {Promise<void>} */
export function whenSeen(element) {
  return new Promise((done) => {
    unseen.set(element, done);
    observer.unobserve(element);
    observer.observe(element);
  });
}

/** @param {Blob} file @param {() => boolean} isWanted */
export function preview(file, isWanted) {
  return new Promise((done) => drawings.add({ file, isWanted, done }));
}

/** @param {Blob} file */
async function draw(file) {
  const bitmap = await createImageBitmap(file, { resizeWidth: PREVIEW_WIDTH, resizeQuality: "medium" });
  const canvas = make("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
  bitmap.close();
  return toImage(canvas);
}

/** @param {HTMLCanvasElement} canvas */
async function toImage(canvas) {
  /** @type {Blob | null} */
  const blob = await new Promise((done) => canvas.toBlob(done));
  if (!blob) return null;
  const picture = make("img", { alt: "", width: String(canvas.width), height: String(canvas.height) });
  picture.src = URL.createObjectURL(blob);
  // Decoded before the URL is revoked.
  await picture.decode().finally(() => URL.revokeObjectURL(picture.src));
  return picture;
}

/** @param {string | undefined} thumbhash */
export function blurredPreview(thumbhash) {
  if (!thumbhash) return null;
  try {
    const { width, height, pixels } = thumbhashPixels(Uint8Array.from(atob(thumbhash), (letter) => letter.charCodeAt(0)));
    const canvas = make("canvas");
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d")?.putImageData(new ImageData(pixels, width, height), 0, 0);
    return canvas;
  } catch {
    return null;
  }
}

/** @param {Upload} upload @param {string} sizes */
export function thumbnailImage(upload, sizes) {
  const widths = new Map(upload.thumbnails.map((thumbnail) => [thumbnail.width, thumbnail.url]));
  const small = upload.thumbnails[0];
  const picture = make("img", { alt: "", decoding: "async", width: String(small?.width ?? 4), height: String(small?.height ?? 3), sizes });
  picture.srcset = [...widths].map(([width, url]) => `${url} ${width}w`).join(", ");
  picture.src = small?.url ?? "";
  return picture;
}

/** @param {Element} picture @param {Element} print */
export function fadeIn(picture, print) {
  const present = print.querySelector("canvas, img");
  picture.classList.add("over");
  print.append(picture);
  setTimeout(() => {
    present?.remove();
    picture.classList.remove("over");
  }, FADE_MS);
}
