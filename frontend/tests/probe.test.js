import { test } from "node:test";
import assert from "node:assert/strict";
import { DEFAULT_LIMITS, probe, readProblem, reasonToRefuse } from "../assets/probe.js";

const bytes = (...parts) => new Uint8Array(parts.flatMap((part) => (typeof part === "string" ? Array.from(part, (letter) => letter.charCodeAt(0)) : part)));
const zeros = (count) => Array(count).fill(0);
const probed = (...parts) => probe(bytes(...parts));

test("picture formats and their sides are detected from the first bytes", () => {
  const png = probed("\x89PNG\r\n\x1a\n", [0, 0, 0, 13], "IHDR", [0, 0, 16, 0], [0, 0, 12, 0]);
  assert.deepEqual(png, { name: "PNG", format: "png", width: 4096, height: 3072 });
  assert.deepEqual(probed("GIF89a", [3, 0, 2, 0], zeros(3)), { name: "GIF", format: "gif", width: 3, height: 2 });
  const bmp = probed("BM", zeros(16), [4, 0, 0, 0], [0xfd, 0xff, 0xff, 0xff]);
  assert.deepEqual(bmp, { name: "BMP", format: "bmp", width: 4, height: 3 });
  for (const start of ["II*\0", "MM\0*", "II+\0", "MM\0+"]) assert.equal(probed(start, zeros(8))?.format, "tiff", "BigTIFF, too");
  const extended = probed("RIFF", zeros(4), "WEBPVP8X", zeros(8), [0xff, 3, 0], [0xff, 2, 0]);
  assert.deepEqual(extended, { name: "WebP", format: "webp", width: 1024, height: 768 });
  const lossless = probed("RIFF", zeros(4), "WEBPVP8L", zeros(4), [0x2f, 0x3f, 0xc1, 0x0e, 0], zeros(8));
  assert.deepEqual([lossless?.width, lossless?.height], [320, 60]);
});

test("HEIC and AVIF are told apart by all their brands, and films from both", () => {
  const box = (...brands) => probed([0, 0, 0, 12 + 4 * brands.length], "ftyp", brands[0], zeros(4), ...brands.slice(1), zeros(4), "moovavif")?.format;
  for (const brands of [["heic"], ["heix", "mif1"], ["mif1", "heic"], ["msf1", "hevc"]]) assert.equal(box(...brands), "heic", String(brands));
  for (const brands of [["avif"], ["avis", "msf1"], ["mif1", "miaf", "avif"]]) assert.equal(box(...brands), "avif", String(brands));
  // The server decides.
  for (const brands of [["mif1"], ["miaf", "mif1"], ["msf1", "iso8"]]) assert.equal(box(...brands), "heif", String(brands));
  assert.equal(probed([0, 0, 0, 16], "ftypisom", zeros(4))?.article, "a film");
  assert.equal(probed([0, 0, 0, 24], "ftypcrx ", zeros(8))?.article, "a camera raw file");
});

test("the frame header of a JPEG is found after its other segments", () => {
  const exif = [0xff, 0xe1, 0x01, 0x02, ...zeros(256)];
  const tables = [0xff, 0xc4, 0x00, 0x04, 0, 0];
  const frame = [0xff, 0xff, 0xc2, 0x00, 0x11, 8, 0x0b, 0xd0, 0x0f, 0xc0];
  const jpeg = probed([0xff, 0xd8, ...exif, ...tables, ...frame, ...zeros(8)]);
  assert.deepEqual(jpeg, { name: "JPEG", format: "jpeg", width: 4032, height: 3024 });
  assert.deepEqual(probed([0xff, 0xd8, 0xff, 0xe1, 0xff, 0xff]), { name: "JPEG", format: "jpeg" });
});

test("a header that is truncated anywhere does not throw", () => {
  for (const whole of [bytes("\x89PNG\r\n\x1a\n", zeros(16)), bytes("RIFF", zeros(4), "WEBPVP8 ", zeros(14)), bytes("BM", zeros(30)), bytes([0xff, 0xd8, 0xff, 0xc0], zeros(12))]) {
    for (let end = 0; end <= whole.length; end += 1) probe(whole.subarray(0, end));
  }
});

