import { test } from "node:test";
import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import { withoutLocation } from "../assets/probe.js";
import { geotagged, placeTiff } from "./geotagged.js";

const text = (bytes) => Buffer.from(bytes).toString("latin1");
const SECRET = /52-DEGREES|30-MINUTES/;

/** The bytes without the place; `null` if there is none. */
async function cleaned(bytes, format = "jpeg") {
  const file = await withoutLocation(new File([bytes], "a.jpg", { type: "image/jpeg", lastModified: 7 }), format);
  if (!file) return null;
  assert.deepEqual([file.name, file.type, file.lastModified, file.size], ["a.jpg", "image/jpeg", 7, bytes.length]);
  return Buffer.from(await file.arrayBuffer());
}

/** Positions at which two files of one length differ: the first and the last. */
function changed(a, b) {
  assert.equal(a.length, b.length);
  const at = [...a.keys()].filter((i) => a[i] !== b[i]);
  return [at[0], at.at(-1)];
}

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
  test(`the place is removed from EXIF, and every other byte stays (${isLittle ? "little" : "big"} endian)`, async () => {
    const jpeg = geotagged({ isLittle });
    assert.match(text(jpeg), SECRET);
    const clean = await cleaned(jpeg);
    assert.ok(!SECRET.test(text(clean)));
    const [before, after] = [entries(jpeg), entries(clean)];
    assert.deepEqual(before.all.map(([tag]) => tag), [0x0112, 0x8825, 0x9000]);
    assert.deepEqual(after.all.map(([tag]) => tag), [0x0112, 0xea1c, 0x9000], "the pointer has become padding");
    assert.deepEqual([after.all[0], after.all[2], after.next], [before.all[0], before.all[2], before.next], "the others stay");
    const scan = jpeg.indexOf(Buffer.from([0xff, 0xc0]));
    assert.deepEqual(clean.subarray(scan), jpeg.subarray(scan));
    assert.equal(await cleaned(clean), null, "none is left");
  });
}

test("a place in any directory of EXIF is found", async () => {
  const jpeg = geotagged({ isSecond: true });
  const clean = await cleaned(jpeg);
  assert.ok(!SECRET.test(text(clean)));
});

test("the place in XMP is blanked, in any spelling of XML", async () => {
  const xmp = `<rdf exif:GPSLatitude="52,30.5N" exif:GPSLongitude='13,24E' drone-dji:GpsLatitude = "52.5" exif:Other="1"><exif:GPSAltitude>34/1</exif:GPSAltitude></rdf>`;
  for (const label of ["http://ns.adobe.com/xap/1.0/\0", `http://ns.adobe.com/xmp/extension/\0${"A".repeat(40)}`]) {
    const clean = await cleaned(geotagged({ hasPlace: false, xmp, label }));
    assert.match(text(clean), /GPSLatitude=" {8}" exif:GPSLongitude=' {6}' drone-dji:GpsLatitude = " {4}" exif:Other="1"><exif:GPSAltitude> {4}</);
    assert.equal(await cleaned(clean), null);
  }
});

test("the place of a picture that is appended to another is found, wherever it lies", async () => {
  // Windows of 256 KiB: inside one, and across an end of one.
  for (const bytes of [1000, 200_000, ...Array.from({ length: 40 }, (_, i) => 262_144 - 20 - 8 * i), 393_000, 1_000_000]) {
    const first = geotagged({ hasPlace: false, rest: Buffer.alloc(bytes, 7) });
    const jpeg = Buffer.concat([first, geotagged({}), Buffer.alloc(300_000, 9)]);
    const clean = await cleaned(jpeg);
    assert.ok(!SECRET.test(text(clean)), `after ${bytes} bytes`);
    const [from, to] = changed(jpeg, clean);
    assert.ok(from > first.length && to < first.length + 160);
  }
});

test("fill bytes and damaged lengths before EXIF hide no place", async () => {
  const jpeg = geotagged({});
  for (const odd of [[0xff, 0xff, 0xff], [0xff, 0xe0, 0xff, 0xff]]) {
    assert.ok(!SECRET.test(text(await cleaned(Buffer.concat([jpeg.subarray(0, 2), Buffer.from(odd), jpeg.subarray(2)])))));
  }
});

