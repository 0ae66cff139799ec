//! Colours that a file names by the codes of ITU-T H.273, as PNG, HEIC and AVIF do.

use moxcms::{
    CicpColorPrimaries, CicpProfile, ColorProfile, MatrixCoefficients, ToneReprCurve, TransferCharacteristics,
};

/// Steps of the curves that are made of codes.
pub(super) const STEPS: u32 = 4096;

/// The profile of `ColourPrimaries` and `TransferCharacteristics`; `is_full` tells whether samples use all values. `None`
/// for codes without a meaning here.
pub(super) fn profile(primaries: u16, transfer: u16, is_full: bool) -> Option<ColorProfile> {
    let primaries = CicpColorPrimaries::try_from(u8::try_from(primaries).ok()?).ok()?;
    let transfer = TransferCharacteristics::try_from(u8::try_from(transfer).ok()?).ok()?;
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
        let value = if is_full { value } else { ((value * 255.0 - 16.0) / 219.0).clamp(0.0, 1.0) };
        transfer.linearize(value) / white
    };
    set_curve(&mut profile, &curve(light));
    profile.cicp = None;
    Some(profile)
}

/// A curve from values to light.
pub(super) fn curve(light: impl Fn(u32) -> f64) -> ToneReprCurve {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 16 bits")]
    let value = |step| (light(step).clamp(0.0, 1.0) * 65535.0).round() as u16;
    ToneReprCurve::Lut((0..STEPS).map(value).collect())
}

/// Gives red, green and blue the same curve.
pub(super) fn set_curve(profile: &mut ColorProfile, curve: &ToneReprCurve) {
    profile.red_trc = Some(curve.clone());
    profile.green_trc = Some(curve.clone());
    profile.blue_trc = Some(curve.clone());
}
