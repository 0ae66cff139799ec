const GPS_TAG = 0x8825;
const ENTRY_BYTES = 12;
const TYPE_BYTES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8];

/** @param {Uint8Array} head @returns {Uint8Array<ArrayBuffer> | null} `null` if it has none */
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
      // Damaged: it breaks off, or points outside.
    }
  }
  return isFound ? clean : null;
}

/** @param {Uint8Array} tiff @returns {boolean} */
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
    // The entries behind it and the offset of the next directory move up.
    const end = first + 2 + count * ENTRY_BYTES + 4;
    tiff.copyWithin(entry, entry + ENTRY_BYTES, end);
    tiff.fill(0, end - ENTRY_BYTES, end);
    view.setUint16(first, count - 1, isLittle);
    return entries > 0;
  }
  return false;
}

/** @param {Uint8Array} segment @returns {boolean} */
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
