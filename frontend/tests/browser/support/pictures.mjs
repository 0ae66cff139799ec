// Generated pictures, so that none is stored in the repository: a plain PNG encoder.

import { crc32 as nodeCrc32, deflateSync } from "node:zlib";

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k += 1) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n >>> 0;
});
const crc32 = nodeCrc32 ?? ((bytes) => ~bytes.reduce((crc, byte) => TABLE[(crc ^ byte) & 255] ^ (crc >>> 8), ~0) >>> 0);

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body) >>> 0, body.length + 4);
  return out;
}

/** Colour types of PNG. */
const [RGB, RGBA] = [2, 6];

function header(width, height, colour = RGB) {
  const data = Buffer.alloc(13);
  data.writeUInt32BE(width, 0);
  data.writeUInt32BE(height, 4);
  data.set([8, colour, 0, 0, 0], 8);
  return chunk("IHDR", data);
}

const SIGNATURE = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");
const END = chunk("IEND", Buffer.alloc(0));

/** A picture without any colour: the ground of the page is seen. */
export function transparentPng(width, height) {
  return Buffer.concat([SIGNATURE, header(width, height, RGBA), chunk("IDAT", deflateSync(Buffer.alloc((width * 4 + 1) * height))), END]);
}

/** A sky over a hill; the number sets the colours. */
export function png(width = 640, height = 480, number = 0) {
  const rows = Buffer.alloc((width * 3 + 1) * height);
  for (let y = 0, at = 0; y < height; y += 1) {
    at += 1;
    for (let x = 0; x < width; x += 1) {
      const hill = height * (0.7 + 0.15 * Math.sin((x / width) * 6 + number));
      const sun = Math.hypot(x - width * 0.7, y - height * 0.35) < Math.min(width, height) * 0.12;
      const sky = [90 + ((number * 47) % 120), 140 + (y / height) * 90, 210 - ((number * 31) % 90)];
      const [r, g, b] = y > hill ? [60, 110 + ((number * 23) % 60), 90] : sun ? [255, 214, 120] : sky;
      rows[at++] = r;
      rows[at++] = g;
      rows[at++] = b;
    }
  }
  return Buffer.concat([SIGNATURE, header(width, height), chunk("IDAT", deflateSync(rows, { level: 1 })), END]);
}

/** Noise, which does not compress, for uploads that must take some time. */
export function noisyPng(width = 800, height = 600) {
  let seed = 1;
  const rows = Buffer.alloc((width * 3 + 1) * height);
  for (let at = 0; at < rows.length; at += 1) rows[at] = at % (width * 3 + 1) ? (seed = (seed * 48_271) % 0x7fffffff) & 255 : 0;
  return Buffer.concat([SIGNATURE, header(width, height), chunk("IDAT", deflateSync(rows, { level: 0 })), END]);
}

/** A valid header, then damaged pixel data. */
export function damagedPng(width = 640, height = 480) {
  const data = Buffer.from(png(width, height));
  data.fill(0x55, 60, data.length - 20);
  return data;
}

/** The header claims 120 megapixels; the data is empty. */
export function hugePng() {
  return Buffer.concat([SIGNATURE, header(12_000, 10_000), chunk("IDAT", deflateSync(Buffer.alloc(64))), END]);
}

export const pdf = () => Buffer.from("%PDF-1.7\n1 0 obj\n<<>>\nendobj\n");

export function file(name, buffer, mimeType = "image/png") {
  return { name, mimeType, buffer };
}