test("files that are not pictures are named by type", () => {
  assert.equal(probed("%PDF-1.7")?.article, "a PDF");
  assert.equal(probed([0, 0, 0, 24], "ftypisom")?.article, "a film");
  assert.equal(probed("Dear Sir,\n")?.article, "text");
  assert.equal(probed([0, 1, 2, 3]), null);
});

test("files that the server would reject are refused with a reason", () => {
  const png = { name: "PNG", format: "png", width: 12_000, height: 10_000 };
  const older = { ...DEFAULT_LIMITS, formats: ["jpeg", "png"] };
  assert.equal(reasonToRefuse(0, null, DEFAULT_LIMITS), "The file is empty.");
  assert.equal(reasonToRefuse(9, null, DEFAULT_LIMITS), "This file type isn't supported.");
  assert.equal(reasonToRefuse(9, { name: "PDF", article: "a PDF" }, DEFAULT_LIMITS), "This is a PDF, not a picture.");
  assert.equal(reasonToRefuse(9, { name: "AVIF", format: "avif" }, older), "AVIF isn't supported. Use JPEG, PNG or WebP.");
  assert.equal(reasonToRefuse(9, { name: "AVIF", format: "avif" }, { ...DEFAULT_LIMITS, formats: ["avif"] }), "");
  const heic = { name: "HEIC", format: "heic" };
  assert.match(reasonToRefuse(9, heic, older), /^HEIC pictures don't work here yet\./);
  for (const name of ["heic", "heif"]) assert.equal(reasonToRefuse(9, heic, { ...DEFAULT_LIMITS, formats: ["jpeg", name] }), "", name);
  const heif = { name: "HEIF", format: "heif" };
  assert.match(reasonToRefuse(9, heif, older), /^HEIC pictures don't work here yet\./);
  for (const name of ["heic", "heif", "avif"]) assert.equal(reasonToRefuse(9, heif, { ...DEFAULT_LIMITS, formats: ["jpeg", name] }), "", name);
  assert.equal(reasonToRefuse(9, { name: "CR3", article: "a camera raw file" }, DEFAULT_LIMITS), "This is a camera raw file. Use JPEG, PNG or WebP.");
  assert.equal(reasonToRefuse(84_000_000, png, DEFAULT_LIMITS), "84 MB is too large. The limit is 50 MB.");
  assert.equal(reasonToRefuse(9, png, DEFAULT_LIMITS), "Too big: 120 megapixels. The limit is 100.");
  assert.equal(reasonToRefuse(9, { ...png, height: 1000 }, DEFAULT_LIMITS), "");
});

test("the server's rejections get the same texts", () => {
  assert.deepEqual(readProblem(413, { limit: 52_428_800 }, 84_000_000), { refused: true, reason: "84 MB is too large. The limit is 50 MB." });
  assert.deepEqual(readProblem(415, { type: "/problems/unsupported", title: "No." }, 1), { refused: true, reason: "This file type isn't supported." });
  assert.deepEqual(readProblem(415, { type: "/problems/damaged", title: "The file is damaged." }, 1), { refused: true, reason: "The file is damaged." });
  assert.deepEqual(readProblem(415, { looks_like: "a PDF" }, 1), { refused: true, reason: "This is a PDF, not a picture." });
  assert.equal(readProblem(415, { looks_like: "a JPEG XL picture" }, 1).reason, "This is a JPEG XL picture. Use JPEG, PNG or WebP.");
  assert.equal(readProblem(415, { looks_like: "a camera raw file (CR2)" }, 1).reason, "This is a camera raw file (CR2). Use JPEG, PNG or WebP.");
  assert.deepEqual(readProblem(422, { title: "Too many." }, 1), { refused: true, reason: "Too many." });
  assert.deepEqual(readProblem(500, null, 1), { refused: false, reason: "" });
});
