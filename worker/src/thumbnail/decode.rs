//! Files to pixels: the first frame, 8 bits a channel, as stored.

mod jpeg;
#[cfg(feature = "turbojpeg")]
mod turbo;
mod whole;

use moxcms::ColorProfile;

use super::{ThumbnailError, colour, picture::Picture};
use crate::{Format, probe::Header};

/// A decoded frame.
pub(super) struct Decoded {
    /// The whole picture or a smaller version of it.
    pub(super) picture: Picture,
    /// How much of `picture` is covered by the stored picture, from the top left, in pixels. A decoder that shrinks
    /// rounds its sides up; taking the rounded sides for whole would stretch the picture by up to a pixel.
    pub(super) extent: (f64, f64),
    /// What the file says of its colours, where that matters.
    pub(super) profile: Option<ColorProfile>,
}

/// Decodes the first frame of a picture whose header has passed the limits. Where that is cheap the result is
/// smaller than the picture, but never smaller than `least` (width and height as stored).
pub(super) fn first_frame(
    original: &[u8],
    header: &Header,
    least: (u32, u32),
) -> Result<Decoded, ThumbnailError> {
    if header.format == Format::Jpeg {
        let profile = jpeg::check(original)?.as_deref().and_then(colour::profile);
        let decoded = jpeg_picture(original, header, least, profile.as_ref())?;
        return Ok(Decoded { profile, ..decoded });
    }
    whole::decode(original, header)
}

#[cfg(feature = "turbojpeg")]
fn jpeg_picture(
    original: &[u8],
    header: &Header,
    least: (u32, u32),
    profile: Option<&ColorProfile>,
) -> Result<Decoded, ThumbnailError> {
    turbo::decode(original, header, least, profile)
}

#[cfg(not(feature = "turbojpeg"))]
fn jpeg_picture(
    original: &[u8],
    header: &Header,
    _least: (u32, u32),
    _profile: Option<&ColorProfile>,
) -> Result<Decoded, ThumbnailError> {
    whole::decode(original, header)
}

/// A buffer whose pages the system fills with zeroes only when they are touched.
fn zeroed(length: u64) -> Result<Vec<u8>, ThumbnailError> {
    let length = usize::try_from(length).map_err(|_| ThumbnailError::NeedsTooMuchMemory)?;
    // `vec!` aborts where memory is short, so ask first in a way that can be answered with no.
    Vec::<u8>::new().try_reserve_exact(length).map_err(|_| ThumbnailError::NeedsTooMuchMemory)?;
    Ok(vec![0; length])
}

/// The limits were checked on the header's sides: a decoder that sees others is not to be trusted with memory.
fn agree(header: &Header, decoder_sees: (u32, u32)) -> Result<(), ThumbnailError> {
    if decoder_sees == header.stored() {
        return Ok(());
    }
    Err(ThumbnailError::CannotBeDecoded("header and decoder disagree on the size".into()))
}
