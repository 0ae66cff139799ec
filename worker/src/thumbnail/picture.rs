//! A picture on its way from one file to another, whichever way it goes.

use super::{ThumbnailError, pixels::Pixels, planes::Planes, scale::Scaler};

/// A picture in memory.
pub(super) enum Picture {
    /// Of any kind.
    Pixels(Pixels),
    /// An ordinary JPEG, never converted.
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

    /// The picture as pixels, for what knows nothing else.
    pub(super) fn into_pixels(self) -> Pixels {
        match self {
            Self::Pixels(pixels) => pixels,
            Self::Planes(planes) => planes.into_pixels(),
        }
    }
}
