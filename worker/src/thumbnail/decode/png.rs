//! The colours of a PNG: what its chunks say about them (PNG, third edition, 4.3). The first of `cICP`, `iCCP`, `sRGB`
//! and `gAMA` with `cHRM` counts.

use moxcms::{
    Chromaticity, CicpColorPrimaries, CicpProfile, ColorPrimaries, ColorProfile, MatrixCoefficients,
    ToneReprCurve, TransferCharacteristics, XyY,
};

use crate::thumbnail::colour;

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

/// Steps of the curves that are made of codes.
const STEPS: u32 = 4096;

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
    let primaries = CicpColorPrimaries::try_from(primaries).ok()?;
    let transfer = TransferCharacteristics::try_from(transfer).ok()?;
    let mut profile = ColorProfile::new_from_cicp(CicpProfile {
        color_primaries: primaries,
        transfer_characteristics: transfer,
        matrix_coefficients: MatrixCoefficients::Identity,
        full_range: true,
    });
    profile.red_trc.as_ref()?;
    // The codes of a high dynamic range tell about more light than a screen has. As everywhere, reference white
    // (ITU-R BT.2408: 203 candela, of 10,000, or three quarters of the signal) becomes white, and what is brighter too.
    let white = match transfer {
        TransferCharacteristics::Smpte2084 => 203.0 / 10_000.0,
        TransferCharacteristics::Hlg => transfer.linearize(0.75),
        _ => 1.0,
    };
    let light = |step: u32| {
        let value = f64::from(step) / f64::from(STEPS - 1);
        // Narrow range, of 8 bits: from 16 to 235.
        let value = if range == 1 { value } else { ((value * 255.0 - 16.0) / 219.0).clamp(0.0, 1.0) };
        transfer.linearize(value) / white
    };
    set_curve(&mut profile, &curve(light));
    profile.cicp = None;
    Some(profile)
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

/// A curve from values to light.
fn curve(light: impl Fn(u32) -> f64) -> ToneReprCurve {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 16 bits")]
    let value = |step| (light(step).clamp(0.0, 1.0) * 65535.0).round() as u16;
    ToneReprCurve::Lut((0..STEPS).map(value).collect())
}

fn set_curve(profile: &mut ColorProfile, curve: &ToneReprCurve) {
    profile.red_trc = Some(curve.clone());
    profile.green_trc = Some(curve.clone());
    profile.blue_trc = Some(curve.clone());
}
