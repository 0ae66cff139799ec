//! From pixels to bytes: JPEG for what is opaque, PNG for what is not.

use image::{
    ExtendedColorType, ImageEncoder,
    codecs::{jpeg::JpegEncoder, png::PngEncoder},
};

use super::{
    Thumbnail, ThumbnailError,
    scale::{self, Raster},
};
use crate::{Encoding, Size};

/// JPEG quality: at these sizes nobody sees more, and 90 costs half as many bytes again.
const JPEG_QUALITY: u8 = 80;

/// The longest side that the `thumbhash` algorithm takes, in pixels.
const THUMBHASH_SIDE: u32 = 100;

pub(super) fn encode(size: Size, raster: &Raster) -> Result<Thumbnail, ThumbnailError> {
    let (width, height) = raster.sides();
    let mut bytes = Vec::new();
    let (encoding, encoded) = match raster {
        Raster::Rgb(image) => {
            let encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
            (Encoding::Jpeg, encoder.write_image(image, width, height, ExtendedColorType::Rgb8))
        }
        Raster::Rgba(image) => {
            let encoder = PngEncoder::new(&mut bytes);
            (Encoding::Png, encoder.write_image(image, width, height, ExtendedColorType::Rgba8))
        }
    };
    encoded.map_err(|error| ThumbnailError::CannotBeDecoded(error.to_string()))?;
    Ok(Thumbnail { size, width, height, encoding, bytes })
}

/// A blurred impression of a picture in some 25 bytes.
pub(super) fn thumbhash(small: &Raster) -> Result<Vec<u8>, ThumbnailError> {
    let tiny = scale::shrink_copy(small, THUMBHASH_SIDE)?;
    let (width, height) = tiny.sides();
    let rgba = match tiny {
        Raster::Rgb(image) => image::DynamicImage::from(image).into_rgba8(),
        Raster::Rgba(image) => image,
    };
    Ok(thumbhash::rgba_to_thumb_hash(width as usize, height as usize, rgba.as_raw()))
}
