import { REFUSED } from "./words.js";

const HEAD_BYTES = 192 * 1024;

/** @type {[string, string, string][]} */
const NOT_PICTURES = [
  ["%PDF-", "PDF", "a PDF"],
  ["PK\x03\x04", "ZIP", "a ZIP archive or a document"],
  ["\x1f\x8b", "GZ", "an archive"],
  ["\x1aE\xdf\xa3", "MKV", "a film"],
  ["MZ", "EXE", "a program"],
];

/** @type {Limits} */
export const DEFAULT_LIMITS = {
  max_upload_bytes: 50 * 1024 * 1024,
  max_pixels: 100_000_000,
  formats: ["jpeg", "png", "gif", "webp", "bmp", "tiff", "heic", "avif"],
};

/** @param {File} file */
export function headOf(file) {
  return file.slice(0, HEAD_BYTES).arrayBuffer().then((head) => new Uint8Array(head));
}

/** @param {Uint8Array} head */
export function probe(head) {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const text = String.fromCharCode(...head.subarray(0, 512));
  const picture = probePicture(text, view);
  if (picture) return picture;
  if (text.slice(4, 8) === "ftyp") return probeBrands(text.slice(8, view.getUint32(0)));
  if (/^\s*(<\?xml[^]*)?(<!--[^]*-->\s*)?<svg/i.test(text)) return { name: "SVG", format: "svg" };
  if (text.startsWith("\xff\x0a") || text.startsWith("\0\0\0\x0cJXL ")) return { name: "JXL", format: "jxl" };
  const other = NOT_PICTURES.find(([start]) => text.startsWith(start));
  if (other) return { name: other[1], article: other[2] };
  return text && /^[\t\n\r\x20-\x7e\x80-\xff]*$/.test(text) ? { name: "TXT", article: "text" } : null;
}

/** @param {string} text @param {DataView} view */
function probePicture(text, view) {
  if (text.startsWith("\xff\xd8\xff")) return { name: "JPEG", format: "jpeg", ...jpegSides(view) };
  if (text.startsWith("\x89PNG\r\n\x1a\n")) {
    return { name: "PNG", format: "png", ...(view.byteLength >= 24 && sides(view.getUint32(16), view.getUint32(20))) };
  }
  if (/^GIF8[79]a/.test(text)) {
    return { name: "GIF", format: "gif", ...(view.byteLength >= 10 && sides(view.getUint16(6, true), view.getUint16(8, true))) };
  }
  if (text.startsWith("RIFF") && text.slice(8, 12) === "WEBP") return { name: "WebP", format: "webp", ...webpSides(text, view) };
  if (text.startsWith("BM") && view.byteLength >= 26) {
    return { name: "BMP", format: "bmp", ...sides(view.getInt32(18, true), Math.abs(view.getInt32(22, true))) };
  }
  if (/^(II[*+]\0|MM\0[*+])/.test(text)) return { name: "TIFF", format: "tiff" };
  return null;
}

/** @param {string} brands @returns {Kind} */
function probeBrands(brands) {
  if (/^([^]{4})*avi[fs]/.test(brands)) return { name: "AVIF", format: "avif" };
  const name = /^([^]{4})*he[iv]/.test(brands) ? "HEIC" : "HEIF";
  if (/^(he[iv]|mi[fa]|msf1)/.test(brands)) return { name, format: name.toLowerCase() };
  if (brands.startsWith("crx")) return { name: "CR3", article: "a camera raw file" };
  return { name: "MP4", article: "a film" };
}

/** @param {number} width @param {number} height */
function sides(width, height) {
  return width > 0 && height > 0 ? { width, height } : {};
}

/** @param {DataView} view */
function jpegSides(view) {
  for (let at = 2; at + 9 < view.byteLength; ) {
    const marker = view.getUint16(at);
    if (marker === 0xffff) at += 1;
    else if (marker < 0xffc0 || marker === 0xffda) return {};
    else if (marker <= 0xffcf && ![0xffc4, 0xffc8, 0xffcc].includes(marker)) {
      return sides(view.getUint16(at + 7), view.getUint16(at + 5));
    } else at += 2 + view.getUint16(at + 2);
  }
  return {};
}

