//! Decodes ordinary JPEGs with `thumbnail-jpeg`, which reads only the coefficients that a smaller picture needs.

use thumbnail_jpeg::{Decoder, Options, Picture as Shrunk, Plane, Refinement, Scale};

use super::{Decoded, agree, jpeg};
use crate::{
    probe::Header,
    thumbnail::{
        colour,
        picture::Picture,
        pixels::{Layout, Pixels},
        planes::Planes,
        scale::Window,
    },
};

/// The smallest ratio of the decoded size to the needed size. A smaller transform blurs, so enough samples must remain for
/// scaling down; with a ratio of 1, some photographs lose more than half a decibel.
const MIN_RATIO: f64 = 1.2;

/// Bytes of planes and coefficients: the memory that a job has by default. Larger pictures are left to the next decoder,
/// whose errors are known.
const MAX_BYTES: usize = 512 * 1024 * 1024;

/// Decodes a JPEG; `None` if a complete decoder must do it.
pub(super) fn decode(
    decoder: &mut Decoder,
    original: &[u8],
    header: &Header,
    least: (u32, u32),
) -> Option<Decoded> {
    let scale = scale(header.stored(), least)?;
    let profile = jpeg::profile(original).as_deref().and_then(colour::profile);
    if colour::changes_rgb(profile.as_ref()) {
        return None;
    }
    let options =
        Options { scale, halve_colour: true, refinement: Refinement::WhereVisible, max_bytes: MAX_BYTES };
    let shrunk = decoder.decode(original, &options).ok()?;
    let side = |side: usize| u32::try_from(side).ok();
    agree(header, (side(shrunk.width)?, side(shrunk.height)?)).ok()?;
    let part = scale.samples() as f64 / Scale::Full.samples() as f64;
    let (width, height) = header.stored();
    let window = Window::from_corner((f64::from(width) * part, f64::from(height) * part));
    Some(Decoded { picture: picture(shrunk)?, window, profile, is_cut_short: false })
}

/// The smallest scale that keeps both dimensions large enough. libjpeg-turbo is faster at the full size.
fn scale(stored: (u32, u32), least: (u32, u32)) -> Option<Scale> {
    let last = if cfg!(feature = "turbojpeg") { Scale::ThreeQuarters } else { Scale::Full };
    let serves = |scale: Scale| {
        let samples = scale.samples() as f64 / Scale::Full.samples() as f64;
        let serves = |stored: u32, least: u32| f64::from(stored) * samples >= f64::from(least) * MIN_RATIO;
        scale == Scale::Full || serves(stored.0, least.0) && serves(stored.1, least.1)
    };
    Scale::ALL.into_iter().filter(|scale| *scale <= last).find(|scale| serves(*scale))
}

fn picture(shrunk: Shrunk) -> Option<Picture> {
    let Shrunk { brightness, colour, sampling, .. } = shrunk;
    let brightness = pixels(brightness)?;
    let Some([blue, red]) = colour else { return Some(Picture::Pixels(brightness)) };
    let sampling = (u32::try_from(sampling.0).ok()?, u32::try_from(sampling.1).ok()?);
    Some(Picture::Planes(Planes { brightness, colour: [pixels(blue)?, pixels(red)?], sampling }))
}

fn pixels(plane: Plane) -> Option<Pixels> {
    let (width, height) = (u32::try_from(plane.width).ok()?, u32::try_from(plane.height).ok()?);
    Some(Pixels { width, height, layout: Layout::Grey, bytes: plane.samples })
}
