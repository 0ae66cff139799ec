/** Pictures that are decoded before they are shown. */

import { make } from "./dom.js";
import { Queue } from "./queue.js";
import { thumbhashPixels } from "./thumbhash.js";

const PREVIEW_WIDTH = 640;
/** After this what is under a picture goes. */
const FADED_MS = 400;

/** Twenty large photographs at once would stop the page. */
const drawing = new Queue(async (/** @type {{file: Blob, done: (picture: HTMLImageElement | null) => void}} */ { file, done }) =>
  done(await draw(file).catch(() => null)),
);

/** Draws a file small. @param {Blob} file @returns {Promise<HTMLImageElement | null>} `null` if the browser cannot */
export function preview(file) {
  return new Promise((done) => drawing.add({ file, done }));
}

/** @param {Blob} file */
async function draw(file) {
  const bitmap = await createImageBitmap(file, { resizeWidth: PREVIEW_WIDTH, resizeQuality: "medium" });
  const canvas = make("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
  bitmap.close();
  return pictured(canvas);
}

/** As an image: of many canvases a small device leaves some blank. @param {HTMLCanvasElement} canvas */
async function pictured(canvas) {
  const blob = await new Promise((/** @type {(blob: Blob | null) => void} */ done) => canvas.toBlob(done));
  if (!blob) return null;
  const picture = make("img", { alt: "", width: String(canvas.width), height: String(canvas.height) });
  picture.src = URL.createObjectURL(blob);
  // Decoded before its bytes are let go.
  await picture.decode().finally(() => URL.revokeObjectURL(picture.src));
  return picture;
}

/** The blurred impression of an upload. @param {string | undefined} thumbhash */
export function impression(thumbhash) {
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

/** An image of the sizes that there are; not loaded yet. @param {Upload} upload @param {string} sizes */
export function image(upload, sizes) {
  const widths = new Map(upload.thumbnails.map((thumbnail) => [thumbnail.width, thumbnail.url]));
  const small = upload.thumbnails[0];
  const picture = make("img", { alt: "", decoding: "async", width: String(small?.width ?? 4), height: String(small?.height ?? 3), sizes });
  picture.srcset = [...widths].map(([width, url]) => `${url} ${width}w`).join(", ");
  picture.src = small?.url ?? "";
  return picture;
}

/** Fades in over what is there. @param {Element} picture decoded @param {Element} print */
export function arrive(picture, print) {
  const under = print.querySelector("canvas, img");
  picture.classList.add("over");
  print.append(picture);
  setTimeout(() => {
    under?.remove();
    picture.classList.remove("over");
  }, FADED_MS);
}
