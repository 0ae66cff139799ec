//! Shrinking and turning.

use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};
use image::{DynamicImage, RgbImage, RgbaImage, metadata};

use super::ThumbnailError;
use crate::{probe::Orientation, size::fit};

/// Pixels of 8 bits a channel.
#[derive(Debug, Clone)]
pub(super) enum Raster {
    /// Opaque.
    Rgb(RgbImage),
    /// Some pixel is not opaque. A pixel that is fully transparent is black, whatever it hid.
    Rgba(RgbaImage),
}

impl Raster {
    pub(super) fn rgb(image: RgbImage) -> Self {
        Self::Rgb(image)
    }

    /// Takes pixels with alpha; opaque ones lose it.
    pub(super) fn rgba(mut image: RgbaImage) -> Self {
        let mut opaque = true;
        for pixel in image.pixels_mut() {
            opaque &= pixel.0[3] == u8::MAX;
            if pixel.0[3] == 0 {
                pixel.0 = [0; 4];
            }
        }
        if opaque { Self::Rgb(DynamicImage::from(image).into_rgb8()) } else { Self::Rgba(image) }
    }

    pub(super) fn sides(&self) -> (u32, u32) {
        match self {
            Self::Rgb(image) => image.dimensions(),
            Self::Rgba(image) => image.dimensions(),
        }
    }

    fn parts(&self) -> (&[u8], PixelType) {
        match self {
            Self::Rgb(image) => (image.as_raw(), PixelType::U8x3),
            Self::Rgba(image) => (image.as_raw(), PixelType::U8x4),
        }
    }

    /// Turns pixels as stored into pixels as displayed.
    pub(super) fn turned(self, orientation: Orientation) -> Self {
        let Some(orientation) = metadata::Orientation::from_exif(orientation.exif()) else {
            return self;
        };
        let mut image = match self {
            Self::Rgb(image) => DynamicImage::from(image),
            Self::Rgba(image) => DynamicImage::from(image),
        };
        image.apply_orientation(orientation);
        match image {
            DynamicImage::ImageRgba8(image) => Self::Rgba(image),
            image => Self::Rgb(image.into_rgb8()),
        }
    }
}

/// Shrinks a picture to fit; one that fits is handed back.
pub(super) fn shrink(raster: Raster, longest: u32) -> Result<Raster, ThumbnailError> {
    if fit(raster.sides(), longest) == raster.sides() { Ok(raster) } else { shrink_copy(&raster, longest) }
}

/// Shrinks a picture to fit, or copies it. Colours are weighed by alpha, so nothing shines through at edges.
pub(super) fn shrink_copy(raster: &Raster, longest: u32) -> Result<Raster, ThumbnailError> {
    let (width, height) = fit(raster.sides(), longest);
    if (width, height) == raster.sides() {
        return Ok(raster.clone());
    }
    let wrong = |error: &dyn std::fmt::Display| ThumbnailError::CannotBeDecoded(error.to_string());
    let (bytes, pixel) = raster.parts();
    let (from_width, from_height) = raster.sides();
    let source = ImageRef::new(from_width, from_height, bytes, pixel).map_err(|error| wrong(&error))?;
    let mut target = Image::new(width, height, pixel);
    let options =
        ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3)).use_alpha(true);
    Resizer::new().resize(&source, &mut target, &options).map_err(|error| wrong(&error))?;
    let bytes = target.into_vec();
    let short = "the buffer was made for these sides";
    Ok(match pixel {
        PixelType::U8x4 => Raster::Rgba(RgbaImage::from_raw(width, height, bytes).expect(short)),
        _ => Raster::Rgb(RgbImage::from_raw(width, height, bytes).expect(short)),
    })
}
