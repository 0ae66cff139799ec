import { test } from "node:test";
import assert from "node:assert/strict";
import { judge, refusal, USUAL } from "../assets/probe.js";
import { probe } from "../assets/probe.js";
import { thumbhashPixels } from "../assets/thumbhash.js";

const bytes = (...parts) => new Uint8Array(parts.flatMap((part) => (typeof part === "string" ? Array.from(part, (letter) => letter.charCodeAt(0)) : part)));
const zeros = (count) => Array(count).fill(0);
const seen = (...parts) => probe(bytes(...parts));

test("pictures are known by their bytes, with their sides", () => {
  const png = seen("\x89PNG\r\n\x1a\n", [0, 0, 0, 13], "IHDR", [0, 0, 16, 0], [0, 0, 12, 0]);
  assert.deepEqual(png, { name: "PNG", format: "png", width: 4096, height: 3072 });
  assert.deepEqual(seen("GIF89a", [3, 0, 2, 0], zeros(3)), { name: "GIF", format: "gif", width: 3, height: 2 });
  const bmp = seen("BM", zeros(16), [4, 0, 0, 0], [0xfd, 0xff, 0xff, 0xff]);
  assert.deepEqual(bmp, { name: "BMP", format: "bmp", width: 4, height: 3 });
  assert.equal(seen("II*\0", zeros(8))?.format, "tiff");
  const extended = seen("RIFF", zeros(4), "WEBPVP8X", zeros(8), [0xff, 3, 0], [0xff, 2, 0]);
  assert.deepEqual(extended, { name: "WebP", format: "webp", width: 1024, height: 768 });
  const lossless = seen("RIFF", zeros(4), "WEBPVP8L", zeros(4), [0x2f, 0x3f, 0xc1, 0x0e, 0], zeros(8));
  assert.deepEqual([lossless?.width, lossless?.height], [320, 60]);
});

test("the frame header of a JPEG is found behind its other segments", () => {
  const exif = [0xff, 0xe1, 0x01, 0x02, ...zeros(256)];
  const tables = [0xff, 0xc4, 0x00, 0x04, 0, 0];
  const frame = [0xff, 0xff, 0xc2, 0x00, 0x11, 8, 0x0b, 0xd0, 0x0f, 0xc0];
  const jpeg = seen([0xff, 0xd8, ...exif, ...tables, ...frame, ...zeros(8)]);
  assert.deepEqual(jpeg, { name: "JPEG", format: "jpeg", width: 4032, height: 3024 });
  assert.deepEqual(seen([0xff, 0xd8, 0xff, 0xe1, 0xff, 0xff]), { name: "JPEG", format: "jpeg" });
});

test("cut short anywhere, nothing throws", () => {
  for (const whole of [bytes("\x89PNG\r\n\x1a\n", zeros(16)), bytes("RIFF", zeros(4), "WEBPVP8 ", zeros(14)), bytes("BM", zeros(30)), bytes([0xff, 0xd8, 0xff, 0xc0], zeros(12))]) {
    for (let end = 0; end <= whole.length; end += 1) probe(whole.subarray(0, end));
  }
});

test("what is no picture is named", () => {
  assert.equal(seen("%PDF-1.7")?.article, "a PDF");
  assert.equal(seen([0, 0, 0, 24], "ftypisom")?.article, "a film");
  assert.equal(seen("Dear Sir,\n")?.article, "text");
  assert.equal(seen([0, 1, 2, 3]), null);
});

test("what the server takes is sent, the rest is refused in words", () => {
  const png = { name: "PNG", format: "png", width: 12_000, height: 10_000 };
  assert.equal(judge(0, null, USUAL), "The file is empty.");
  assert.equal(judge(9, null, USUAL), "This is not a picture.");
  assert.equal(judge(9, { name: "PDF", article: "a PDF" }, USUAL), "This is a PDF, not a picture.");
  assert.equal(judge(9, { name: "AVIF", format: "avif" }, USUAL), "AVIF pictures are not taken.");
  assert.equal(judge(9, { name: "AVIF", format: "avif" }, { ...USUAL, formats: ["avif"] }), "");
  assert.equal(judge(84_000_000, png, USUAL), "84 MB is too large. The limit is 50 MB.");
  assert.equal(judge(9, png, USUAL), "120 megapixels are too many. The limit is 100.");
  assert.equal(judge(9, { ...png, height: 1000 }, USUAL), "");
});

test("the server's refusals read the same", () => {
  assert.deepEqual(refusal(413, { limit: 52_428_800 }, 84_000_000), { refused: true, reason: "84 MB is too large. The limit is 50 MB." });
  assert.deepEqual(refusal(415, { looks_like: "a PDF" }, 1), { refused: true, reason: "This is a PDF, not a picture." });
  assert.deepEqual(refusal(422, { title: "Too many." }, 1), { refused: true, reason: "Too many." });
  assert.deepEqual(refusal(500, null, 1), { refused: false, reason: "" });
});

test("a thumbhash becomes its blurred picture", () => {
  const hash = Uint8Array.from(atob("1QcSHQRnh493V4dIh4eXh1h4kJUI"), (letter) => letter.charCodeAt(0));
  const { width, height, pixels } = thumbhashPixels(hash);
  assert.deepEqual([width, height, pixels.length], [23, 32, 23 * 32 * 4]);
  assert.ok(pixels.every((value, place) => place % 4 !== 3 || value === 255));
  assert.throws(() => thumbhashPixels(hash.subarray(0, 6)), RangeError);
});
