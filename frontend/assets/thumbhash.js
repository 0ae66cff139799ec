/** Decodes a thumbhash, the blurred impression of a picture in some 25 bytes (evanw/thumbhash, MIT). */

const LONG_SIDE = 32;

/**
 * @param {Uint8Array} hash
 * @returns {{width: number, height: number, pixels: Uint8ClampedArray<ArrayBuffer>}} RGBA
 */
export function thumbhashPixels(hash) {
  const byte = (/** @type {number} */ at) => {
    const value = hash[at];
    if (value === undefined) throw new RangeError("The thumbhash is too short.");
    return value;
  };
  const header = byte(0) | (byte(1) << 8) | (byte(2) << 16);
  const flags = byte(3) | (byte(4) << 8);
  const hasAlpha = header >> 23 !== 0;
  const isLandscape = flags >> 15 !== 0;
  const lx = Math.max(3, isLandscape ? (hasAlpha ? 5 : 7) : flags & 7);
  const ly = Math.max(3, isLandscape ? flags & 7 : hasAlpha ? 5 : 7);
  let at = hasAlpha ? 6 : 5;
  let half = 0;
  const channel = (/** @type {number} */ nx, /** @type {number} */ ny, /** @type {number} */ scale) => {
    const factors = [];
    for (let cy = 0; cy < ny; cy += 1) {
      for (let cx = cy ? 0 : 1; cx * ny < nx * (ny - cy); cx += 1) {
        const nibble = half ? byte(at++) >> 4 : byte(at) & 15;
        half ^= 1;
        factors.push((nibble / 7.5 - 1) * scale);
      }
    }
    return { nx, ny, factors };
  };
  const l = channel(lx, ly, ((header >> 18) & 31) / 31);
  const p = channel(3, 3, (((flags >> 3) & 63) / 63) * 1.25);
  const q = channel(3, 3, (((flags >> 9) & 63) / 63) * 1.25);
  const a = hasAlpha ? channel(5, 5, (byte(5) >> 4) / 15) : null;
  const means = {
    l: (header & 63) / 63,
    p: ((header >> 6) & 63) / 31.5 - 1,
    q: ((header >> 12) & 63) / 31.5 - 1,
    a: hasAlpha ? (byte(5) & 15) / 15 : 1,
  };
  const ratio = lx / ly;
  const width = Math.round(ratio > 1 ? LONG_SIDE : LONG_SIDE * ratio);
  const height = Math.round(ratio > 1 ? LONG_SIDE / ratio : LONG_SIDE);
  const pixels = new Uint8ClampedArray(width * height * 4);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const sum = (/** @type {{nx: number, ny: number, factors: number[]}} */ { nx, ny, factors }) => {
        let value = 0;
        let next = 0;
        for (let cy = 0; cy < ny; cy += 1) {
          const fy = Math.cos((Math.PI / height) * (y + 0.5) * cy) * 2;
          for (let cx = cy ? 0 : 1; cx * ny < nx * (ny - cy); cx += 1) {
            value += (factors[next++] ?? 0) * Math.cos((Math.PI / width) * (x + 0.5) * cx) * fy;
          }
        }
        return value;
      };
      const light = means.l + sum(l);
      const yellowBlue = means.p + sum(p);
      const blue = light - (2 / 3) * yellowBlue;
      const red = (3 * light - blue + means.q + sum(q)) / 2;
      const green = red - (means.q + sum(q));
      const alpha = a ? means.a + sum(a) : 1;
      pixels.set([red * 255, green * 255, blue * 255, alpha * 255], (y * width + x) * 4);
    }
  }
  return { width, height, pixels };
}
