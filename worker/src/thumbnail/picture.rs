//! A decoded picture, in pixels or planes.

use super::{ThumbnailError, pixels::Pixels, planes::Planes, scale::Scaler};

/// A picture in memory.
#[derive(Clone)]
pub(super) enum Picture {
    /// Pixels, from any format.
    Pixels(Pixels),
    /// Planes, from an ordinary JPEG.
    Planes(Planes),
}

impl Picture {
    /// A smaller copy.
    pub(super) fn shrink_from(&self, scaler: &mut Scaler, sides: (u32, u32)) -> Result<Self, ThumbnailError> {
        match self {
            Self::Pixels(pixels) => scaler.shrink_from(pixels, sides).map(Self::Pixels),
            Self::Planes(planes) => planes.shrink_from(scaler, sides).map(Self::Planes),
        }
    }

    /// Width and height in pixels.
    pub(super) const fn sides(&self) -> (u32, u32) {
        match self {
            Self::Pixels(pixels) => (pixels.width, pixels.height),
            Self::Planes(planes) => planes.sides(),
        }
    }

    /// Whether it has an alpha channel.
    pub(super) const fn has_alpha(&self) -> bool {
        match self {
            Self::Pixels(pixels) => pixels.layout.has_alpha(),
            Self::Planes(_) => false,
        }
    }

    /// The picture as pixels.
    pub(super) fn into_pixels(self) -> Pixels {
        match self {
            Self::Pixels(pixels) => pixels,
            Self::Planes(planes) => planes.into_pixels(),
        }
    }
}
