//! JPEG by libjpeg-turbo, which shrinks while it decodes: an inverse transform of fewer coefficients costs less and
//! leaves fewer pixels to touch.

use moxcms::ColorProfile;
use turbojpeg::{
    Colorspace, DecompressHeader, Decompressor, Error, Image, PixelFormat, ScalingFactor, Subsamp, YuvImage,
};

use super::{Decoded, agree, jpeg::MAX_SCANS, whole, zeroed};
use crate::{
    probe::Header,
    thumbnail::{
        ThumbnailError, colour,
        picture::Picture,
        pixels::{Layout, Pixels},
        planes::Planes,
    },
};

/// What libjpeg says of files that it decodes nevertheless (`JWRN_*` in its `jerror.h`). The binding hands out
/// errors and warnings alike, told apart by nothing but these words.
const WARNINGS: [&str; 7] = [
    "Corrupt JPEG data",
    "Inconsistent progression sequence",
    "Invalid SOS parameters for sequential JPEG",
    "Invalid crop request",
    "Unknown Adobe color transform code",
    "Warning:",
    "Application transferred too many scanlines",
];

/// What it says of a file that breaks off. `image` knows how much of that can be borne.
const CUT_SHORT: &str = "Premature end of JPEG file";

pub(super) fn decode(
    original: &[u8],
    header: &Header,
    least: (u32, u32),
    profile: Option<&ColorProfile>,
) -> Result<Decoded, ThumbnailError> {
    let mut decompressor = Decompressor::new().map_err(explain)?;
    decompressor.set_scan_limit(MAX_SCANS).map_err(explain)?;
    let Ok(info) = decompressor.read_header(original) else {
        // A mere warning loses the header in this binding.
        return whole::decode(original, header);
    };
    let (stored_width, stored_height) = header.stored();
    agree(header, (side(info.width)?, side(info.height)?))?;

    let factor =
        if info.is_lossless { ScalingFactor::ONE } else { factor((stored_width, stored_height), least) };
    decompressor.set_scaling_factor(factor).map_err(explain)?;
    let scaled = info.scaled(factor);
    let decoded = if stays_in_planes(&info, profile) {
        planes(&mut decompressor, original, &scaled)?.map(Picture::Planes)
    } else {
        pixels(&mut decompressor, original, &scaled)?.map(Picture::Pixels)
    };
    let Some(picture) = decoded else {
        // It would fill what is missing with grey.
        return whole::decode(original, header);
    };
    let extent = |stored: u32| f64::from(stored) * factor.num() as f64 / factor.denom() as f64;
    Ok(Decoded { picture, extent: (extent(stored_width), extent(stored_height)), profile: None })
}

/// Whether nothing asks for a conversion, and the sampling is one that the library has planes for.
fn stays_in_planes(info: &DecompressHeader, profile: Option<&ColorProfile>) -> bool {
    info.colorspace == Colorspace::YCbCr
        && info.subsamp != Subsamp::Unknown
        && !info.is_lossless
        && !colour::changes_rgb(profile)
}

/// Decodes as stored; nothing if the file breaks off.
fn planes(
    decompressor: &mut Decompressor,
    original: &[u8],
    scaled: &DecompressHeader,
) -> Result<Option<Planes>, ThumbnailError> {
    const ALIGN: usize = 1;
    let &DecompressHeader { width, height, subsamp, .. } = scaled;
    let length = turbojpeg::yuv_pixels_len(width, ALIGN, height, subsamp).map_err(explain)?;
    let mut bytes = zeroed(length as u64)?;
    let mut image = YuvImage { pixels: bytes.as_mut_slice(), width, align: ALIGN, height, subsamp };
    if !is_whole(decompressor.decompress_to_yuv(original, image.as_deref_mut()))? {
        return Ok(None);
    }
    // One after the other lie Y, Cb, Cr, each with as many rows and columns as whole colour samples take.
    let ((stride, rows), (colour_width, colour_height)) = (image.y_size(), image.uv_size());
    let red = bytes.split_off(stride * rows + colour_width * colour_height);
    let blue = bytes.split_off(stride * rows);
    let plane = |bytes, width, height| -> Result<Pixels, ThumbnailError> {
        Ok(Pixels { width: side(width)?, height: side(height)?, layout: Layout::Grey, bytes })
    };
    drop_columns(&mut bytes, stride, width);
    bytes.truncate(width * height);
    Ok(Some(Planes {
        brightness: plane(bytes, width, height)?,
        colour: [plane(blue, colour_width, colour_height)?, plane(red, colour_width, colour_height)?],
        sampling: (side(subsamp.width())?, side(subsamp.height())?),
    }))
}

