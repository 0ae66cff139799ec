//! Shrinking, with SIMD where the processor has it.

use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer, images::Image};

use super::{ThumbnailError, pixels::Pixels};

/// Shrinks pictures whose colour is already multiplied by alpha. Keeps its buffers between calls.
#[derive(Default)]
pub(crate) struct Scaler {
    resizer: Resizer,
}

impl Scaler {
    /// The part of a picture that starts at its top left and is `extent` large, at a smaller size; the picture itself
    /// if that is all of it and nothing is to be shrunk.
    pub(super) fn shrink(
        &mut self,
        picture: Pixels,
        extent: (f64, f64),
        (width, height): (u32, u32),
    ) -> Result<Pixels, ThumbnailError> {
        if (picture.width, picture.height) == (width, height) {
            return Ok(picture);
        }
        self.resize(&picture, extent, (width, height))
    }

    /// A smaller copy of the picture.
    pub(super) fn shrink_from(
        &mut self,
        picture: &Pixels,
        (width, height): (u32, u32),
    ) -> Result<Pixels, ThumbnailError> {
        if (picture.width, picture.height) == (width, height) {
            return Ok(picture.clone());
        }
        self.resize(picture, (picture.width.into(), picture.height.into()), (width, height))
    }

    fn resize(
        &mut self,
        picture: &Pixels,
        extent: (f64, f64),
        (width, height): (u32, u32),
    ) -> Result<Pixels, ThumbnailError> {
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
            .crop(0.0, 0.0, extent.0, extent.1)
            .use_alpha(false);
        let mut shrunk = Image::new(width, height, picture.layout.pixel_type());
        self.resizer.resize(&picture.view(), &mut shrunk, &options).map_err(ThumbnailError::damaged)?;
        Ok(Pixels { width, height, layout: picture.layout, bytes: shrunk.into_vec() })
    }
}