/** @param {string} text @param {DataView} view */
function webpSides(text, view) {
  if (view.byteLength < 30) return {};
  switch (text.slice(12, 16)) {
    case "VP8X":
      return sides(uint24(view, 24) + 1, uint24(view, 27) + 1);
    case "VP8L": {
      const bits = view.getUint32(21, true);
      return sides((bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1);
    }
    case "VP8 ":
      return sides(view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff);
    default:
      return {};
  }
}

/** @param {DataView} view @param {number} at */
function uint24(view, at) {
  return view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
}

/** @type {ReasonToRefuse} */
export function reasonToRefuse(bytes, kind, limits) {
  if (bytes === 0) return REFUSED.empty;
  if (!kind) return REFUSED.other;
  if (kind.article) return REFUSED.kind(kind.article);
  const takes = kind.format?.replace("heif", "hei[cf]|avif").replace("heic", "hei[cf]");
  if (takes && !limits.formats.join().match(takes)) return /^HEI/.test(kind.name) ? REFUSED.heic : REFUSED.format(kind.name);
  if (bytes > limits.max_upload_bytes) return REFUSED.tooLarge(bytes, limits.max_upload_bytes);
  const pixels = (kind.width ?? 0) * (kind.height ?? 0);
  return pixels > limits.max_pixels ? REFUSED.tooManyPixels(pixels, limits.max_pixels) : "";
}

/** @type {ReadProblem} */
export function readProblem(status, problem, bytes) {
  const title = typeof problem?.title === "string" ? problem.title : "";
  switch (status) {
    case 413:
      return { refused: true, reason: problem?.limit ? REFUSED.tooLarge(bytes, problem.limit) : title || REFUSED.proxy };
    case 415:
      return { refused: true, reason: problem?.looks_like ? REFUSED.kind(problem.looks_like) : /unsupported$/.test(problem?.type) ? REFUSED.other : title || REFUSED.other };
    case 400:
    case 422:
      return { refused: true, reason: title };
    default:
      return { refused: false, reason: title };
  }
}

const WINDOW = 256 * 1024;
const REACH = 128 * 1024;
const PLACE = /II\*\0|MM\0\*|:gps\w+(?:\s*=\s*["']|>)\s*(?=\S)([^"'<\0-\x1f\x7f-\uffff]+)/gi;
const APP1 = 0xffe1;
const GPS_TAG = 0x8825;
const PADDING_TAG = 0xea1c;
const UNDEFINED = 7;
const MAX_DIRECTORIES = 8;
const ENTRY_BYTES = 12;
const TYPE_BYTES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8];

/** @param {File} file @param {string} [format] */
export async function withoutLocation(file, format) {
  const { size } = file;
  const whole = new Uint8Array(format === "tiff" ? await file.arrayBuffer() : []);
  let isFound = blankExif(whole);
  const source = isFound ? new Blob([whole]) : file;
  const parts = [];
  let tail = new Uint8Array();
  let wasBlanked = false;
  for (let at = 0; at < size; at += WINDOW) {
    const bytes = new Uint8Array(await new Blob([tail, source.slice(at + tail.length, at + 2 * WINDOW)]).arrayBuffer());
    const text = new TextDecoder("latin1").decode(bytes);
    const isBlanked = blank(bytes, text, at + 2 * WINDOW < size ? bytes.length - REACH : size);
    const isChanged = isBlanked || wasBlanked;
    if (isChanged && format === "png") mendChecksums(bytes, text);
    parts.push(isChanged ? bytes.slice(0, WINDOW) : source.slice(at, at + WINDOW));
    tail = bytes.slice(WINDOW);
    wasBlanked = isBlanked;
    isFound ||= isBlanked;
  }
  return isFound ? new File(parts, file.name, file) : null;
}

/** @type {Blank} */
const blank = (bytes, text, end) => {
  const view = new DataView(bytes.buffer);
  let isFound = false;
  for (const { 0: found, 1: value, index } of text.matchAll(PLACE)) {
    if (index >= end) break;
    const last = index + found.length;
    if (value) bytes.fill(0x20, last - value.length, last);
    const most = index > 9 && view.getUint16(index - 10) === APP1 ? view.getUint16(index - 8) - 8 : REACH;
    if (value || blankExif(bytes.subarray(index, index + most))) isFound = true;
  }
  return isFound;
};

/** @param {Uint8Array} tiff */
function blankExif(tiff) {
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const isLittle = tiff[0] === 0x49;
  /** @param {number} at */
  const short = (at) => view.getUint16(at, isLittle);
  /** @param {number} at */
  const long = (at) => view.getUint32(at, isLittle);
  let isFound = false;
  try {
    for (let first = long(4), left = MAX_DIRECTORIES; first && left; left -= 1) {
      const end = first + 2 + short(first) * ENTRY_BYTES;
      for (let entry = first + 2; entry < end; entry += ENTRY_BYTES) {
        if (short(entry) !== GPS_TAG || long(entry + 4) !== 1) continue;
        const gps = long(entry + 8);
        const last = gps + 2 + short(gps) * ENTRY_BYTES;
        for (let at = gps + 2; at < last; at += ENTRY_BYTES) {
          isFound = true;
          const bytes = (TYPE_BYTES[short(at + 2)] ?? 0) * long(at + 4);
          if (bytes > 4) tiff.fill(0, long(at + 8), long(at + 8) + bytes);
        }
        tiff.fill(0, gps, last);
        view.setUint16(entry, PADDING_TAG, isLittle);
        view.setUint16(entry + 2, UNDEFINED, isLittle);
      }
      first = long(end);
    }
  } catch {
  }
  return isFound;
}

/** @param {Uint8Array} bytes @param {string} text */
function mendChecksums(bytes, text) {
  const view = new DataView(bytes.buffer);
  for (const { index } of text.matchAll(/eXIf|iTXt/g)) {
    try {
      const end = index + 4 + view.getUint32(index - 4);
      let crc = -1;
      for (const byte of bytes.subarray(index, end)) {
        crc ^= byte;
        for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
      }
      view.setUint32(end, ~crc);
    } catch {
    }
  }
}
