//! Pixels: bytes in, three encoded thumbnails out. Pure, and the only code that names a codec.
//!
//! ```text
//! bytes ─ header limits ─ decode ─ shrink to large ─ turn upright ─ shrink to medium ─ shrink to small
//!                                        │                                 │                 │
//!                                      encode                            encode     encode, thumbhash
//! ```

mod decode;
mod encode;
mod scale;

use std::{fmt, io::Cursor, time::Duration};

use crate::{
    Encoding, Format, Size, Sizes,
    probe::{self, ProbeError, TooManyPixels},
};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe {
    /// What the bytes are.
    pub(crate) format: Format,
    /// The longest sides.
    pub(crate) sizes: Sizes,
    /// Pixels that the original may have.
    pub(crate) max_pixels: u64,
}

/// What is made.
#[derive(Debug)]
pub(crate) struct Made {
    /// Displayed width of the original in pixels.
    pub(crate) width: u32,
    /// Displayed height of the original in pixels.
    pub(crate) height: u32,
    /// Smallest first.
    pub(crate) thumbnails: [Thumbnail; 3],
    /// A blurred impression, as the `thumbhash` crate makes it.
    pub(crate) thumbhash: Vec<u8>,
}

/// One encoded thumbnail. It carries no metadata of the original.
#[derive(Debug)]
pub(crate) struct Thumbnail {
    pub(crate) size: Size,
    /// Width in pixels.
    pub(crate) width: u32,
    /// Height in pixels.
    pub(crate) height: u32,
    pub(crate) encoding: Encoding,
    pub(crate) bytes: Vec<u8>,
}

/// Why a picture has no thumbnails. `Display` is for people; the detail is for the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ThumbnailError {
    #[error(transparent)]
    TooManyPixels(#[from] TooManyPixels),
    #[error("The file is damaged.")]
    CannotBeDecoded(String),
    #[error("It took longer than {} to make smaller, so we stopped.", Seconds(*.0))]
    TookTooLong(Duration),
    #[error("It needs more memory than a picture may have.")]
    NeedsTooMuchMemory,
}

impl ThumbnailError {
    /// The last part of the problem type.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::TooManyPixels(_) => "too-many-pixels",
            Self::CannotBeDecoded(_) => "cannot-be-decoded",
            Self::TookTooLong(_) => "took-too-long",
            Self::NeedsTooMuchMemory => "too-much-memory",
        }
    }
}

impl From<ProbeError> for ThumbnailError {
    fn from(error: ProbeError) -> Self {
        Self::CannotBeDecoded(error.to_string())
    }
}

/// A time in words.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            time if time.subsec_millis() == 0 => write!(f, "{} s", time.as_secs()),
            time => write!(f, "{:.1} s", time.as_secs_f64()),
        }
    }
}

/// Makes the three thumbnails of a picture.
pub(crate) fn make(original: &[u8], recipe: &Recipe) -> Result<Made, ThumbnailError> {
    let header = probe::probe(Cursor::new(original), recipe.format)?;
    header.check(recipe.max_pixels)?;
    let decoded = decode::decode(original, &header, recipe)?;
    let side = |size| recipe.sizes.longest_side(size);
    let large = scale::shrink(decoded, side(Size::Large))?.turned(header.orientation);
    let medium = scale::shrink_copy(&large, side(Size::Medium))?;
    let small = scale::shrink_copy(&medium, side(Size::Small))?;
    let thumbhash = encode::thumbhash(&small)?;
    let encoded = |size, raster: &scale::Raster| encode::encode(size, raster);
    let thumbnails =
        [encoded(Size::Small, &small)?, encoded(Size::Medium, &medium)?, encoded(Size::Large, &large)?];
    Ok(Made { width: header.width, height: header.height, thumbnails, thumbhash })
}

#[cfg(test)]
mod tests;
