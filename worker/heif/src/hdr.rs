//! Pictures of high dynamic range (PQ and HLG, ITU-R BT.2100) in sRGB: bright parts are compressed, the others stay.

use crate::frame::{Signal, UNSPECIFIED};

/// `TransferCharacteristics` of PQ and of HLG.
const PQ: u16 = 16;
const HLG: u16 = 18;

/// Whether a signal is of high dynamic range.
pub(crate) const fn is_hdr(signal: Signal) -> bool {
    matches!(signal.transfer, PQ | HLG)
}

/// The brightness of diffuse white in candela per square metre (ITU-R BT.2408, table 1): it becomes white in sRGB.
const WHITE_NITS: f32 = 203.0;

/// The brightness of the display that HLG is shown on, and its exponent (BT.2100, table 5).
const HLG_NITS: f32 = 1000.0;
const HLG_GAMMA: f32 = 1.2;

/// The part of the pixels that may be brighter than the brightest one that keeps a difference from white.
const BRIGHTEST: f64 = 0.001;

/// Linear light of a code from 0 to 1, in multiples of diffuse white.
fn pq(code: f32) -> f32 {
    // The constants of BT.2100, table 4.
    const M1: f32 = 2610.0 / 16384.0;
    const M2: f32 = 2523.0 / 4096.0 * 128.0;
    const C1: f32 = 3424.0 / 4096.0;
    const C2: f32 = 2413.0 / 4096.0 * 32.0;
    const C3: f32 = 2392.0 / 4096.0 * 32.0;
    let power = code.clamp(0.0, 1.0).powf(1.0 / M2);
    let linear = ((power - C1).max(0.0) / (C2 - C3 * power)).powf(1.0 / M1);
    linear * 10_000.0 / WHITE_NITS
}

/// Light of the scene of a code from 0 to 1 (the inverse of the HLG OETF).
fn hlg(code: f32) -> f32 {
    const A: f32 = 0.178_832_77;
    const B: f32 = 0.284_668_92;
    const C: f32 = 0.559_910_7;
    let code = code.clamp(0.0, 1.0);
    if code <= 0.5 { code * code / 3.0 } else { (((code - C) / A).exp() + B) / 12.0 }
}

/// Converts pixels to sRGB: red, green and blue from 0 to 1, three after each other.
pub(crate) fn to_srgb(pixels: &mut [f32], primaries: u16, transfer: u16) {
    let pixels = pixels.as_chunks_mut::<3>().0;
    let matrix = to_bt709(primaries);
    let mut peaks = Vec::with_capacity(pixels.len());
    for pixel in pixels.iter_mut() {
        *pixel = if transfer == HLG { from_hlg(*pixel) } else { pixel.map(pq) };
        peaks.push(peak(*pixel));
    }
    let white = brightest(&mut peaks).max(1.0);
    for pixel in pixels {
        let peak = peak(*pixel);
        let scale = (1.0 + peak / (white * white)) / (1.0 + peak);
        // With diffuse white as the brightest part nothing is compressed.
        let scaled = pixel.map(|light| light * scale);
        *pixel = matrix.map(|row| {
            let light = row[0] * scaled[0] + row[1] * scaled[1] + row[2] * scaled[2];
            encode(light.clamp(0.0, 1.0))
        });
    }
}

fn peak(pixel: [f32; 3]) -> f32 {
    pixel[0].max(pixel[1]).max(pixel[2])
}

/// Display light of HLG codes, in multiples of diffuse white.
fn from_hlg(codes: [f32; 3]) -> [f32; 3] {
    let scene = codes.map(hlg);
    let brightness = 0.2627 * scene[0] + 0.6780 * scene[1] + 0.0593 * scene[2];
    let factor = brightness.max(1e-6).powf(HLG_GAMMA - 1.0) * HLG_NITS / WHITE_NITS;
    scene.map(|light| light * factor)
}

/// The value that only a small part of the values is above.
fn brightest(values: &mut [f32]) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a length"
    )]
    let above = (values.len() as f64 * BRIGHTEST) as usize;
    let at = values.len() - 1 - above;
    *values.select_nth_unstable_by(at, f32::total_cmp).1
}

/// The curve of sRGB (IEC 61966-2-1).
fn encode(light: f32) -> f32 {
    if light <= 0.003_130_8 { 12.92 * light } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 }
}

/// The matrix from linear light of these primaries to that of BT.709, row by row.
const fn to_bt709(primaries: u16) -> [[f32; 3]; 3] {
    match primaries {
        // BT.2020 (ITU-R BT.2087, 4.2, inverted): what BT.2100 has, if nothing is said.
        9 | UNSPECIFIED => [
            [1.660_491, -0.587_641, -0.072_850],
            [-0.124_550, 1.132_9, -0.008_349],
            [-0.018_151, -0.100_579, 1.118_73],
        ],
        // P3 with the white of D65.
        12 => [[1.224_94, -0.224_94, 0.0], [-0.042_057, 1.042_057, 0.0], [-0.019_638, -0.078_636, 1.098_274]],
        _ => [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Greys of these codes, with one pixel of 1000 nits as the brightest.
    fn greys(codes: &[f32], transfer: u16) -> Vec<f32> {
        let mut pixels: Vec<f32> = codes.iter().flat_map(|code| [*code; 3]).collect();
        to_srgb(&mut pixels, 9, transfer);
        pixels.chunks(3).map(|pixel| (pixel[0] * 255.0).round()).collect()
    }

    #[test]
    fn the_curve_of_pq_is_that_of_the_measured_one() {
        // The last is 1000 nits.
        let found = greys(&[0.45, 0.50, 0.58, 0.65, 0.7518], PQ);
        for (found, expected) in found.iter().zip([128.0, 153.0, 191.0, 219.0, 254.0]) {
            assert!((found - expected).abs() <= 2.0, "{found} {expected}");
        }
        assert_eq!(greys(&[0.0, 0.0], PQ), [0.0, 0.0]);
    }

    #[test]
    fn diffuse_white_is_white_and_colours_stay_colours() {
        // 203 nits in PQ, and in HLG at 1000 nits.
        assert!(greys(&[0.5807], PQ)[0] >= 254.0);
        assert!(greys(&[0.75], HLG)[0] >= 253.0);
        let shown = |primaries: u16| {
            let mut pixel = vec![0.5, 0.4, 0.3];
            to_srgb(&mut pixel, primaries, PQ);
            pixel
        };
        assert_eq!(shown(2), shown(9), "unspecified primaries are those of BT.2020");
        assert_ne!(shown(9), shown(1));
        let mut red = vec![0.58, 0.1, 0.1];
        to_srgb(&mut red, 12, PQ);
        assert!(red[0] > 0.9 && red[1] < 0.4 && red[2] < 0.4, "{red:?}");
    }
}
