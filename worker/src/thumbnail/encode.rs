//! Pixels to files.

use image::{
    ExtendedColorType, ImageEncoder,
    codecs::png::{CompressionType, FilterType, PngEncoder},
};

use super::{
    Thumbnail, ThumbnailError,
    pixels::{Layout, Pixels},
};
use crate::{Encoding, Size};

/// Quality of JPEG thumbnails, of 100: the usual point past which files grow faster than they look better.
const JPEG_QUALITY: u8 = 80;

/// The file of a picture whose colour is multiplied by alpha.
pub(super) fn encode(size: Size, mut picture: Pixels) -> Result<Thumbnail, ThumbnailError> {
    picture.divide_alpha();
    let (encoding, bytes) = if picture.layout.has_alpha() {
        (Encoding::Png, png(&picture)?)
    } else {
        (Encoding::Jpeg, jpeg(&picture)?)
    };
    Ok(Thumbnail { size, width: picture.width, height: picture.height, encoding, bytes })
}

#[cfg(feature = "turbojpeg")]
fn jpeg(picture: &Pixels) -> Result<Vec<u8>, ThumbnailError> {
    use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};

    let (format, subsampling) = match picture.layout {
        Layout::Grey => (PixelFormat::GRAY, Subsamp::Gray),
        _ => (PixelFormat::RGB, Subsamp::Sub2x2),
    };
    let mut compressor = Compressor::new().map_err(ThumbnailError::damaged)?;
    compressor
        .set_quality(JPEG_QUALITY.into())
        .and_then(|()| compressor.set_subsamp(subsampling))
        .and_then(|()| compressor.set_optimize(true))
        .map_err(ThumbnailError::damaged)?;
    let width = picture.width as usize;
    let image = Image {
        pixels: picture.bytes.as_slice(),
        width,
        pitch: width * format.size(),
        height: picture.height as usize,
        format,
    };
    compressor.compress_to_vec(image).map_err(ThumbnailError::damaged)
}

#[cfg(not(feature = "turbojpeg"))]
fn jpeg(picture: &Pixels) -> Result<Vec<u8>, ThumbnailError> {
    let mut file = Vec::new();
    write(image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY), picture)?;
    Ok(file)
}

/// `Fast` with adaptive filters is `image`'s quick deflate: on thumbnails its files are as small as those of slower
/// levels, in a thirtieth of the time.
fn png(picture: &Pixels) -> Result<Vec<u8>, ThumbnailError> {
    let mut file = Vec::new();
    write(PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive), picture)?;
    Ok(file)
}

fn write(encoder: impl ImageEncoder, picture: &Pixels) -> Result<(), ThumbnailError> {
    Ok(encoder.write_image(&picture.bytes, picture.width, picture.height, colour(picture.layout))?)
}

const fn colour(layout: Layout) -> ExtendedColorType {
    match layout {
        // Converted before anything is encoded.
        Layout::Cmyk => ExtendedColorType::Cmyk8,
        Layout::Grey => ExtendedColorType::L8,
        Layout::GreyAlpha => ExtendedColorType::La8,
        Layout::Rgb => ExtendedColorType::Rgb8,
        Layout::Rgba => ExtendedColorType::Rgba8,
    }
}
