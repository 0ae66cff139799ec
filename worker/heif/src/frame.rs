//! Decoded planes of samples, shrunk by averaging squares.

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

/// A plane of the shrunk picture.
#[derive(Debug, Default)]
pub(crate) struct Shrunk {
    pub(crate) samples: Vec<u16>,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Shrunk {
    /// Averages squares of `factor` × `factor` samples of a plane into this one, from a sample on. Samples beyond the
    /// edge of this plane are left out; a square at the edge of `plane` averages what there is.
    pub(crate) fn average<T: Sample>(
        &mut self,
        plane: &Plane<'_, T>,
        factor: (u32, u32),
        (left, top): (u32, u32),
    ) {
        let columns = plane.width.div_ceil(factor.0).min(self.width.saturating_sub(left));
        let rows = plane.height.div_ceil(factor.1).min(self.height.saturating_sub(top));
        let mut sums = vec![0_u32; columns as usize];
        for row in 0..rows {
            let first = row * factor.1;
            let down = factor.1.min(plane.height - first);
            sums.fill(0);
            for y in first..first + down {
                let line = &plane.samples[y as usize * plane.stride..][..plane.width as usize];
                for (sum, square) in sums.iter_mut().zip(line.chunks(factor.0 as usize)) {
                    *sum += square.iter().map(|sample| sample.value()).sum::<u32>();
                }
            }
            let start = ((top + row) as usize) * self.width as usize + left as usize;
            let into = &mut self.samples[start..][..columns as usize];
            for (column, (sample, sum)) in (0_u32..).zip(into.iter_mut().zip(&sums)) {
                let across = factor.0.min(plane.width - column * factor.0);
                let count = across * down;
                *sample = u16::try_from((sum + count / 2) / count).unwrap_or(u16::MAX);
            }
        }
    }
}
