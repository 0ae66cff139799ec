//! Scales pictures down, with SIMD if the processor supports it.

use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer, images::Image};

use super::{
    ThumbnailError,
    pixels::{Layout, Pixels},
    transpose::transposed,
};

/// A rectangle of a picture, in pixels from the top left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Window {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Window {
    /// The top left rectangle of this size.
    pub(super) const fn from_corner((width, height): (f64, f64)) -> Self {
        Self { left: 0.0, top: 0.0, width, height }
    }
}

/// Scales down pictures whose colours are multiplied by alpha. Keeps its buffers between calls.
#[derive(Default)]
pub(crate) struct Scaler {
    resizer: Resizer,
}

impl Scaler {
    /// Scales a window down. Returns the picture itself if that is all of it and the size stays.
    pub(super) fn shrink(
        &mut self,
        picture: Pixels,
        window: Window,
        (width, height): (u32, u32),
    ) -> Result<Pixels, ThumbnailError> {
        if window == Window::from_corner((width.into(), height.into()))
            && (picture.width, picture.height) == (width, height)
        {
            return Ok(picture);
        }
        self.resize(&picture, window, (width, height))
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
        let whole = Window::from_corner((picture.width.into(), picture.height.into()));
        self.resize(picture, whole, (width, height))
    }

    /// Scales a window down, which must be inside the picture.
    pub(super) fn resize(
        &mut self,
        picture: &Pixels,
        window: Window,
        sides: (u32, u32),
    ) -> Result<Pixels, ThumbnailError> {
        if picture.layout == Layout::Grey {
            self.resize_plane(picture, window, sides)
        } else {
            self.convolve(picture, window, sides)
        }
    }

    /// Scales a picture with one sample per pixel. The library scales columns several times as slowly as rows, so the
    /// plane is transposed in between. The result is bit for bit the same.
    fn resize_plane(
        &mut self,
        plane: &Pixels,
        window: Window,
        (width, height): (u32, u32),
    ) -> Result<Pixels, ThumbnailError> {
        let whole = f64::from(plane.width);
        let rows = Window { left: 0.0, width: whole, ..window };
        let rows = self.convolve(plane, rows, (plane.width, height))?;
        if width == plane.width && (window.left, window.width) == (0.0, whole) {
            return Ok(rows);
        }
        let columns = Window { left: 0.0, width: height.into(), top: window.left, height: window.width };
        let columns = self.convolve(&transposed(&rows), columns, (height, width))?;
        Ok(transposed(&columns))
    }

    fn convolve(
        &mut self,
        picture: &Pixels,
        window: Window,
        (width, height): (u32, u32),
    ) -> Result<Pixels, ThumbnailError> {
        // Rounding may move the window out of the picture by a tiny amount.
        let across = window.width.min(f64::from(picture.width) - window.left);
        let down = window.height.min(f64::from(picture.height) - window.top);
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
            .crop(window.left, window.top, across, down)
            .use_alpha(false);
        let mut shrunk = Image::new(width, height, picture.layout.pixel_type());
        self.resizer.resize(&picture.view(), &mut shrunk, &options).map_err(ThumbnailError::damaged)?;
        Ok(Pixels { width, height, layout: picture.layout, bytes: shrunk.into_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_is_scaled_as_the_library_would() {
        let (width, height) = (211_u32, 157_u32);
        let bytes = (0..width * height)
            .map(|place| u8::try_from(place.wrapping_mul(2_654_435_761) >> 24).unwrap())
            .collect();
        let plane = Pixels { width, height, layout: Layout::Grey, bytes };
        let mut scaler = Scaler::default();
        for (window, sides) in [
            (Window { left: 0.0, top: 0.0, width: 211.0, height: 157.0 }, (100, 75)),
            (Window { left: 0.0, top: 0.0, width: 210.25, height: 156.5 }, (105, 78)),
            (Window { left: 0.5, top: 0.75, width: 210.5, height: 156.25 }, (211, 20)),
            (Window { left: 0.0, top: 0.0, width: 211.0, height: 157.0 }, (211, 20)),
            (Window { left: 3.0, top: 0.0, width: 200.0, height: 157.0 }, (200, 157)),
            (Window { left: 0.0, top: 0.0, width: 1.0, height: 157.0 }, (1, 1)),
        ] {
            let found = scaler.resize(&plane, window, sides).unwrap();
            let expected = scaler.convolve(&plane, window, sides).unwrap();
            assert_eq!(found.bytes, expected.bytes, "{window:?} {sides:?}");
        }
    }
}
