//! Decoded planes of samples, shrunk by averaging squares.

use std::{collections::HashMap, ops::Range};

use crate::Error;

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
#[derive(Debug, Default)]
pub(crate) struct Shrunk {
    pub(crate) samples: Vec<u16>,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Pixels of a square, across and down.
    each: (u32, u32),
    /// Sum and number of the samples of squares that a tile has begun and a later one will end, by their place. With
    /// tiles in rows these are one row of squares and one column, so it stays small.
    begun: HashMap<usize, (u32, u32)>,
}

/// Where a plane lies in the whole picture.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// The corner and the sides of its tile, in pixels.
    pub(crate) corner: (u32, u32),
    pub(crate) side: (u32, u32),
    /// The sides of the whole picture in pixels: what a tile has beyond them is padding.
    pub(crate) whole: (u32, u32),
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
    /// A plane for a picture of `whole` pixels, a sample for each square of `each`.
    pub(crate) fn new(whole: (u32, u32), each: (u32, u32)) -> Result<Self, Error> {
        let (width, height) = (whole.0.div_ceil(each.0), whole.1.div_ceil(each.1));
        let length = width as usize * height as usize;
        let mut samples = Vec::new();
        samples.try_reserve_exact(length).map_err(|_| Error::NeedsTooMuchMemory)?;
        samples.resize(length, 0);
        Ok(Self { samples, width, height, each, begun: HashMap::new() })
    }

    /// Averages the samples of a plane. Tiles come in rows, so the last pixel of a square comes last: a square need not
    /// lie in one tile.
    pub(crate) fn average<T: Sample>(&mut self, plane: &Plane<'_, T>, place: Place) {
        let Place { corner, side, whole, sampling } = place;
        let columns = spans((corner.0, side.0, whole.0), (plane.width, sampling.0), self.each.0);
        let rows = spans((corner.1, side.1, whole.1), (plane.height, sampling.1), self.each.1);
        let left = (corner.0 / self.each.0) as usize;
        let mut sums = vec![0_u32; columns.len()];
        for (row, across) in (corner.1 / self.each.1..).zip(rows) {
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

/// The squares of `each` pixels that a tile has on one axis. It begins at `corner` and has `side` pixels, of which those
/// beyond `whole` are padding; a plane of it has so many samples, of `sampling` pixels each.
fn spans((corner, side, whole): (u32, u32, u32), (samples, sampling): (u32, u32), each: u32) -> Vec<Span> {
    let end = corner.saturating_add(side).min(whole);
    let squares = if end > corner && samples > 0 { corner / each..end.div_ceil(each) } else { 0..0 };
    squares
        .map(|square| {
            let (first, last) = (square * each, (square + 1).saturating_mul(each).min(whole));
            let (from, to) = (first.max(corner) - corner, last.min(end) - corner);
            // A sample of colour that two squares share counts in both.
            let to = to.div_ceil(sampling).min(samples);
            let samples = (from / sampling).min(to - 1) as usize..to as usize;
            Span { samples, begins: first >= corner, ends: last <= end }
        })
        .collect()
}
