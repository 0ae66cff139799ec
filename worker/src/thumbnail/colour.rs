//! Converts colours to sRGB, which browsers assume for pictures without a profile.

use std::sync::Arc;

use moxcms::{ColorProfile, DataColorSpace, Transform8BitExecutor, Transform16BitExecutor, TransformOptions};

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
    unless_srgb(profile)
}

/// The profile, if it is not equal to sRGB.
pub(super) fn unless_srgb(profile: ColorProfile) -> Option<ColorProfile> {
    (profile.color_space != DataColorSpace::Rgb || !is_srgb(&profile)).then_some(profile)
}

/// Whether RGB colours must be converted. A profile made for other pixels is ignored.
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
        (Layout::Grey | Layout::GreyAlpha, Some(profile)) => match GreyTable::new(profile, 8) {
            Some(table) => from_grey(picture, &table),
            None => picture,
        },
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

/// The sRGB colours of all shades of grey. A profile for RGB may give them a tint, as those of screens do.
struct GreyTable {
    colours: Vec<[u8; 3]>,
    is_tinted: bool,
}

/// The largest difference of red, green and blue in a colour that counts as grey: a rounding error.
const SAME_GREY: u8 = 2;

impl GreyTable {
    /// The table for shades of this many bits; `None` if the profile is not for grey.
    fn new(profile: &ColorProfile, bits: u32) -> Option<Self> {
        let shades = 0..=u16::try_from((1_u32 << bits) - 1).unwrap_or(u16::MAX);
        let full = u32::from(*shades.end());
        let wide = shades.map(|shade| u16::try_from(u32::from(shade) * 65535 / full).unwrap_or(u16::MAX));
        let (from, wide): (_, Vec<u16>) = match profile.color_space {
            DataColorSpace::Gray => (moxcms::Layout::Gray, wide.collect()),
            DataColorSpace::Rgb => (moxcms::Layout::Rgb, wide.flat_map(|shade| [shade; 3]).collect()),
            _ => return None,
        };
        let transform = to_srgb_transform_16(profile, from, moxcms::Layout::Rgb)?;
        let mut converted = vec![0; wide.len() / from.channels() * 3];
        transform.transform(&wide, &mut converted).ok()?;
        let colours: Vec<[u8; 3]> =
            converted.as_chunks::<3>().0.iter().map(|colour| colour.map(narrow)).collect();
        let is_tinted = colours.iter().any(|colour| {
            let (least, most) = (colour.iter().min(), colour.iter().max());
            least.zip(most).is_some_and(|(least, most)| most - least > SAME_GREY)
        });
        Some(Self { colours, is_tinted })
    }
}

fn from_grey(mut picture: Pixels, table: &GreyTable) -> Pixels {
    picture.divide_alpha();
    let colour = |grey: u8| table.colours[usize::from(grey)];
    let (width, height, has_alpha) = (picture.width, picture.height, picture.layout.has_alpha());
    let mut picture = if table.is_tinted {
        let (layout, bytes) = if has_alpha {
            let pixels = picture.bytes.as_chunks::<2>().0.iter();
            let pixels = pixels.flat_map(|&[grey, alpha]| {
                let [red, green, blue] = colour(grey);
                [red, green, blue, alpha]
            });
            (Layout::Rgba, pixels.collect())
        } else {
            (Layout::Rgb, picture.bytes.iter().flat_map(|grey| colour(*grey)).collect())
        };
        Pixels { width, height, layout, bytes }
    } else {
        for grey in picture.bytes.iter_mut().step_by(picture.layout.channels()) {
            *grey = colour(*grey)[1];
        }
        picture
    };
    picture.multiply_alpha();
    picture
}

/// The 8-bit sample that is nearest to one of 16 bits.
fn narrow(sample: u16) -> u8 {
    u8::try_from((u32::from(sample) + 128) / 257).expect("65535 becomes 255")
}

/// Narrows rows of 16-bit samples to 8 bits. If a profile changes the colours, it is applied before: a picture in linear
/// light has few of the 256 steps in the dark, where the eye sees most.
pub(super) struct Narrowing {
    layout: Layout,
    conversion: Conversion,
    converted: Vec<u16>,
}

enum Conversion {
    None,
    Rgb(Arc<Transform16BitExecutor>),
    Grey(GreyTable),
}

impl Narrowing {
    /// For pixels of this layout. If they are `deep`, a profile that applies to them is taken.
    pub(super) fn new(layout: Layout, profile: &mut Option<ColorProfile>, is_deep: bool) -> Self {
        let applies = |space| profile.as_ref().is_some_and(|profile| profile.color_space == space);
        let conversion = match (layout, &*profile) {
            (Layout::Rgb | Layout::Rgba, Some(profile)) if is_deep && applies(DataColorSpace::Rgb) => {
                let channels =
                    if layout == Layout::Rgba { moxcms::Layout::Rgba } else { moxcms::Layout::Rgb };
                to_srgb_transform_16(profile, channels, channels).map(Conversion::Rgb)
            }
            (Layout::Grey | Layout::GreyAlpha, Some(profile)) if is_deep => {
                GreyTable::new(profile, 16).map(Conversion::Grey)
            }
            _ => None,
        };
        if conversion.is_some() {
            *profile = None;
        }
        let layout = match (&conversion, layout) {
            (Some(Conversion::Grey(table)), Layout::Grey) if table.is_tinted => Layout::Rgb,
            (Some(Conversion::Grey(table)), Layout::GreyAlpha) if table.is_tinted => Layout::Rgba,
            _ => layout,
        };
        Self { layout, conversion: conversion.unwrap_or(Conversion::None), converted: Vec::new() }
    }

    /// The layout of the narrow pixels.
    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// Narrows a row.
    pub(super) fn row(&mut self, wide: &[u16], to: &mut [u8]) {
        let samples = match &self.conversion {
            Conversion::None => wide,
            Conversion::Rgb(transform) => {
                self.converted.resize(wide.len(), 0);
                match transform.transform(wide, &mut self.converted) {
                    Ok(()) => &self.converted,
                    Err(_) => wide,
                }
            }
            Conversion::Grey(table) => {
                let channels = if self.layout.has_alpha() { 2 } else { 1 };
                let width = self.layout.channels();
                for (pixel, to) in wide.chunks_exact(channels).zip(to.chunks_exact_mut(width)) {
                    let colour = &table.colours[usize::from(pixel[0])];
                    let colours = if table.is_tinted { &colour[..] } else { &colour[1..2] };
                    to[..colours.len()].copy_from_slice(colours);
                    if let [_, alpha] = pixel {
                        to[colours.len()] = narrow(*alpha);
                    }
                }
                return;
            }
        };
        for (sample, to) in samples.iter().zip(to) {
            *to = narrow(*sample);
        }
    }
}

fn to_srgb_transform_16(
    profile: &ColorProfile,
    from: moxcms::Layout,
    to: moxcms::Layout,
) -> Option<Arc<Transform16BitExecutor>> {
    // The fixed-point way has 13 bits.
    let options = TransformOptions { prefer_fixed_point: false, ..TransformOptions::default() };
    profile.create_transform_16bit(from, &ColorProfile::new_srgb(), to, options).ok()
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