const chunk = (type, data) => {
  const body = Buffer.concat([Buffer.from(type), data]);
  const [head, tail] = [Buffer.alloc(4), Buffer.alloc(4)];
  head.writeUInt32BE(data.length);
  tail.writeUInt32BE(crc32(body) >>> 0);
  return Buffer.concat([head, body, tail]);
};
/** Chunks of a PNG whose checksum is wrong. */
function wrongChunks(png) {
  const wrong = [];
  for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at)) {
    const end = at + 8 + png.readUInt32BE(at);
    if (crc32(png.subarray(at + 4, end)) >>> 0 !== png.readUInt32BE(end)) wrong.push(text(png.subarray(at + 4, at + 8)));
  }
  return wrong;
}

test("the place of a PNG is removed, and its checksums are right", async () => {
  const xmp = chunk("iTXt", Buffer.from(`XML:com.adobe.xmp\0\0\0\0\0<rdf exif:GPSLatitude="52-DEGREES"/>${" ".repeat(4000)}`));
  for (const pixels of [1000, 262_144 - 60, 262_144 - 200, 262_144 - 2000, 500_000]) {
    const png = Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IDAT", Buffer.alloc(pixels, 7)), chunk("eXIf", placeTiff({})), xmp, chunk("IEND", Buffer.alloc(0))]);
    assert.deepEqual(wrongChunks(png), []);
    const clean = await cleaned(png, "png");
    assert.ok(!SECRET.test(text(clean)));
    assert.deepEqual(wrongChunks(clean), [], `after ${pixels} bytes`);
  }
});

test("the place of a WebP, an AVIF, a HEIC and a TIFF is removed", async () => {
  const webp = Buffer.concat([Buffer.from("RIFF....WEBPVP8X....EXIF\x8c\0\0\0", "latin1"), placeTiff({})]);
  const heic = Buffer.concat([Buffer.from("....ftypheic....mdat\0\0\0\x06Exif\0\0", "latin1"), placeTiff({ isLittle: false }), Buffer.alloc(5000, 7)]);
  const tiff = Buffer.concat([placeTiff({}), Buffer.alloc(600_000, 7)]);
  placeTiff({}).subarray(8).copy(tiff, 500_000);
  tiff.writeUInt32LE(500_000, 4);
  tiff.writeUInt32LE(500_052, 500_022);
  tiff.writeUInt32LE(500_092, 500_074);
  for (const [bytes, format] of [[webp, "webp"], [heic, "heic"], [heic, "avif"]]) {
    assert.ok(!SECRET.test(text(await cleaned(bytes, format))), format);
  }
  tiff.write('<rdf exif:GPSLatitude="52,30"/>', 300_000);
  const clean = await cleaned(tiff, "tiff");
  assert.ok(!SECRET.test(text(clean.subarray(500_000))), "directories far behind");
  assert.match(text(clean), /exif:GPSLatitude=" {5}"/);
});

test("a large file is read in slices, one at a time", async (t) => {
  const { arrayBuffer } = Blob.prototype;
  let [open, most, longest] = [0, 0, 0];
  t.mock.method(Blob.prototype, "arrayBuffer", async function () {
    most = Math.max(most, (open += 1));
    longest = Math.max(longest, this.size);
    return arrayBuffer.call(this).finally(() => (open -= 1));
  });
  const photograph = geotagged({ rest: Buffer.alloc(5_000_000, 7) });
  assert.ok(await withoutLocation(new File([photograph], "a.jpg"), "jpeg"));
  assert.deepEqual([most, longest], [1, 524_288]);
});

test("pictures without a place, and damaged ones, are left as they are", async () => {
  assert.equal(await cleaned(geotagged({ hasPlace: false })), null);
  assert.equal(await cleaned(Buffer.from([0xff, 0xd8, 0xff])), null);
  assert.equal(await cleaned(Buffer.alloc(0)), null);
  const jpeg = geotagged({});
  for (let end = 0; end < jpeg.length; end += 1) await cleaned(jpeg.subarray(0, end));
  for (let at = 12; at < 130; at += 1) {
    const damaged = Buffer.concat([jpeg, Buffer.alloc(200_000, 7)]);
    damaged[at] = 0xff;
    const clean = await cleaned(damaged);
    if (clean) assert.ok(changed(damaged, clean)[1] < 160, "nothing behind the segment is touched");
  }
});