/// Leaves the first `width` bytes of every `stride`, one row after the other.
fn drop_columns(bytes: &mut [u8], stride: usize, width: usize) {
    if stride > width {
        for row in 1..bytes.len() / stride {
            bytes.copy_within(row * stride..row * stride + width, row * width);
        }
    }
}

/// Decodes to RGB, grey or ink; nothing if the file breaks off.
fn pixels(
    decompressor: &mut Decompressor,
    original: &[u8],
    scaled: &DecompressHeader,
) -> Result<Option<Pixels>, ThumbnailError> {
    let (layout, format) = match scaled.colorspace {
        Colorspace::Gray => (Layout::Grey, PixelFormat::GRAY),
        Colorspace::CMYK | Colorspace::YCCK => (Layout::Cmyk, PixelFormat::CMYK),
        Colorspace::RGB | Colorspace::YCbCr => (Layout::Rgb, PixelFormat::RGB),
    };
    let &DecompressHeader { width, height, .. } = scaled;
    let pitch = width * format.size();
    let mut bytes = zeroed(pitch as u64 * height as u64)?;
    let image = Image { pixels: bytes.as_mut_slice(), width, pitch, height, format };
    let is_whole = is_whole(decompressor.decompress(original, image))?;
    Ok(is_whole.then_some(Pixels { width: side(width)?, height: side(height)?, layout, bytes }))
}

/// Whether everything was there. Warnings are none of our business.
fn is_whole(decoded: turbojpeg::Result<()>) -> Result<bool, ThumbnailError> {
    match decoded {
        Err(Error::TurboJpegError(words)) if words.contains(CUT_SHORT) => Ok(false),
        Err(Error::TurboJpegError(words)) if WARNINGS.iter().any(|warning| words.contains(warning)) => {
            Ok(true)
        }
        decoded => decoded.map(|()| true).map_err(explain),
    }
}

/// The scales that libjpeg-turbo has vector code for, and how many times the needed side each must leave. The scales
/// between take longer than the whole picture does. A coarse transform blurs, so after it enough must be left to
/// scale down; measured on photographs, with less the loss passes half a decibel.
const SCALES: [(ScalingFactor, f64); 3] =
    [(ScalingFactor::ONE_EIGHTH, 1.4), (ScalingFactor::ONE_QUARTER, 1.4), (ScalingFactor::ONE_HALF, 1.0)];

/// The smallest scale that leaves both sides long enough.
fn factor(stored: (u32, u32), least: (u32, u32)) -> ScalingFactor {
    let serves = |factor: ScalingFactor, times: f64| {
        [(stored.0, least.0), (stored.1, least.1)]
            .into_iter()
            .all(|(stored, least)| factor.scale(stored as usize) as f64 >= f64::from(least) * times)
    };
    SCALES
        .into_iter()
        .find(|(factor, times)| serves(*factor, *times))
        .map_or(ScalingFactor::ONE, |(factor, _)| factor)
}

fn side(side: usize) -> Result<u32, ThumbnailError> {
    u32::try_from(side).map_err(ThumbnailError::damaged)
}

/// What an error of the binding says of the picture.
fn explain(error: Error) -> ThumbnailError {
    match error {
        Error::TurboJpegError(words)
            if words.contains("nsufficient memory") || words.contains("emory allocation") =>
        {
            ThumbnailError::NeedsTooMuchMemory
        }
        Error::Null => ThumbnailError::NeedsTooMuchMemory,
        error => ThumbnailError::damaged(error),
    }
}
