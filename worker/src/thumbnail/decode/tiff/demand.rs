//! The bytes of a strip or tile: what is demanded of a decompressor, and what came of it.

use std::borrow::Cow;

use crate::probe::tiff::{Colour, Order, Page, Predictor};

/// The decompressed bytes of a strip or tile.
pub(super) struct Planes<'a> {
    /// Of all samples, or of each sample that is shown.
    pub(super) planes: Vec<Cow<'a, [u8]>>,
    /// Bytes of a row of a plane.
    pub(super) stride: usize,
}

/// The demand on a decompressor.
pub(super) struct Demand<'a> {
    pub(super) page: Page,
    pub(super) order: Order,
    /// Pixels of a row and rows.
    pub(super) sides: (u32, u32),
    /// Samples of a pixel in this plane.
    pub(super) samples: u16,
    /// Bytes of a row.
    pub(super) stride: usize,
    /// Bytes of all rows.
    pub(super) bytes: usize,
    pub(super) is_two_dimensional: bool,
    pub(super) tables: &'a [u8],
}

impl Demand<'_> {
    /// The predictor of these bytes. Units of subsampled YCbCr are never predicted.
    pub(super) fn predictor(&self) -> Predictor {
        let is_in_units = self.page.colour == Colour::YCbCr && self.stride != self.sides.0 as usize * 3;
        if is_in_units { Predictor::None } else { self.page.predictor }
    }
}
