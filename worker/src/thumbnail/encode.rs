//! Encodes thumbnails.

use std::borrow::Cow;

use image::{
    ExtendedColorType, ImageEncoder,
    codecs::png::{CompressionType, FilterType, PngEncoder},
};

use super::{
    Recipe, Thumbnail, ThumbnailError,
    drawing::Drawing,
    picture::Picture,
    pixels::{Layout, Pixels},
    planes::Planes,
};
use crate::{Encoding, Format, Size, WebpSizes};

/// The quality of JPEG thumbnails, of 100. Above it, files grow faster than the visible quality.
const JPEG_QUALITY: u8 = 80;

/// The quality of WebP thumbnails, of 100: on twelve photographs as similar to the original as JPEG at 80, in four fifths
/// of the bytes.
const WEBP_QUALITY: f32 = 80.0;

/// The effort for WebP, of 6. More makes files a few per cent shorter in twice the time.
const WEBP_METHOD: i32 = 2;

/// The quality of alpha channels in WebP, of 100: edges stay sharp.
const WEBP_ALPHA_QUALITY: i32 = 90;

/// Encodes a picture whose colours are multiplied by alpha. A drawing is looked for unless the original was a JPEG, which
/// has lost its lines already.
pub(super) fn encode(size: Size, recipe: &Recipe, picture: Picture) -> Result<Thumbnail, ThumbnailError> {
    let (width, height) = picture.sides();
    let has_webp = recipe.webp.contains(size);
    let (encoding, bytes, webp) = match picture {
        Picture::Planes(planes) => {
            let webp = if has_webp { Some(webp(&planes.clone().into_pixels())?) } else { None };
            (Encoding::Jpeg, jpeg_of_planes(size, planes)?, webp)
        }
        Picture::Pixels(mut pixels) => {
            pixels.divide_alpha();
            if pixels.layout.has_alpha() {
                let webp = if recipe.webp == WebpSizes::NONE { None } else { Some(webp(&pixels)?) };
                (Encoding::Png, png(&pixels, CompressionType::Fast)?, webp)
            } else {
                let is_jpeg = recipe.format == Format::Jpeg;
                let drawing = if is_jpeg { Drawing::NONE } else { Drawing::of(&pixels) };
                let (encoding, bytes) = opaque(size, &pixels, drawing)?;
                // WebP has a quarter of the colours, and would smear what is sharp.
                let is_photograph = encoding == Encoding::Jpeg && !drawing.is_sharp;
                let webp = if has_webp && is_photograph { Some(webp(&pixels)?) } else { None };
                (encoding, bytes, webp)
            }
        }
    };
    let webp = webp.filter(|webp| webp.len() < bytes.len());
    Ok(Thumbnail { size, width, height, encoding, bytes, webp })
}

/// A WebP with loss; with the alpha channel of the picture, if it has one. Colours are not multiplied by alpha.
fn webp(picture: &Pixels) -> Result<Vec<u8>, ThumbnailError> {
    let (bytes, layout) = match picture.layout {
        Layout::Rgb => (Cow::from(&picture.bytes), webp::PixelLayout::Rgb),
        Layout::Rgba => (Cow::from(&picture.bytes), webp::PixelLayout::Rgba),
        Layout::Grey => (picture.bytes.iter().flat_map(|grey| [*grey; 3]).collect(), webp::PixelLayout::Rgb),
        Layout::GreyAlpha => {
            let pixels = picture.bytes.as_chunks::<2>().0.iter();
            let pixels = pixels.flat_map(|&[grey, alpha]| [grey, grey, grey, alpha]);
            (pixels.collect(), webp::PixelLayout::Rgba)
        }
        Layout::Cmyk => return Err(ThumbnailError::damaged("its colours were not converted")),
    };
    let mut config =
        webp::WebPConfig::new().map_err(|()| ThumbnailError::damaged("libwebp has another version"))?;
    config.method = WEBP_METHOD;
    config.quality = WEBP_QUALITY;
    config.alpha_quality = WEBP_ALPHA_QUALITY;
    let encoder = webp::Encoder::new(&bytes, layout, picture.width, picture.height);
    let file = encoder.encode_advanced(&config);
    file.map(|file| file.to_vec()).map_err(|error| match error {
        webp::WebPEncodingError::VP8_ENC_ERROR_OUT_OF_MEMORY
        | webp::WebPEncodingError::VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY => {
            ThumbnailError::NeedsTooMuchMemory
        }
        error => ThumbnailError::damaged(format!("{error:?}")),
    })
}

