//! Converts colours to sRGB, which browsers assume for pictures without a profile.

use std::sync::Arc;

use moxcms::{ColorProfile, DataColorSpace, Transform8BitExecutor, TransformOptions};

use super::pixels::{Layout, Pixels};

/// The largest ICC profile that is read; those of printing presses reach 3 MB.
pub(super) const MAX_PROFILE_BYTES: usize = 4 * 1024 * 1024;

/// The largest difference from sRGB, in steps of 255, of a profile that counts as sRGB: a rounding error.
const SAME_COLOUR: u8 = 1;

/// The profile in a file; `None` if it is broken or equal to sRGB.
pub(super) fn profile(bytes: &[u8]) -> Option<ColorProfile> {
    let profile = Some(bytes)
        .filter(|bytes| bytes.len() <= MAX_PROFILE_BYTES)
        .and_then(|bytes| ColorProfile::new_from_slice(bytes).ok())?;
    (profile.color_space != DataColorSpace::Rgb || !is_srgb(&profile)).then_some(profile)
}

/// Whether RGB colours must be converted. A profile made for other pixels is ignored.
#[cfg_attr(not(feature = "turbojpeg"), expect(dead_code, reason = "`image` decodes to RGB anyway"))]
pub(super) fn changes_rgb(profile: Option<&ColorProfile>) -> bool {
    profile.is_some_and(|profile| profile.color_space == DataColorSpace::Rgb)
}

/// Converts the picture to sRGB or grey. Its colours are multiplied by alpha, before and after. A profile made for
/// other pixels is ignored.
pub(super) fn to_srgb(mut picture: Pixels, profile: Option<&ColorProfile>) -> Pixels {
    match (picture.layout, profile) {
        (Layout::Cmyk, profile) => from_cmyk(&picture, profile),
        (Layout::Rgb | Layout::Rgba, Some(profile)) if profile.color_space == DataColorSpace::Rgb => {
            from_rgb(&mut picture, profile);
            picture
        }
        (Layout::Grey | Layout::GreyAlpha, Some(profile)) if profile.color_space == DataColorSpace::Gray => {
            from_grey(&mut picture, profile);
            picture
        }
        _ => picture,
    }
}

/// The transform from a profile to sRGB; `None` if the profile cannot be used for these pixels.
fn to_srgb_transform(
    profile: &ColorProfile,
    from: moxcms::Layout,
    to: moxcms::Layout,
) -> Option<Arc<Transform8BitExecutor>> {
    profile.create_transform_8bit(from, &ColorProfile::new_srgb(), to, TransformOptions::default()).ok()
}

fn from_rgb(picture: &mut Pixels, profile: &ColorProfile) {
    let layout = if picture.layout == Layout::Rgba { moxcms::Layout::Rgba } else { moxcms::Layout::Rgb };
    let Some(transform) = to_srgb_transform(profile, layout, layout) else { return };
    picture.divide_alpha();
    let mut converted = vec![0; picture.bytes.len()];
    if transform.transform(&picture.bytes, &mut converted).is_ok() {
        picture.bytes = converted;
    }
    picture.multiply_alpha();
}

/// Whether an RGB profile is equal to sRGB, like most profiles of cameras and phones.
fn is_srgb(profile: &ColorProfile) -> bool {
    const STEPS: [u8; 6] = [0, 20, 64, 128, 200, 255];
    let pairs = STEPS.iter().flat_map(|&red| STEPS.map(|green| (red, green)));
    let colours: Vec<u8> =
        pairs.flat_map(|(red, green)| STEPS.map(|blue| [red, green, blue])).flatten().collect();
    let mut converted = vec![0; colours.len()];
    let layout = moxcms::Layout::Rgb;
    to_srgb_transform(profile, layout, layout)
        .is_some_and(|transform| transform.transform(&colours, &mut converted).is_ok())
        && colours.iter().zip(&converted).all(|(a, b)| a.abs_diff(*b) <= SAME_COLOUR)
}

fn from_grey(picture: &mut Pixels, profile: &ColorProfile) {
    let shades: Vec<u8> = (0..=u8::MAX).collect();
    let mut converted = vec![0; shades.len() * 3];
    let done = to_srgb_transform(profile, moxcms::Layout::Gray, moxcms::Layout::Rgb)
        .is_some_and(|transform| transform.transform(&shades, &mut converted).is_ok());
    if !done {
        return;
    }
    picture.divide_alpha();
    let step = if picture.layout == Layout::GreyAlpha { 2 } else { 1 };
    for grey in picture.bytes.iter_mut().step_by(step) {
        *grey = converted[usize::from(*grey) * 3 + 1];
    }
    picture.multiply_alpha();
}

/// JPEG stores CMYK as Adobe writes it and browsers read it: 255 is no ink.
fn from_cmyk(picture: &Pixels, profile: Option<&ColorProfile>) -> Pixels {
    let (width, height) = (picture.width, picture.height);
    let rgb = |bytes| Pixels { width, height, layout: Layout::Rgb, bytes };
    if let Some(profile) = profile.filter(|profile| profile.color_space == DataColorSpace::Cmyk) {
        let ink: Vec<u8> = picture.bytes.iter().map(|light| u8::MAX - light).collect();
        let mut bytes = vec![0; ink.len() / 4 * 3];
        let done = to_srgb_transform(profile, moxcms::Layout::Rgba, moxcms::Layout::Rgb)
            .is_some_and(|transform| transform.transform(&ink, &mut bytes).is_ok());
        if done {
            return rgb(bytes);
        }
    }
    let mix = |light: u8, black: u8| {
        u8::try_from((u16::from(light) * u16::from(black) + 127) / 255)
            .expect("a product of two bytes over 255")
    };
    let pixels = picture.bytes.as_chunks::<4>().0;
    rgb(pixels.iter().flat_map(|&[c, m, y, k]| [mix(c, k), mix(m, k), mix(y, k)]).collect())
}
