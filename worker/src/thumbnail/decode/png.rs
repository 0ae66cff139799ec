//! The colours of a PNG: what its chunks say about them (PNG, third edition, 4.3). The first of `cICP`, `iCCP`, `sRGB`
//! and `gAMA` with `cHRM` counts.

use moxcms::{Chromaticity, ColorPrimaries, ColorProfile, XyY};

use crate::thumbnail::{
    codes::{self, STEPS, curve, set_curve},
    colour,
};

const SIGNATURE_BYTES: usize = 8;

/// Chunks before the pixels that are looked at. Real pictures have about ten.
const MAX_CHUNKS: usize = 1024;

/// What the numbers of `gAMA` and `cHRM` are multiplied by.
const SCALE: f64 = 100_000.0;

/// A gamma within this part of 1/2.2 is that of sRGB, rounded: `gAMA` cannot say more, and libpng corrects no less.
const SAME_GAMMA: f64 = 0.05;
const SRGB_GAMMA: f64 = 0.45455;

/// A gamma outside of this range is no picture's.
const GAMMAS: std::ops::RangeInclusive<f64> = 0.1..=10.0;

/// Chunks that tell about colours.
#[derive(Default)]
struct Chunks<'a> {
    cicp: Option<&'a [u8]>,
    has_profile: bool,
    is_srgb: bool,
    gamma: Option<&'a [u8]>,
    primaries: Option<&'a [u8]>,
}

/// The colours that the chunks before the pixels describe; `embedded` is the profile that a decoder has unpacked.
pub(super) fn profile(original: &[u8], embedded: Option<&[u8]>) -> Option<ColorProfile> {
    let chunks = Chunks::read(original);
    if let Some(profile) = chunks.cicp.and_then(from_codes) {
        return colour::unless_srgb(profile);
    }
    if chunks.has_profile {
        return embedded.and_then(colour::profile);
    }
    if chunks.is_srgb {
        return None;
    }
    from_gamma(chunks.gamma, chunks.primaries).and_then(colour::unless_srgb)
}

impl<'a> Chunks<'a> {
    fn read(original: &'a [u8]) -> Self {
        let mut found = Self::default();
        let mut rest = original.get(SIGNATURE_BYTES..).unwrap_or_default();
        for _ in 0..MAX_CHUNKS {
            let [a, b, c, d, kind @ ..] = rest else { break };
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            let (Some(kind), Some(data)) = (kind.get(..4), kind.get(4..).and_then(|data| data.get(..length)))
            else {
                break;
            };
            match kind {
                b"IDAT" | b"IEND" => break,
                b"cICP" => found.cicp = Some(data),
                b"iCCP" => found.has_profile = true,
                b"sRGB" => found.is_srgb = true,
                b"gAMA" => found.gamma = Some(data),
                b"cHRM" => found.primaries = Some(data),
                _ => {}
            }
            // With its length, its name and its checksum.
            rest = rest.get(length + 12..).unwrap_or_default();
        }
        found
    }
}

/// The profile of `cICP` (ITU-T H.273): primaries, transfer, matrix (0) and whether the range is full. `None` for codes
/// without a meaning here, which count as absent.
fn from_codes(data: &[u8]) -> Option<ColorProfile> {
    let &[primaries, transfer, 0, range @ (0 | 1)] = data else { return None };
    codes::profile(primaries.into(), transfer.into(), range == 1)
}

/// The profile of `gAMA` and `cHRM`. Without the one, the curve is that of sRGB; without the other, the primaries are.
fn from_gamma(gamma: Option<&[u8]>, primaries: Option<&[u8]>) -> Option<ColorProfile> {
    let gamma = gamma
        .and_then(|data| data.try_into().ok())
        .map(|data| number(&data))
        .filter(|gamma| GAMMAS.contains(gamma));
    let primaries = primaries
        .and_then(|data| data.as_chunks::<4>().0.iter().map(number).collect::<Vec<_>>().try_into().ok());
    if gamma.is_none() && primaries.is_none() {
        return None;
    }
    let mut profile = ColorProfile::new_srgb();
    profile.cicp = None;
    if let Some([wx, wy, rx, ry, gx, gy, bx, by]) = primaries.filter(is_triangle) {
        #[expect(clippy::cast_possible_truncation, reason = "a coordinate needs five digits")]
        let point = |x: f64, y: f64| Chromaticity { x: x as f32, y: y as f32 };
        let primaries = ColorPrimaries { red: point(rx, ry), green: point(gx, gy), blue: point(bx, by) };
        profile.update_rgb_colorimetry(XyY { x: wx, y: wy, yb: 1.0 }, primaries);
    }
    if let Some(gamma) = gamma.filter(|gamma| (gamma / SRGB_GAMMA - 1.0).abs() > SAME_GAMMA) {
        set_curve(&mut profile, &curve(|step| (f64::from(step) / f64::from(STEPS - 1)).powf(1.0 / gamma)));
    }
    Some(profile)
}

fn number(data: &[u8; 4]) -> f64 {
    f64::from(u32::from_be_bytes(*data)) / SCALE
}

/// Whether the primaries span a triangle around colours, as numbers that were mistaken for them may not.
fn is_triangle(&[wx, wy, rx, ry, gx, gy, bx, by]: &[f64; 8]) -> bool {
    /// The smallest area, in parts of the chromaticity diagram: a hundredth of that of sRGB.
    const LEAST_AREA: f64 = 0.001;
    let area = ((gx - rx) * (by - ry) - (bx - rx) * (gy - ry)).abs() / 2.0;
    let are_colours = [(wx, wy), (rx, ry), (gx, gy), (bx, by)].iter().all(|(x, y)| x + y <= 1.2);
    wy > 0.0 && ry > 0.0 && gy > 0.0 && by > 0.0 && are_colours && area > LEAST_AREA
}
