//! A JPEG decoder for thumbnails. It decodes straight to the lowest N × N of the 64 coefficients of each block, and makes
//! planes of N/8 of the picture's size of them. Most of the time of a scaled decode goes into entropy decoding; here it
//! skips several symbols that are not needed at a time.
//!
//! ```text
//! file ─ segments ─ frame ─ scans: Huffman codes ─ coefficients ─ inverse transform ─ planes
//!                             │
//!                             plan, gate (progressive: what need not be kept)
//! ```
//!
//! It decodes ordinary photographs: baseline, extended sequential and progressive files with 8 bits a sample, grey or
//! YCbCr. Anything else, and anything unusual, is an [`Error`]: the caller has a complete decoder for the rest.
//!
//! ```
//! use thumbnail_jpeg::{Decoder, Options, Scale};
//!
//! # let file = include_bytes!("ordinary.jpg");
//! let mut decoder = Decoder::default();
//! let picture = decoder.decode(file, &Options { scale: Scale::Quarter, ..Options::default() })?;
//! assert_eq!(picture.brightness.width, picture.width.div_ceil(4));
//! # Ok::<(), thumbnail_jpeg::Error>(())
//! ```

#![expect(
    clippy::cast_possible_truncation,
    reason = "coefficients have 16 bits, as in libjpeg, and the format bounds everything else"
)]

mod basis;
mod bits;
mod colour;
mod cpu;
mod decoder;
mod error;
mod frame;
mod gate;
mod huffman;
mod marker;
mod plan;
mod progressive;
mod quantiser;
mod refinement;
mod scan;
mod sequential;
mod transform;

pub use self::{decoder::Decoder, error::Error};

/// The size of the planes, as a part of the picture's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Scale {
    /// 1/8: the mean of each block.
    Eighth,
    /// 2/8.
    Quarter,
    /// 3/8.
    ThreeEighths,
    /// 4/8.
    Half,
    /// 6/8.
    ThreeQuarters,
    /// 8/8. Decoders with hand-written vector code are faster here.
    Full,
}

impl Scale {
    /// All scales, smallest first.
    pub const ALL: [Self; 6] =
        [Self::Eighth, Self::Quarter, Self::ThreeEighths, Self::Half, Self::ThreeQuarters, Self::Full];

    /// Samples that are made of a block of eight, along each side.
    #[must_use]
    pub const fn samples(self) -> usize {
        match self {
            Self::Eighth => 1,
            Self::Quarter => 2,
            Self::ThreeEighths => 3,
            Self::Half => 4,
            Self::ThreeQuarters => 6,
            Self::Full => 8,
        }
    }
}

/// The scans that refine AC coefficients of a progressive picture; about half of the time of such a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refinement {
    /// Decode them: the planes are those of the same coefficients in a sequential file, byte for byte.
    All,
    /// Leave them out if the quantisers are so fine that the difference cannot be seen: about 0.1 dB of a finished
    /// thumbnail.
    WhereVisible,
    /// Leave them out. For measurements.
    None,
}

/// What to make of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The size of the planes.
    pub scale: Scale,
    /// Whether colours that are sampled as finely as brightness are made half as large, on each axis. It has no effect
    /// with an odd number of samples a block.
    pub halve_colour: bool,
    /// The scans to leave out.
    pub refinement: Refinement,
    /// The most bytes of planes and coefficients.
    pub max_bytes: usize,
}

impl Default for Options {
    /// The whole picture, exactly, in at most 1 GiB.
    fn default() -> Self {
        Self { scale: Scale::Full, halve_colour: false, refinement: Refinement::All, max_bytes: 1 << 30 }
    }
}

/// A decoded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The width of the whole picture in pixels.
    pub width: usize,
    /// The height of the whole picture in pixels.
    pub height: usize,
    /// Y, at the chosen scale; sides are rounded up.
    pub brightness: Plane,
    /// Cb and Cr; `None` if the picture is grey.
    pub colour: Option<[Plane; 2]>,
    /// Samples of brightness that one sample of colour stands for, across and down.
    pub sampling: (usize, usize),
}

/// One sample a pixel, full range, row after row without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plane {
    /// Samples in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` samples.
    pub samples: Vec<u8>,
}
