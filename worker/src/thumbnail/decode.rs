//! From bytes to pixels.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, error::LimitErrorKind,
};

use super::{Recipe, ThumbnailError, scale::Raster};
use crate::{Format, probe::Header};

/// Bytes that the pixels of a picture take at most: four channels of 16 bits.
const MAX_BYTES_PER_PIXEL: u64 = 8;

/// What a decoder may take on top, in bytes, for tables and rows.
const DECODER_BYTES: u64 = 64 * 1024 * 1024;

/// Decodes the first frame whole, as RGB or, if it has transparency, as RGBA of 8 bits.
pub(super) fn decode(original: &[u8], header: &Header, recipe: &Recipe) -> Result<Raster, ThumbnailError> {
    let mut reader = ImageReader::with_format(Cursor::new(original), image_format(header.format));
    let mut limits = Limits::no_limits();
    limits.max_alloc =
        Some(recipe.max_pixels.saturating_mul(MAX_BYTES_PER_PIXEL).saturating_add(DECODER_BYTES));
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(sort)?;
    let (width, height) = decoder.dimensions();
    let (shown_width, shown_height) =
        if header.orientation.transposes() { (height, width) } else { (width, height) };
    if (shown_width, shown_height) != (header.width, header.height) {
        // The limits were checked on what the probe saw, so they must speak of the same picture.
        return Err(ThumbnailError::CannotBeDecoded("its headers contradict each other".into()));
    }
    let image = DynamicImage::from_decoder(decoder).map_err(sort)?;
    Ok(if image.color().has_alpha() {
        Raster::rgba(image.into_rgba8())
    } else {
        Raster::rgb(image.into_rgb8())
    })
}

fn sort(error: ImageError) -> ThumbnailError {
    match error {
        ImageError::Limits(limit) if limit.kind() == LimitErrorKind::InsufficientMemory => {
            ThumbnailError::NeedsTooMuchMemory
        }
        error => ThumbnailError::CannotBeDecoded(error.to_string()),
    }
}

const fn image_format(format: Format) -> ImageFormat {
    match format {
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Png => ImageFormat::Png,
        Format::Gif => ImageFormat::Gif,
        Format::WebP => ImageFormat::WebP,
        Format::Bmp => ImageFormat::Bmp,
        Format::Tiff => ImageFormat::Tiff,
    }
}
