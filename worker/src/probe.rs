//! Reads format, dimensions and orientation from the header of a picture, without decoding a pixel.
//!
//! This runs in the web server, on untrusted input: it reads a bounded number of small pieces and seeks over the rest.
//! The worker uses the same code, so that both see the same width, height and orientation.

mod bmp;
mod exif;
mod gif;
mod isobmff;
mod jpeg;
mod orientation;
mod png;
mod sniff;
mod source;
pub(crate) mod tiff;
mod unsupported;
mod webp;

use std::io::{self, Read, Seek};

use serde::{Deserialize, Serialize};
use thumbnail_heif::Unsupported;

pub use self::orientation::Orientation;
pub use self::sniff::{SNIFF_BYTES, Sniff, sniff};
pub(crate) use self::source::Source;
pub use self::unsupported::UnsupportedKind;
use crate::Format;

/// The header of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The format. For HEIC and AVIF it may be the other one of both than the first bytes indicate.
    pub format: Format,
    /// Width in pixels as displayed, after EXIF orientation.
    pub width: u32,
    /// Height in pixels as displayed, after EXIF orientation.
    pub height: u32,
    /// How the stored pixels are turned for display.
    pub orientation: Orientation,
    /// The number of frames or pages, if the header contains it.
    pub frames: Option<u32>,
    /// Pixels that are decoded: more than width times height where the file crops its picture.
    pub pixels: u64,
}

/// Why a header could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The picture is at fault.
    #[error("the header is damaged: {0}")]
    Damaged(&'static str),
    /// It is a file of another kind, which begins like a picture; text for people, as in [`Sniff::Other`].
    #[error("it is {0}")]
    Other(&'static str),
    /// The picture is intact, and its kind is not supported.
    #[error(transparent)]
    Unsupported(UnsupportedKind),
    /// The header has more parts than are read.
    #[error("the header has too many parts")]
    TooManyParts,
    /// Reading failed.
    #[error("the header could not be read")]
    Io(#[source] io::Error),
}

impl ProbeError {
    /// Whether it stays the same if only the beginning of the file was read: the file names its kind there. A film counts
    /// as one at its end, because its cover may lie there.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Unsupported(kind) => !matches!(kind, UnsupportedKind::Heif(Unsupported::Sequence)),
            Self::Other(_) => true,
            Self::Damaged(_) | Self::TooManyParts | Self::Io(_) => false,
        }
    }
}

impl From<io::Error> for ProbeError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged("it is cut short"),
            _ => Self::Io(error),
        }
    }
}

/// The picture exceeds the pixel limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("Too big: {}. The limit is {}.", Pixels::above(*pixels), Pixels::limit(*limit))]
pub struct TooManyPixels {
    /// How many it has.
    pub pixels: u64,
    /// The limit.
    pub limit: u64,
}

/// A number of pixels, as text for people.
enum Pixels {
    Mega(u64),
    Few(u64),
}

impl Pixels {
    const MEGA: u64 = 1_000_000;

    /// A number above the limit, rounded up: the text must not name less than the limit.
    const fn above(pixels: u64) -> Self {
        if pixels >= 10 * Self::MEGA { Self::Mega(pixels.div_ceil(Self::MEGA)) } else { Self::Few(pixels) }
    }

    const fn limit(pixels: u64) -> Self {
        if pixels >= 10 * Self::MEGA { Self::Mega(pixels / Self::MEGA) } else { Self::Few(pixels) }
    }
}

impl std::fmt::Display for Pixels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mega(pixels) => write!(f, "{pixels} megapixels"),
            Self::Few(pixels) => write!(f, "{pixels} pixels"),
        }
    }
}

impl Header {
    /// Checks the picture against the pixel limit.
    ///
    /// # Errors
    /// When it has more pixels.
    pub fn check(&self, limit: u64) -> Result<(), TooManyPixels> {
        let pixels = self.pixels;
        if pixels > limit { Err(TooManyPixels { pixels, limit }) } else { Ok(()) }
    }

    /// Width and height in pixels as stored, before the orientation is applied.
    #[must_use]
    pub const fn stored(&self) -> (u32, u32) {
        self.orientation.displayed(self.width, self.height)
    }
}

/// The header as stored, before orientation is applied.
struct StoredHeader {
    width: u32,
    height: u32,
    orientation: Orientation,
    frames: Option<u32>,
}

/// Reads the header of a picture of a known format.
///
/// # Errors
/// When the picture is damaged, has a width or height of zero, or cannot be read.
pub fn probe<R: Read + Seek>(reader: R, format: Format) -> Result<Header, ProbeError> {
    let mut source = Source::new(reader);
    let (mut actual, mut uncropped) = (format, None);
    let found = match format {
        Format::Jpeg => jpeg::walk(&mut source),
        Format::Png => png::walk(&mut source),
        Format::WebP => webp::walk(&mut source),
        Format::Gif => gif::walk(&mut source),
        Format::Bmp => bmp::walk(&mut source),
        Format::Tiff => tiff::walk(source),
        Format::Heic | Format::Avif => isobmff::walk(&mut source).map(|found| {
            (actual, uncropped) = (found.format, Some(found.pixels));
            found.header
        }),
        Format::Unknown => Err(ProbeError::Damaged("its format is not known")),
    }?;
    if found.width == 0 || found.height == 0 {
        return Err(ProbeError::Damaged("a side has no pixels"));
    }
    let (width, height) = found.orientation.displayed(found.width, found.height);
    let pixels = uncropped.unwrap_or(u64::from(width) * u64::from(height));
    Ok(Header { format: actual, width, height, orientation: found.orientation, frames: found.frames, pixels })
}

#[cfg(test)]
mod tests;