/// JPEG, or PNG where it is shorter.
fn opaque(size: Size, pixels: &Pixels, drawing: Drawing) -> Result<(Encoding, Vec<u8>), ThumbnailError> {
    let jpeg = jpeg(size, pixels, drawing.is_sharp)?;
    if drawing.is_flat {
        let png = png(pixels, CompressionType::Default)?;
        if png.len() <= jpeg.len() {
            return Ok((Encoding::Png, png));
        }
    }
    Ok((Encoding::Jpeg, jpeg))
}

/// A JPEG; if it is sharp, with a colour for each pixel.
#[cfg(feature = "turbojpeg")]
fn jpeg(size: Size, picture: &Pixels, is_sharp: bool) -> Result<Vec<u8>, ThumbnailError> {
    use turbojpeg::{Image, PixelFormat, Subsamp};

    let (format, subsampling) = match picture.layout {
        Layout::Grey => (PixelFormat::GRAY, Subsamp::Gray),
        _ if is_sharp => (PixelFormat::RGB, Subsamp::None),
        _ => (PixelFormat::RGB, Subsamp::Sub2x2),
    };
    let width = picture.width as usize;
    let image = Image {
        pixels: picture.bytes.as_slice(),
        width,
        pitch: width * format.size(),
        height: picture.height as usize,
        format,
    };
    let mut compressor = compressor(size).map_err(ThumbnailError::damaged)?;
    compressor.set_subsamp(subsampling).map_err(ThumbnailError::damaged)?;
    compressor.compress_to_vec(image).map_err(ThumbnailError::damaged)
}

#[cfg(feature = "turbojpeg")]
fn jpeg_of_planes(size: Size, planes: Planes) -> Result<Vec<u8>, ThumbnailError> {
    use turbojpeg::{Subsamp, YuvPlanesImage};

    let (width, height) = planes.sides();
    let Planes { brightness, colour: [blue, red], .. } = planes.whole();
    let image = YuvPlanesImage {
        y_plane: brightness.bytes.as_slice(),
        u_plane: blue.bytes.as_slice(),
        v_plane: red.bytes.as_slice(),
        width: width as usize,
        height: height as usize,
        y_stride: brightness.width as usize,
        u_stride: blue.width as usize,
        v_stride: red.width as usize,
        subsamp: Subsamp::Sub2x2,
    };
    let mut compressor = compressor(size).map_err(ThumbnailError::damaged)?;
    compressor.compress_yuv_planes_to_vec(&image).map_err(ThumbnailError::damaged)
}

/// Optimized entropy tables make a file 2 to 8 % shorter and double the time of encoding it. This is worth it for the
/// small sizes, which are loaded most; for the large one it would take a tenth of the whole job.
#[cfg(feature = "turbojpeg")]
fn compressor(size: Size) -> turbojpeg::Result<turbojpeg::Compressor> {
    let mut compressor = turbojpeg::Compressor::new()?;
    compressor.set_quality(JPEG_QUALITY.into())?;
    compressor.set_optimize(size != Size::Large)?;
    Ok(compressor)
}

/// A JPEG, always with a colour for each pixel.
#[cfg(not(feature = "turbojpeg"))]
fn jpeg(_size: Size, picture: &Pixels, _is_sharp: bool) -> Result<Vec<u8>, ThumbnailError> {
    let mut file = Vec::new();
    write(image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY), picture)?;
    Ok(file)
}

#[cfg(not(feature = "turbojpeg"))]
fn jpeg_of_planes(size: Size, planes: Planes) -> Result<Vec<u8>, ThumbnailError> {
    jpeg(size, &planes.into_pixels(), false)
}

/// `Fast` with adaptive filters is `image`'s quick deflate: on thumbnails its files are as small as those of slower
/// levels, in a thirtieth of the time. On drawings it is not, so they get the `Default`.
fn png(picture: &Pixels, compression: CompressionType) -> Result<Vec<u8>, ThumbnailError> {
    let mut file = Vec::new();
    write(PngEncoder::new_with_quality(&mut file, compression, FilterType::Adaptive), picture)?;
    Ok(file)
}

fn write(encoder: impl ImageEncoder, picture: &Pixels) -> Result<(), ThumbnailError> {
    Ok(encoder.write_image(&picture.bytes, picture.width, picture.height, colour(picture.layout))?)
}

const fn colour(layout: Layout) -> ExtendedColorType {
    match layout {
        // Converted to RGB before encoding.
        Layout::Cmyk => ExtendedColorType::Cmyk8,
        Layout::Grey => ExtendedColorType::L8,
        Layout::GreyAlpha => ExtendedColorType::La8,
        Layout::Rgb => ExtendedColorType::Rgb8,
        Layout::Rgba => ExtendedColorType::Rgba8,
    }
}
