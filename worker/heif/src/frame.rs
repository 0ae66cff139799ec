//! Decoded planes of samples, shrunk by averaging squares.

use std::{collections::HashMap, ops::Range};

use crate::{Error, turning::Rectangle};

/// The code of what is not stated, in all three tables of ITU-T H.273.
pub(crate) const UNSPECIFIED: u16 = 2;

/// How samples are to be understood (ITU-T H.273).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signal {
    /// `ColourPrimaries`; 2 is unspecified.
    pub(crate) primaries: u16,
    /// `TransferCharacteristics`; 2 is unspecified.
    pub(crate) transfer: u16,
    /// `MatrixCoefficients`; 2 is unspecified.
    pub(crate) matrix: u16,
    /// Whether samples use all values; otherwise 16 to 235 of 8 bits.
    pub(crate) full_range: bool,
}

impl Default for Signal {
    fn default() -> Self {
        Self { primaries: UNSPECIFIED, transfer: UNSPECIFIED, matrix: UNSPECIFIED, full_range: false }
    }
}

/// The kind of samples in all planes of a frame. All tiles of a picture must agree on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bits of a sample: 8, 10 or 12.
    pub(crate) bits: u8,
    /// Pixels per colour sample, across and down; `None` without colour.
    pub(crate) sampling: Option<(u32, u32)>,
    /// The meaning of samples, as the coded picture gives it.
    pub(crate) signal: Signal,
}

/// A sample as a decoder keeps it.
pub(crate) trait Sample: Copy {
    fn value(self) -> u32;
}

impl Sample for u8 {
    fn value(self) -> u32 {
        self.into()
    }
}

impl Sample for u16 {
    fn value(self) -> u32 {
        self.into()
    }
}

/// A sample of 16 bits in the order of the machine, where a decoder hands over bytes: a plane of a hundred megapixels is
/// not copied to be read.
impl Sample for [u8; 2] {
    fn value(self) -> u32 {
        u16::from_ne_bytes(self).into()
    }
}

/// A plane of samples in the memory of a decoder.
pub(crate) struct Plane<'a, T> {
    pub(crate) samples: &'a [T],
    /// Samples from one row to the next.
    pub(crate) stride: usize,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// A plane of the shrunk picture: a sample for each square of `each` × `each` pixels.
#[derive(Debug)]
pub(crate) struct Shrunk {
    pub(crate) samples: Vec<u16>,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Pixels of a square, across and down.
    each: (u32, u32),
    /// The part of the picture that is kept, in pixels: of whole squares, but for the end of the picture.
    window: Rectangle,
    /// Sum and number of the samples of squares that a tile has begun and a later one will end, by their place. With
    /// tiles in rows these are one row of squares and one column, so it stays small.
    begun: HashMap<usize, (u32, u32)>,
}

/// The place of a plane in the whole picture.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// The corner and the sides of its tile, in pixels.
    pub(crate) corner: (u32, u32),
    pub(crate) side: (u32, u32),
    /// Pixels of a sample, across and down.
    pub(crate) sampling: (u32, u32),
}

/// A square on one axis of a tile.
struct Span {
    /// Its samples in the plane.
    samples: Range<usize>,
    /// Whether its first and its last pixel are in the tile.
    begins: bool,
    ends: bool,
}

impl Shrunk {
    /// A plane for a part of a picture, a sample for each square of `each` pixels.
    pub(crate) fn new(window: Rectangle, each: (u32, u32)) -> Result<Self, Error> {
        let (width, height) = (window.width.div_ceil(each.0), window.height.div_ceil(each.1));
        let length = width as usize * height as usize;
        let mut samples = Vec::new();
        samples.try_reserve_exact(length).map_err(|_| Error::NeedsTooMuchMemory)?;
        samples.resize(length, 0);
        Ok(Self { samples, width, height, each, window, begun: HashMap::new() })
    }

    /// Averages the samples of a plane. Tiles come in rows, so the last pixel of a square comes last: a square need not
    /// lie in one tile.
    pub(crate) fn average<T: Sample>(&mut self, plane: &Plane<'_, T>, place: Place) {
        let Place { corner, side, sampling } = place;
        let (window, end) = (self.window, self.window.end());
        let across = Axis { corner: corner.0, side: side.0, window: window.left..end.0, each: self.each.0 };
        let down = Axis { corner: corner.1, side: side.1, window: window.top..end.1, each: self.each.1 };
        let columns = across.spans(plane.width, sampling.0);
        let rows = down.spans(plane.height, sampling.1);
        let (left, top) = (across.first_square() as usize, down.first_square());
        let mut sums = vec![0_u32; columns.len()];
        for (row, across) in (top..).zip(rows) {
            sums.fill(0);
            for y in across.samples.clone() {
                let line = &plane.samples[y * plane.stride..][..plane.width as usize];
                for (sum, column) in sums.iter_mut().zip(&columns) {
                    *sum += line[column.samples.clone()].iter().map(|sample| sample.value()).sum::<u32>();
                }
            }
            let start = row as usize * self.width as usize + left;
            for ((at, column), sum) in (start..).zip(&columns).zip(&sums) {
                let count = u32::try_from(column.samples.len() * across.samples.len()).unwrap_or(u32::MAX);
                self.put(at, (*sum, count), column.begins && across.begins, column.ends && across.ends);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.begun.len()
    }

    #[cfg(test)]
    pub(crate) fn most_waiting(&self) -> usize {
        self.begun.capacity()
    }

    /// Takes a part of a square: the sum and the number of its samples, and whether it has the first pixel and the last.
    fn put(&mut self, at: usize, (mut sum, mut count): (u32, u32), begins: bool, ends: bool) {
        if !begins && let Some(before) = self.begun.remove(&at) {
            sum += before.0;
            count += before.1;
        }
        if ends {
            self.samples[at] = u16::try_from((sum + count / 2) / count).unwrap_or(u16::MAX);
        } else {
            self.begun.insert(at, (sum, count));
        }
    }
}

/// A tile on one axis, in pixels.
struct Axis {
    corner: u32,
    side: u32,
    /// The part of the picture that is kept: what a tile has beyond it is padding, or cropped.
    window: Range<u32>,
    /// Pixels of a square.
    each: u32,
}

impl Axis {
    /// The first square of the tile, counted from the first one of the window.
    fn first_square(&self) -> u32 {
        (self.corner.max(self.window.start) - self.window.start) / self.each
    }

    /// The squares of the tile, in which a plane has so many samples, of `sampling` pixels each.
    fn spans(&self, samples: u32, sampling: u32) -> Vec<Span> {
        let Self { corner, each, .. } = *self;
        let begin = corner.max(self.window.start);
        let end = corner.saturating_add(self.side).min(self.window.end);
        let squares = if end > begin && samples > 0 { begin / each..end.div_ceil(each) } else { 0..0 };
        squares
            .map(|square| {
                let (first, last) = (square * each, (square + 1).saturating_mul(each).min(self.window.end));
                let (from, to) = (first.max(corner) - corner, last.min(end) - corner);
                // A sample of colour that two squares share counts in both.
                let to = to.div_ceil(sampling).min(samples);
                let samples = (from / sampling).min(to - 1) as usize..to as usize;
                Span { samples, begins: first >= corner, ends: last <= end }
            })
            .collect()
    }
}
