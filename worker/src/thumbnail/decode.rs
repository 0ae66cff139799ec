//! Decodes the first frame of a file: 8 bits a channel, as stored.

#[cfg(feature = "turbojpeg")]
mod blank;
mod bmp;
#[cfg(any(feature = "heic", feature = "avif"))]
mod heif;
mod jpeg;
mod png;
mod scaled;
mod tiff;
#[cfg(feature = "turbojpeg")]
mod turbo;
mod whole;

use moxcms::ColorProfile;

use super::{ThumbnailError, colour, picture::Picture, scale::Window};
use crate::{Format, probe::Header};

/// A decoded frame.
pub(super) struct Decoded {
    /// The whole picture or a smaller version of it.
    pub(super) picture: Picture,
    /// The part of `picture` that the stored picture covers. A shrinking decoder rounds its dimensions up, and the corner of
    /// a crop down; using the rounded ones would stretch and move the picture by up to a pixel.
    pub(super) window: Window,
    /// The colour profile of the file, if it is not sRGB.
    pub(super) profile: Option<ColorProfile>,
    /// Whether a part of the picture is missing and was left white.
    pub(super) is_cut_short: bool,
}

/// Decodes the first frame of a picture whose header has passed the limits. If the decoder can shrink, the result is
/// smaller than the picture, but never smaller than `least` (width and height as stored).
pub(super) fn first_frame(
    decoder: Option<&mut thumbnail_jpeg::Decoder>,
    original: &[u8],
    header: &Header,
    least: (u32, u32),
) -> Result<Decoded, ThumbnailError> {
    match header.format {
        Format::Jpeg => {
            let scaled = decoder.and_then(|decoder| scaled::decode(decoder, original, header, least));
            if let Some(decoded) = scaled {
                return Ok(decoded);
            }
            let profile = jpeg::check(original)?.as_deref().and_then(colour::profile);
            let decoded = jpeg_picture(original, header, least, profile.as_ref())?;
            Ok(Decoded { profile, ..decoded })
        }
        Format::Tiff => tiff::decode(original, header),
        #[cfg(any(feature = "heic", feature = "avif"))]
        Format::Heic | Format::Avif => heif::decode(original, header, least),
        #[cfg(not(any(feature = "heic", feature = "avif")))]
        Format::Heic => Err(thumbnail_heif::Error::from(thumbnail_heif::Unsupported::Heic).into()),
        #[cfg(not(any(feature = "heic", feature = "avif")))]
        Format::Avif => Err(thumbnail_heif::Error::from(thumbnail_heif::Unsupported::Avif).into()),
        _ => whole::decode(original, header),
    }
}

/// Bytes that a decoder may allocate beside its output, if it counts at all. The memory limit of the process is the
/// real bound.
const DECODER_BYTES: u64 = 512 * 1024 * 1024;

/// The most of a picture that may be missing: this part of its pixels. With more missing, it is not that picture any
/// more.
const MOST_MISSING: u64 = 2;

/// Whether pixels are missing. Fails if too many are.
fn is_cut_short(missing: u64, (width, height): (u32, u32)) -> Result<bool, ThumbnailError> {
    let pixels = u64::from(width) * u64::from(height);
    if missing * MOST_MISSING > pixels {
        return Err(ThumbnailError::CannotBeDecoded(format!("{missing} of {pixels} pixels are missing")));
    }
    Ok(missing > 0)
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

/// A buffer whose pages the kernel zeroes on first use.
fn zeroed(length: u64) -> Result<Vec<u8>, ThumbnailError> {
    let length = usize::try_from(length).map_err(|_| ThumbnailError::NeedsTooMuchMemory)?;
    // `vec!` aborts when memory is short, so try a fallible reservation first.
    Vec::<u8>::new().try_reserve_exact(length).map_err(|_| ThumbnailError::NeedsTooMuchMemory)?;
    Ok(vec![0; length])
}

/// The limits were checked against the header's dimensions, so a decoder with other dimensions must not allocate.
fn agree(header: &Header, decoder_sees: (u32, u32)) -> Result<(), ThumbnailError> {
    if decoder_sees == header.stored() {
        return Ok(());
    }
    Err(ThumbnailError::CannotBeDecoded("header and decoder disagree on the size".into()))
}
