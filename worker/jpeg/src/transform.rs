//! Inverse transforms of the lowest NX × NY of 64 coefficients to as many samples, for many blocks at a time.

use crate::{
    basis::basis,
    cpu::{Instructions, Work},
    quantiser::Quantisers,
};

/// Blocks that are transformed together. Rows of coefficients are padded to a multiple.
pub(crate) const LANES: usize = 64;

type Lanes = [f32; LANES];

/// Adding this to a number from 0 to 2²² leaves the rounded number in the lowest bits: 1.5 × 2²³.
const ROUNDER: f32 = 12_582_912.0;

/// A row of blocks, to be transformed.
pub(crate) struct Row<'a> {
    /// `stride` values of each of the NX × NY coefficients, row by row.
    pub(crate) coefficients: &'a [i16],
    pub(crate) stride: usize,
    /// NX and NY.
    pub(crate) sides: (usize, usize),
    pub(crate) factors: &'a [f32; 64],
    /// Up to NY rows of samples.
    pub(crate) samples: &'a mut [u8],
    /// Samples in a row.
    pub(crate) width: usize,
}

impl Work for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: impl Instructions) {
        match self.sides {
            (1, 1) => row::<1, 1>(self),
            (1, 2) => row::<1, 2>(self),
            (2, 1) => row::<2, 1>(self),
            (2, 2) => row::<2, 2>(self),
            (3, 3) => row::<3, 3>(self),
            (2, 4) => row::<2, 4>(self),
            (4, 2) => row::<4, 2>(self),
            (4, 4) => row::<4, 4>(self),
            (3, 6) => row::<3, 6>(self),
            (6, 3) => row::<6, 3>(self),
            (6, 6) => row::<6, 6>(self),
            (4, 8) => row::<4, 8>(self),
            (8, 4) => row::<8, 4>(self),
            (8, 8) => row::<8, 8>(self),
            sides => unreachable!("no scale has blocks of {sides:?}"),
        }
    }
}

/// The factor of each coefficient: its quantiser, and the ratio of a smaller transform. AC coefficients have
/// `fraction_bits` more bits.
pub(crate) fn factors(quantisers: &Quantisers, (nx, ny): (usize, usize), fraction_bits: u32) -> [f32; 64] {
    let mut factors = [0.0; 64];
    let scale = ((nx * ny) as f32).sqrt() / 8.0;
    let ac = scale / (1_u32 << fraction_bits) as f32;
    for v in 0..ny {
        for u in 0..nx {
            let scale = if (u, v) == (0, 0) { scale } else { ac };
            factors[v * nx + u] = f32::from(quantisers[v * 8 + u]) * scale;
        }
    }
    factors
}

#[inline(always)]
fn row<const NX: usize, const NY: usize>(row: Row) {
    let Row { coefficients, stride, factors, samples, width, .. } = row;
    let rows = (samples.len() / width).min(NY);
    for (chunk, left) in (0..width).step_by(NX * LANES).enumerate() {
        let mut dequantised = [[[0.0_f32; LANES]; NY]; NX];
        for v in 0..NY {
            for u in 0..NX {
                let from = &coefficients[(v * NX + u) * stride + chunk * LANES..][..LANES];
                let factor = factors[v * NX + u];
                for lane in 0..LANES {
                    dequantised[u][v][lane] = f32::from(from[lane]) * factor;
                }
            }
        }
        let mut columns = [[[0.0_f32; LANES]; NX]; NY];
        for u in 0..NX {
            let column = inverse::<NY>(&dequantised[u]);
            for y in 0..NY {
                columns[y][u] = column[y];
            }
        }
        let right = (left + NX * LANES).min(width);
        for y in 0..rows {
            let bytes = interleaved(&inverse::<NX>(&columns[y]));
            samples[y * width + left..y * width + right].copy_from_slice(&bytes[..right - left]);
        }
    }
}

/// Coefficients to samples along one axis.
#[inline(always)]
fn inverse<const N: usize>(from: &[Lanes; N]) -> [Lanes; N] {
    let basis = const { &basis()[N] };
    let mut to = [[0.0; LANES]; N];
    for x in 0..N.div_ceil(2) {
        let (mut even, mut odd) = ([0.0; LANES], [0.0; LANES]);
        for u in (0..N).step_by(2) {
            for lane in 0..LANES {
                even[lane] += from[u][lane] * basis[u][x];
            }
        }
        for u in (1..N).step_by(2) {
            for lane in 0..LANES {
                odd[lane] += from[u][lane] * basis[u][x];
            }
        }
        for lane in 0..LANES {
            to[x][lane] = even[lane] + odd[lane];
            to[N - 1 - x][lane] = even[lane] - odd[lane];
        }
        if N % 2 == 1 && x == N / 2 {
            to[x] = even;
        }
    }
    to
}

/// A row of samples of all blocks. The last bytes are no samples.
#[expect(clippy::manual_clamp, reason = "each is one vector instruction; `clamp` is several")]
#[inline(always)]
fn interleaved<const N: usize>(line: &[Lanes; N]) -> [u8; 8 * LANES + 8] {
    // Four samples in a word, the first lowest. A block has one or two words.
    let mut words = [[0_u32; LANES]; 2];
    for x in 0..N {
        let (from, to) = (&line[x], &mut words[x / 4]);
        for lane in 0..LANES {
            let value = (from[lane] + 128.0).max(0.0).min(255.0) + ROUNDER;
            to[lane] |= (value.to_bits() & 0xFF) << (8 * (x % 4));
        }
    }
    let mut bytes = [0_u8; 8 * LANES + 8];
    for lane in 0..LANES {
        let low = words[0][lane];
        match N {
            1 => bytes[lane] = low as u8,
            2 => bytes[lane * 2..lane * 2 + 2].copy_from_slice(&(low as u16).to_le_bytes()),
            3 | 4 => bytes[lane * N..lane * N + 4].copy_from_slice(&low.to_le_bytes()),
            _ => {
                let both = u64::from(low) | u64::from(words[1][lane]) << 32;
                bytes[lane * N..lane * N + 8].copy_from_slice(&both.to_le_bytes());
            }
        }
    }
    bytes
}
