//! Decodes JPEG with libjpeg-turbo, which can shrink while it decodes: an inverse transform of fewer coefficients is
//! faster and leaves fewer pixels.

use moxcms::ColorProfile;
use turbojpeg::{
    Colorspace, DecompressHeader, Decompressor, Error, Image, PixelFormat, ScalingFactor, Subsamp, YuvImage,
};

use super::{Decoded, agree, blank, is_cut_short, jpeg::MAX_SCANS, whole, zeroed};
use crate::{
    probe::Header,
    thumbnail::{
        ThumbnailError, colour,
        picture::Picture,
        pixels::{Layout, Pixels},
        planes::Planes,
        scale::Window,
    },
};

/// Warnings of libjpeg about files that it decodes anyway (`JWRN_*` in its `jerror.h`). The binding returns warnings as
/// errors; only their messages distinguish them.
const WARNINGS: [&str; 7] = [
    "Corrupt JPEG data",
    "Inconsistent progression sequence",
    "Invalid SOS parameters for sequential JPEG",
    "Invalid crop request",
    "Unknown Adobe color transform code",
    "Warning:",
    "Application transferred too many scanlines",
];

/// The warnings for a file that ends too early, and for a scan that does.
const CUT_SHORT: [&str; 2] = ["Premature end of JPEG file", "premature end of data segment"];

pub(super) fn decode(
    original: &[u8],
    header: &Header,
    least: (u32, u32),
    profile: Option<&ColorProfile>,
) -> Result<Decoded, ThumbnailError> {
    let mut decompressor = Decompressor::new().map_err(explain)?;
    decompressor.set_scan_limit(MAX_SCANS).map_err(explain)?;
    let Ok(info) = decompressor.read_header(original) else {
        // This binding loses the header after a warning.
        return whole::decode(original, header);
    };
    let (stored_width, stored_height) = header.stored();
    agree(header, (side(info.width)?, side(info.height)?))?;

    let factor =
        if info.is_lossless { ScalingFactor::ONE } else { factor((stored_width, stored_height), least) };
    decompressor.set_scaling_factor(factor).map_err(explain)?;
    let scaled = info.scaled(factor);
    let (mut picture, is_whole) = if stays_in_planes(&info, profile) {
        let (planes, is_whole) = planes(&mut decompressor, original, &scaled)?;
        (Picture::Planes(planes), is_whole)
    } else {
        let (pixels, is_whole) = pixels(&mut decompressor, original, &scaled)?;
        (Picture::Pixels(pixels), is_whole)
    };
    let (missing, rows) = if is_whole { (0, 1) } else { blank::whiten(&mut picture) };
    let is_cut_short = is_cut_short(missing.into(), (1, rows))?;
    let extent = |stored: u32| f64::from(stored) * factor.num() as f64 / factor.denom() as f64;
    Ok(Decoded {
        picture,
        window: Window::from_corner((extent(stored_width), extent(stored_height))),
        profile: None,
        is_cut_short,
    })
}

/// Whether the picture needs no conversion, and the library supports planes of its sampling.
fn stays_in_planes(info: &DecompressHeader, profile: Option<&ColorProfile>) -> bool {
    info.colorspace == Colorspace::YCbCr
        && info.subsamp != Subsamp::Unknown
        && !info.is_lossless
        && !colour::changes_rgb(profile)
}

/// Decodes to planes as stored. The flag is false if the file is truncated.
fn planes(
    decompressor: &mut Decompressor,
    original: &[u8],
    scaled: &DecompressHeader,
) -> Result<(Planes, bool), ThumbnailError> {
    const ALIGN: usize = 1;
    let &DecompressHeader { width, height, subsamp, .. } = scaled;
    let length = turbojpeg::yuv_pixels_len(width, ALIGN, height, subsamp).map_err(explain)?;
    let mut bytes = zeroed(length as u64)?;
    let mut image = YuvImage { pixels: bytes.as_mut_slice(), width, align: ALIGN, height, subsamp };
    let is_whole = is_whole(decompressor.decompress_to_yuv(original, image.as_deref_mut()))?;
    // The buffer holds Y, Cb, Cr in order, each padded to whole colour samples.
    let ((stride, rows), (colour_width, colour_height)) = (image.y_size(), image.uv_size());
    let red = bytes.split_off(stride * rows + colour_width * colour_height);
    let blue = bytes.split_off(stride * rows);
    let plane = |bytes, width, height| -> Result<Pixels, ThumbnailError> {
        Ok(Pixels { width: side(width)?, height: side(height)?, layout: Layout::Grey, bytes })
    };
    drop_columns(&mut bytes, stride, width);
    bytes.truncate(width * height);
    let planes = Planes {
        brightness: plane(bytes, width, height)?,
        colour: [plane(blue, colour_width, colour_height)?, plane(red, colour_width, colour_height)?],
        sampling: (side(subsamp.width())?, side(subsamp.height())?),
    };
    Ok((planes, is_whole))
}

/// Keeps the first `width` bytes of every `stride`.
fn drop_columns(bytes: &mut [u8], stride: usize, width: usize) {
    if stride > width {
        for row in 1..bytes.len() / stride {
            bytes.copy_within(row * stride..row * stride + width, row * width);
        }
    }
}

/// Decodes to RGB, grey or CMYK. The flag is false if the file is truncated.
fn pixels(
    decompressor: &mut Decompressor,
    original: &[u8],
    scaled: &DecompressHeader,
) -> Result<(Pixels, bool), ThumbnailError> {
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
    Ok((Pixels { width: side(width)?, height: side(height)?, layout, bytes }, is_whole))
}

/// Whether the file was complete. Warnings are ignored.
fn is_whole(decoded: turbojpeg::Result<()>) -> Result<bool, ThumbnailError> {
    match decoded {
        Err(Error::TurboJpegError(message)) if CUT_SHORT.iter().any(|cut| message.contains(cut)) => Ok(false),
        Err(Error::TurboJpegError(message)) if WARNINGS.iter().any(|warning| message.contains(warning)) => {
            Ok(true)
        }
        decoded => decoded.map(|()| true).map_err(explain),
    }
}

/// The scales with vector code in libjpeg-turbo, and the smallest allowed ratio of the scaled size to the needed size.
/// Other scales take longer than the full size. A coarse transform blurs, so enough pixels must remain for scaling
/// down; on photographs, a smaller ratio loses more than half a decibel.
const SCALES: [(ScalingFactor, f64); 3] =
    [(ScalingFactor::ONE_EIGHTH, 1.4), (ScalingFactor::ONE_QUARTER, 1.4), (ScalingFactor::ONE_HALF, 1.0)];

/// The smallest scale that keeps both dimensions large enough.
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

/// Converts an error of the binding.
fn explain(error: Error) -> ThumbnailError {
    match error {
        Error::TurboJpegError(message)
            if message.contains("nsufficient memory") || message.contains("emory allocation") =>
        {
            ThumbnailError::NeedsTooMuchMemory
        }
        Error::Null => ThumbnailError::NeedsTooMuchMemory,
        error => ThumbnailError::damaged(error),
    }
}
