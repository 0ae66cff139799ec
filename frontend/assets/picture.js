/** Pictures that are decoded before they are shown. */

import { make } from "./dom.js";
import { Queue } from "./queue.js";
import { thumbhashPixels } from "./thumbhash.js";

/** @import { Upload } from "../types.d.ts" */

/** Wide enough for a tile on a fine screen, in pixels. */
const PREVIEW_WIDTH = 640;

/** Few previews are made at a time: twenty large photographs at once would stop the page. */
const drawing = new Queue(async (/** @type {{file: Blob, done: (canvas: HTMLCanvasElement | null) => void}} */ { file, done }) =>
  done(await draw(file).catch(() => null)),
);

/** Draws a file small. @param {Blob} file @returns {Promise<HTMLCanvasElement | null>} `null` if the browser cannot */
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
  return canvas;
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
