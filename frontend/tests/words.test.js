import { test } from "node:test";
import assert from "node:assert/strict";
import * as words from "../assets/words.js";

const plain = (text) => text.replaceAll("\u00a0", " ");

test("sizes are rounded for people", () => {
  const texts = { 0: "0 bytes", 1: "1 byte", 999: "999 bytes", 5120: "5 KB", 184_000: "184 KB", 2_417_733: "2.4 MB", 84_000_000: "84 MB" };
  for (const [bytes, text] of Object.entries(texts)) assert.equal(words.size(Number(bytes)), text);
  assert.equal(words.limit(52_428_800), "50 MB");
  assert.equal(words.limit(2_000_000), "2.0 MB");
});

test("speeds, times and fractions are rounded for people", () => {
  assert.deepEqual([1_400_000, 890_000, 90_000, 1].map(words.speed), ["1.4 MB/s", "0.9 MB/s", "90 KB/s", "1 KB/s"]);
  assert.deepEqual([0.4, 4.2, 21, 300].map(words.timeLeft), ["nearly there", "4 s left", "21 s left", "5 min left"]);
  assert.equal(words.percent(0.629), "62%");
  assert.equal(words.sentOf(0.38, 5_000_000), "1.9 of 5.0 MB");
  assert.equal(words.sentOf(0.5, 184_000), "92 of 184 KB");
});

test("a ready picture says how long it took, and what is special", () => {
  const upload = { created_at: "2026-11-24T06:00:00Z", ended_at: "2026-11-24T06:00:00.9Z", format: "gif" };
  const ready = (more, tookMs) => plain(words.ready({ ...upload, ...more }, tookMs));
  assert.equal(ready({}), "Ready in 0.9 s");
  assert.equal(ready({}, 2340), "Ready in 2.3 s");
  assert.equal(ready({ ended_at: "2026-11-24T06:03:00Z" }), "Ready in 3 min");
  assert.equal(ready({ ended_at: undefined }), "Ready");
  assert.equal(ready({ frames: 12 }), "Ready in 0.9 s. Animated; thumbnails show its first frame.");
  assert.equal(ready({ frames: 3, format: "tiff" }), "Ready in 0.9 s. 3 pages; thumbnails show the first.");
  assert.equal(ready({ warnings: ["cut-short"] }), "Ready, but the file is cut short.");
});

test("a file name is split before its ending", () => {
  assert.deepEqual(words.splitName("harbour.jpg"), ["harbour", ".jpg"]);
  assert.deepEqual(words.splitName(".hidden"), [".hidden", ""]);
  assert.deepEqual(words.splitName("a.sentence with a dot"), ["a.sentence with a dot", ""]);
});

test("refusals name the size and the limit", () => {
  assert.equal(words.REFUSED.kind("a PDF"), "This is a PDF, not a picture.");
  assert.equal(words.REFUSED.tooLarge(84_000_000, 52_428_800), "84 MB is too large. The limit is 50 MB.");
  assert.equal(words.REFUSED.tooManyPixels(120_000_000, 100_000_000), "Too big: 120 megapixels. The limit is 100.");
  assert.equal(words.REFUSED.tooManyPixels(100_000_001, 100_000_000), "Too big: 101 megapixels. The limit is 100.");
  assert.equal(plain(words.limits(["jpeg", "webp", "tiff"], 52_428_800)), "JPEG, WebP or TIFF, up to 50 MB each.");
});

test("files that are left out are counted in one sentence each", () => {
  const none = { files: [], unreadable: [], others: 0, appleDouble: 0, tooMany: 0 };
  assert.equal(words.leftOut({ ...none, files: ["a.jpg"] }, 1000), "");
  assert.equal(words.leftOut({ ...none, unreadable: ["a.jpg"] }, 1000), "");
  assert.equal(words.leftOut(none, 1000), "No pictures found.");
  assert.equal(words.leftOut({ ...none, others: 1 }, 1000), "One file is not a picture and was left out.");
  assert.equal(words.leftOut({ ...none, others: 2, appleDouble: 1, tooMany: 7 }, 1000), "2 files are not pictures and were left out. 1 hidden file of a Mac (._…) left out. 7 more left out: 1000 fit at a time. Drop them again afterwards.");
});

test("the file chooser is offered the accepted types, JPEG first", () => {
  assert.equal(words.accept(["png", "jpeg", "avif"]), "image/jpeg,image/png,image/avif");
  for (const formats of [["png", "heic"], ["png", "heif"], ["png", "heic", "heif"]]) {
    assert.equal(words.accept(formats), "image/png,image/heic,image/heif,.heic,.heif");
  }
  assert.equal(words.accept(["png"]), "image/png");
});

test("the total counts ready pictures, the tally all others", () => {
  const none = { chosen: 0, uploading: 0, queued: 0, processing: 0, ready: 0, failed: 0, refused: 0, gone: 0, removed: 0 };
  const busy = { ...none, chosen: 1, uploading: 2, queued: 1, processing: 1, ready: 3, failed: 2, refused: 2 };
  assert.equal(words.total(none), "Nothing up yet");
  assert.equal(words.total(busy), "3 of 10 ready");
  assert.equal(words.tally(busy), "4 on the way, 1 next, 2 failed, 2 not sent");
  assert.equal(words.total({ ...none, ready: 10 }), "All 10 ready");
  assert.equal(words.total({ ...none, ready: 1 }), "1 ready");
  assert.equal(words.tally({ ...none, ready: 10 }), "");
  assert.equal(words.total({ ...none, ready: 9, failed: 1, refused: 4 }), "Done: 9 ready, 1 failed, 4 not sent");
  assert.equal(words.total({ ...none, failed: 1 }), "Done: 1 failed");
  assert.equal(words.total({ ...none, refused: 3 }), "Done: 3 not sent");
  assert.equal(words.total({ ...none, gone: 1 }), "Nothing up yet");
  assert.equal(words.total({ ...none, ready: 2, refused: 1, uploading: 1 }), "2 of 3 ready");
});

test("an announcement continues the reason in lower case", () => {
  assert.equal(words.ANNOUNCEMENTS.failed("citrus.webp", words.FAILED.interrupted), "citrus.webp failed: the upload was interrupted.");
  assert.equal(words.ANNOUNCEMENTS.refused("a.heic", "HEIC pictures don't work here yet."), "a.heic not uploaded: HEIC pictures don't work here yet.");
});

test("nearer moments are shown more exactly", () => {
  const now = new Date(2026, 10, 24, 12, 0);
  const at = (...parts) => words.when(new Date(...parts), now);
  assert.equal(at(2026, 10, 24, 9, 12), "Today, 09:12");
  assert.equal(at(2026, 10, 23, 23, 59), "Yesterday");
  assert.equal(at(2026, 10, 21, 1, 0), "Saturday");
  assert.equal(at(2026, 10, 12, 8, 0), "12 November");
  assert.equal(at(2025, 10, 12, 8, 0), "12 November 2025");
});
