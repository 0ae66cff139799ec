import { REFUSED } from "./words.js";

const HEAD_BYTES = 192 * 1024;

/** @type {[string, string, string][]} */
const NOT_PICTURES = [
  ["%PDF-", "PDF", "a PDF"],
  ["PK\x03\x04", "ZIP", "a ZIP archive or a document"],
  ["\x1f\x8b", "GZ", "an archive"],
  ["\x1aE\xdf\xa3", "MKV", "a film"],
  ["MZ", "EXE", "a program"],
  ["#!", "script", "a program"],
];

/** @type {Limits} */
export const DEFAULT_LIMITS = {
  max_upload_bytes: 50 * 1024 * 1024,
  max_pixels: 100_000_000,
  formats: ["jpeg", "png", "gif", "webp", "bmp", "tiff", "heic", "avif"],
};

/** @param {File} file */
export function headOf(file) {
  return file.slice(0, HEAD_BYTES).arrayBuffer().then((head) => new Uint8Array(head), () => null);
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
  if (text.startsWith("II*\0") || text.startsWith("MM\0*")) return { name: "TIFF", format: "tiff" };
  return null;
}

/** @param {string} brands @returns {Kind} */
function probeBrands(brands) {
  if (/^([^]{4})*avi[fs]/.test(brands)) return { name: "AVIF", format: "avif" };
  if (/^(hei|hev|mi[fa]|msf1)/.test(brands)) return { name: "HEIC", format: "heic" };
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
  if (kind.format && !limits.formats.some((format) => format.replace("heif", "heic") === kind.format)) {
    return kind.format === "heic" ? REFUSED.heic : REFUSED.format(kind.name);
  }
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

const GPS_TAG = 0x8825;
const ENTRY_BYTES = 12;
const TYPE_BYTES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8];

/** @param {Uint8Array} head */
export function withoutLocation(head) {
  const clean = Uint8Array.from(head);
  const view = new DataView(clean.buffer);
  let isFound = false;
  for (let at = 2; at + 12 < clean.length && clean[at] === 0xff && clean[at + 1] !== 0xda; at += 2 + view.getUint16(at + 2)) {
    if (clean[at + 1] !== 0xe1) continue;
    const segment = clean.subarray(at + 4, at + 2 + view.getUint16(at + 2));
    const label = text(segment.subarray(0, 29));
    try {
      if (label.startsWith("Exif\0\0")) isFound = blankExif(segment.subarray(6)) || isFound;
      else if (label.startsWith("http://ns.adobe.com/xap/1.0/")) isFound = blankXmp(segment) || isFound;
    } catch {
    }
  }
  return isFound ? clean : null;
}

/** @param {Uint8Array} tiff */
function blankExif(tiff) {
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const isLittle = tiff[0] === 0x49;
  /** @param {number} at */
  const short = (at) => view.getUint16(at, isLittle);
  /** @param {number} at */
  const long = (at) => view.getUint32(at, isLittle);
  const first = long(4);
  const count = short(first);
  for (let index = 0; index < count; index += 1) {
    const entry = first + 2 + index * ENTRY_BYTES;
    if (short(entry) !== GPS_TAG) continue;
    const gps = long(entry + 8);
    const entries = short(gps);
    for (let at = gps + 2; at < gps + 2 + entries * ENTRY_BYTES; at += ENTRY_BYTES) {
      const bytes = (TYPE_BYTES[short(at + 2)] ?? 0) * long(at + 4);
      if (bytes > 4) tiff.fill(0, long(at + 8), long(at + 8) + bytes);
    }
    tiff.fill(0, gps, gps + 2 + entries * ENTRY_BYTES);
    const end = first + 2 + count * ENTRY_BYTES + 4;
    tiff.copyWithin(entry, entry + ENTRY_BYTES, end);
    tiff.fill(0, end - ENTRY_BYTES, end);
    view.setUint16(first, count - 1, isLittle);
    return entries > 0;
  }
  return false;
}

/** @param {Uint8Array} segment */
function blankXmp(segment) {
  const before = text(segment);
  const after = before.replace(/(exif:GPS\w+(?:="|>))([^"<]+)/g, (_, name, value) => name + " ".repeat(value.length));
  segment.set(Uint8Array.from(after, (letter) => letter.charCodeAt(0)));
  return before !== after;
}

/** @param {Uint8Array} bytes */
function text(bytes) {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

/** @param {string} thumbhash */
export function averageColour(thumbhash) {
  const [first = 0, second = 0, third = 0] = Array.from(atob(thumbhash), (letter) => letter.charCodeAt(0));
  const header = first | (second << 8) | (third << 16);
  const light = (header & 63) / 63;
  const yellowBlue = ((header >> 6) & 63) / 31.5 - 1;
  const redGreen = ((header >> 12) & 63) / 31.5 - 1;
  const blue = light - (2 / 3) * yellowBlue;
  const red = (3 * light - blue + redGreen) / 2;
  return `rgb(${[red, red - redGreen, blue].map((part) => Math.round(255 * part))})`;
}
