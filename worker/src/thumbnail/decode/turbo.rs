//! JPEG by libjpeg-turbo, which shrinks while it decodes: an inverse transform of fewer coefficients costs less and
//! leaves fewer pixels to touch.

use turbojpeg::{Colorspace, Decompressor, Error, Image, PixelFormat, ScalingFactor};

use super::{Decoded, agree, jpeg::MAX_SCANS, whole, zeroed};
use crate::{
    probe::Header,
    thumbnail::{
        ThumbnailError,
        pixels::{Layout, Pixels},
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

pub(super) fn decode(original: &[u8], header: &Header, least: (u32, u32)) -> Result<Decoded, ThumbnailError> {
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
    let (layout, format) = match info.colorspace {
        Colorspace::Gray => (Layout::Grey, PixelFormat::GRAY),
        Colorspace::CMYK | Colorspace::YCCK => (Layout::Cmyk, PixelFormat::CMYK),
        Colorspace::RGB | Colorspace::YCbCr => (Layout::Rgb, PixelFormat::RGB),
    };
    let scaled = info.scaled(factor);
    let pitch = scaled.width * format.size();
    let mut bytes = zeroed(pitch as u64 * scaled.height as u64)?;
    let image =
        Image { pixels: bytes.as_mut_slice(), width: scaled.width, pitch, height: scaled.height, format };
    match decompressor.decompress(original, image) {
        // It would fill what is missing with grey.
        Err(Error::TurboJpegError(words)) if words.contains(CUT_SHORT) => {
            return whole::decode(original, header);
        }
        Err(Error::TurboJpegError(words)) if WARNINGS.iter().any(|warning| words.contains(warning)) => {}
        result => result.map_err(explain)?,
    }
    let extent = |stored: u32| f64::from(stored) * factor.num() as f64 / factor.denom() as f64;
    Ok(Decoded {
        picture: Pixels { width: side(scaled.width)?, height: side(scaled.height)?, layout, bytes },
        extent: (extent(stored_width), extent(stored_height)),
        profile: None,
    })
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
