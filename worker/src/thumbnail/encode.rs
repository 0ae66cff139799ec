//! Encodes thumbnails.

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
    webp::{self, Pending, WebpThread},
};
use crate::{Encoding, Format, Size, WebpSizes};

/// The quality of JPEG thumbnails, of 100. Above it, files grow faster than the visible quality.
const JPEG_QUALITY: u8 = 80;

/// A thumbnail before it is encoded.
pub(super) struct Unencoded {
    size: Size,
    /// Its colours are not multiplied by alpha.
    picture: Picture,
    drawing: Drawing,
    webp: Option<Pending>,
}

/// A thumbnail whose WebP may still be encoded.
pub(super) struct Encoded {
    thumbnail: Thumbnail,
    webp: Option<Pending>,
}

/// Begins with WebP, on its thread, while other thumbnails are encoded here. The colours of `picture` are multiplied by
/// alpha. A drawing is looked for unless the original was a JPEG, which has lost its lines already.
pub(super) fn begin(
    size: Size,
    recipe: &Recipe,
    mut picture: Picture,
    thread: Option<&WebpThread>,
) -> Unencoded {
    let mut drawing = Drawing::NONE;
    if let Picture::Pixels(pixels) = &mut picture {
        pixels.divide_alpha();
        if recipe.format != Format::Jpeg {
            drawing = Drawing::of(pixels);
        }
    }
    let has_webp = if picture.has_alpha() {
        recipe.webp != WebpSizes::NONE
    } else {
        // WebP has a quarter of the colours, and would smear what is sharp.
        recipe.webp.contains(size) && !drawing.is_sharp
    };
    let webp = has_webp.then(|| webp::begin(picture.clone(), thread));
    Unencoded { size, picture, drawing, webp }
}

impl Unencoded {
    /// Encodes it for every client.
    pub(super) fn encode(self) -> Result<Encoded, ThumbnailError> {
        let Self { size, picture, drawing, webp } = self;
        let (width, height) = picture.sides();
        let (encoding, bytes) = match picture {
            Picture::Planes(planes) => (Encoding::Jpeg, jpeg_of_planes(size, planes)?),
            Picture::Pixels(pixels) if pixels.layout.has_alpha() => {
                (Encoding::Png, png(&pixels, CompressionType::Fast)?)
            }
            Picture::Pixels(pixels) => opaque(size, &pixels, drawing)?,
        };
        Ok(Encoded { thumbnail: Thumbnail { size, width, height, encoding, bytes, webp: None }, webp })
    }
}

impl Encoded {
    /// Waits for its WebP, which is left out if it is not shorter.
    pub(super) fn finish(self) -> Result<Thumbnail, ThumbnailError> {
        let Self { mut thumbnail, webp } = self;
        let webp = webp.map(Pending::finish).transpose()?;
        thumbnail.webp = webp.filter(|webp| webp.len() < thumbnail.bytes.len());
        Ok(thumbnail)
    }
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
