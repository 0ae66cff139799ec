//! Decodes HEIC and AVIF, shrunk tile by tile.

use thumbnail_heif::Colour;

use super::{Decoded, agree};
use crate::{
    probe::Header,
    thumbnail::{
        ThumbnailError, codes, colour,
        picture::Picture,
        pixels::{Layout, Pixels},
        scale::Window,
    },
};

pub(super) fn decode(original: &[u8], header: &Header, least: (u32, u32)) -> Result<Decoded, ThumbnailError> {
    let decoded = thumbnail_heif::decode(original, least, header.pixels)?;
    agree(header, decoded.sides)?;
    let layout = match (decoded.has_colour, decoded.has_alpha) {
        (true, true) => Layout::Rgba,
        (true, false) => Layout::Rgb,
        (false, true) => Layout::GreyAlpha,
        (false, false) => Layout::Grey,
    };
    let profile = match decoded.colour {
        Colour::Srgb => None,
        Colour::Icc(profile) => colour::profile(&profile),
        Colour::Coded(primaries, transfer) => {
            codes::profile(primaries, transfer, true).and_then(colour::unless_srgb)
        }
    };
    let ((left, top), extent) = (decoded.corner, decoded.extent);
    let (width, height) = (decoded.width, decoded.height);
    Ok(Decoded {
        picture: Picture::Pixels(Pixels { width, height, layout, bytes: decoded.pixels }),
        window: Window { left, top, ..Window::from_corner(extent) },
        profile,
        is_cut_short: false,
    })
}
