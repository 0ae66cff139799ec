import { test } from "node:test";
import assert from "node:assert/strict";
import { withoutLocation } from "../assets/probe.js";
import { geotagged } from "./geotagged.js";

const text = (bytes) => Buffer.from(bytes).toString("latin1");

/** The entries of the first directory: tag and value. */
function entries(jpeg) {
  const tiff = jpeg.subarray(jpeg.indexOf("Exif\0\0") + 6);
  const isLittle = tiff[0] === 0x49;
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const first = view.getUint32(4, isLittle);
  const all = Array.from({ length: view.getUint16(first, isLittle) }, (_, i) => {
    const at = first + 2 + 12 * i;
    return [view.getUint16(at, isLittle), view.getUint16(at + 8, isLittle)];
  });
  return { all, next: view.getUint32(first + 2 + 12 * all.length, isLittle) };
}

for (const isLittle of [true, false]) {
  test(`the place is removed from EXIF, and every other byte stays (${isLittle ? "little" : "big"} endian)`, () => {
    const jpeg = geotagged({ isLittle });
    assert.match(text(jpeg), /52-DEGREES/);
    const clean = Buffer.from(withoutLocation(jpeg));
    assert.equal(clean.length, jpeg.length);
    assert.doesNotMatch(text(clean), /52-DEGREES/);
    const [before, after] = [entries(jpeg), entries(clean)];
    assert.deepEqual(before.all.map(([tag]) => tag), [0x0112, 0x8825, 0x9000]);
    assert.deepEqual(after.all, [before.all[0], before.all[2]], "the orientation and the entry behind it stay");
    assert.equal(after.next, before.next, "the directory of the embedded thumbnail stays");
    const scan = jpeg.indexOf(Buffer.from([0xff, 0xc0]));
    assert.deepEqual(clean.subarray(scan), jpeg.subarray(scan));
    assert.equal(withoutLocation(clean), null, "none is left");
  });
}

test("the place in XMP is blanked", () => {
  const jpeg = geotagged({ xmp: '<rdf exif:GPSLatitude="52,30.5N" exif:Other="1"><exif:GPSLongitude>13,24.2E</exif:GPSLongitude></rdf>' });
  const clean = text(withoutLocation(jpeg));
  assert.match(clean, /exif:GPSLatitude=" {8}" exif:Other="1"><exif:GPSLongitude> {8}</);
});

test("pictures without a place, and damaged ones, are left as they are", () => {
  assert.equal(withoutLocation(geotagged({ hasPlace: false })), null);
  assert.equal(withoutLocation(new Uint8Array([0xff, 0xd8, 0xff])), null);
  const jpeg = geotagged({});
  for (let end = 0; end < jpeg.length; end += 1) withoutLocation(jpeg.subarray(0, end));
  for (let at = 12; at < 60; at += 1) {
    const damaged = Uint8Array.from(jpeg);
    damaged[at] = 0xff;
    withoutLocation(damaged);
  }
});
