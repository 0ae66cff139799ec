//! The pixels that a TIFF page describes, and the refusal of those that no code here reads.

use std::io::{Read, Seek};

use super::{Directory, Tiff, tag};
use crate::probe::{ProbeError, UnsupportedKind};

/// The most samples of a pixel. Pictures of satellites have some dozens; only the first ones are shown.
const MAX_SAMPLES: u64 = 256;

/// How the bytes of a strip or tile are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    /// Rows of T.4 codes without end-of-line codes, each from a byte on.
    FaxRows,
    FaxGroup3,
    FaxGroup4,
    Lzw,
    Jpeg,
    Deflate,
    PackBits,
    Zstd,
}

/// The meaning of the first samples of a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    Palette,
    Cmyk,
    YCbCr,
    /// L*a*b* with signed a* and b*.
    SignedLab,
    /// L*a*b* as in ICC profiles: a* and b* are shifted.
    ShiftedLab,
}

impl Colour {
    /// Samples of a pixel that make its colour.
    pub(crate) const fn channels(self) -> u16 {
        match self {
            Self::WhiteIsZero | Self::BlackIsZero | Self::Palette => 1,
            Self::Rgb | Self::YCbCr | Self::SignedLab | Self::ShiftedLab => 3,
            Self::Cmyk => 4,
        }
    }

    const fn is_lab(self) -> bool {
        matches!(self, Self::SignedLab | Self::ShiftedLab)
    }
}

/// The sample after the colours, if it is an alpha channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alpha {
    /// The colours are multiplied by it.
    Associated,
    Unassociated,
}

/// The description of a page's pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    /// Width in pixels, as stored.
    pub(crate) width: u32,
    /// Height in pixels, as stored.
    pub(crate) height: u32,
    /// Bits of each sample: 1 to 16, or 32; of floats 16, 32 or 64.
    pub(crate) bits: u16,
    pub(crate) is_float: bool,
    pub(crate) compression: Compression,
    pub(crate) colour: Colour,
    pub(crate) alpha: Option<Alpha>,
    /// Samples of a pixel, with those that are not shown.
    pub(crate) samples: u16,
    /// Whether each sample has strips or tiles of its own.
    pub(crate) is_planar: bool,
    /// Whether the first pixel of a byte is in its lowest bit.
    pub(crate) is_reversed: bool,
    pub(crate) predictor: Predictor,
}

/// How the samples of a row are predicted from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Predictor {
    None,
    Horizontal,
    /// TIFF Technical Note 3.
    Float,
}

impl Page {
    /// Reads and checks the description.
    pub(crate) fn read<R: Read + Seek>(tiff: &mut Tiff<R>, page: &Directory) -> Result<Self, ProbeError> {
        let (width, height) = tiff.sides(page)?;
        let mut number = |tag, otherwise| Ok::<_, ProbeError>(tiff.number(page, tag)?.unwrap_or(otherwise));
        let compression = compression(number(tag::COMPRESSION, 1)?)?;
        let samples = number(tag::SAMPLES_PER_PIXEL, 1)?;
        let is_planar = number(tag::PLANAR_CONFIGURATION, 1)? == 2 && samples > 1;
        let is_reversed = number(tag::FILL_ORDER, 1)? == 2;
        let ink_set = number(tag::INK_SET, 1)?;
        let photometric = tiff.number(page, tag::PHOTOMETRIC)?;
        let colour = colour(photometric, samples, ink_set)?;
        if samples < colour.channels().into() {
            return Err(ProbeError::Damaged("it has fewer samples than its colours need"));
        }
        let samples = u16::try_from(samples.min(MAX_SAMPLES + 1)).unwrap_or(u16::MAX);
        if u64::from(samples) > MAX_SAMPLES {
            return Err(UnsupportedKind::TiffSamples.into());
        }
        let read = Self {
            width,
            height,
            bits: bits(tiff, page)?,
            is_float: is_float(tiff, page)?,
            compression,
            colour,
            alpha: alpha(tiff, page, samples, colour)?,
            samples,
            is_planar,
            is_reversed,
            predictor: match tiff.number(page, tag::PREDICTOR)? {
                // Others compress without a predictor, whatever the tag says.
                _ if !matches!(compression, Compression::Lzw | Compression::Deflate | Compression::Zstd) => {
                    Predictor::None
                }
                None | Some(1) => Predictor::None,
                Some(2) => Predictor::Horizontal,
                Some(3) => Predictor::Float,
                Some(_) => return Err(UnsupportedKind::TiffCompression.into()),
            },
        };
        read.check()?;
        Ok(read)
    }

    /// Refuses combinations that no code reads.
    fn check(&self) -> Result<(), UnsupportedKind> {
        let depth_is_read = match self.is_float {
            true => {
                matches!(self.bits, 16 | 32 | 64)
                    && self.colour != Colour::Palette
                    && self.colour != Colour::YCbCr
                    && !self.colour.is_lab()
            }
            false => matches!(self.bits, 1..=16 | 32),
        };
        let colour_is_read = match self.colour {
            Colour::YCbCr => self.bits == 8 && !self.is_planar,
            Colour::SignedLab | Colour::ShiftedLab => matches!(self.bits, 8 | 16),
            Colour::Palette => self.bits <= 16,
            _ => true,
        };
        let predictor_is_read = match self.predictor {
            Predictor::None => true,
            Predictor::Horizontal => matches!(self.bits, 8 | 16 | 32 | 64),
            Predictor::Float => self.is_float,
        };
        if !depth_is_read || !colour_is_read || !predictor_is_read {
            return Err(UnsupportedKind::TiffSamples);
        }
        match self.compression {
            Compression::Jpeg if self.bits != 8 => Err(UnsupportedKind::DeepJpeg),
            Compression::Jpeg if self.colour == Colour::Palette || self.colour.is_lab() => {
                Err(UnsupportedKind::TiffColour)
            }
            // A pixel with more samples is no JPEG that a decoder here reads.
            Compression::Jpeg if !self.is_planar && self.samples != self.colour.channels() => {
                Err(UnsupportedKind::TiffSamples)
            }
            Compression::FaxRows | Compression::FaxGroup3 | Compression::FaxGroup4
                if self.bits != 1 || (self.samples != 1 && !self.is_planar) =>
            {
                Err(UnsupportedKind::TiffSamples)
            }
            _ => Ok(()),
        }
    }
}

fn compression(value: u64) -> Result<Compression, UnsupportedKind> {
    Ok(match value {
        1 => Compression::None,
        2 => Compression::FaxRows,
        3 => Compression::FaxGroup3,
        4 => Compression::FaxGroup4,
        5 => Compression::Lzw,
        7 => Compression::Jpeg,
        8 | 32946 => Compression::Deflate,
        32773 => Compression::PackBits,
        50000 => Compression::Zstd,
        _ => return Err(UnsupportedKind::TiffCompression),
    })
}

fn colour(photometric: Option<u64>, samples: u64, ink_set: u64) -> Result<Colour, UnsupportedKind> {
    Ok(match photometric {
        Some(0) => Colour::WhiteIsZero,
        // A mask that stands alone is shown like a picture.
        Some(1 | 4) => Colour::BlackIsZero,
        None if samples < 3 => Colour::BlackIsZero,
        None | Some(2) => Colour::Rgb,
        Some(3) => Colour::Palette,
        Some(5) if ink_set == 1 && samples >= 4 => Colour::Cmyk,
        Some(6) => Colour::YCbCr,
        Some(8) => Colour::SignedLab,
        Some(9) => Colour::ShiftedLab,
        Some(_) => return Err(UnsupportedKind::TiffColour),
    })
}

/// The depth that all samples share.
fn bits<R: Read + Seek>(tiff: &mut Tiff<R>, page: &Directory) -> Result<u16, ProbeError> {
    let bits = tiff.numbers(page, tag::BITS_PER_SAMPLE, MAX_SAMPLES)?.unwrap_or_default();
    let first = bits.first().copied().unwrap_or(1);
    if bits.iter().any(|other| *other != first) {
        return Err(UnsupportedKind::TiffSamples.into());
    }
    u16::try_from(first).map_err(|_| UnsupportedKind::TiffSamples.into())
}

fn is_float<R: Read + Seek>(tiff: &mut Tiff<R>, page: &Directory) -> Result<bool, ProbeError> {
    let formats = tiff.numbers(page, tag::SAMPLE_FORMAT, MAX_SAMPLES)?.unwrap_or_default();
    let first = formats.first().copied().unwrap_or(1);
    match first {
        _ if formats.iter().any(|other| *other != first) => Err(UnsupportedKind::TiffSamples.into()),
        // 4 is "undefined", which readers take for unsigned.
        1 | 4 => Ok(false),
        3 => Ok(true),
        _ => Err(UnsupportedKind::TiffSamples.into()),
    }
}

/// The meaning of the sample after the colours. Without a tag, a fourth sample of RGB and a second one of grey is alpha.
fn alpha<R: Read + Seek>(
    tiff: &mut Tiff<R>,
    page: &Directory,
    samples: u16,
    colour: Colour,
) -> Result<Option<Alpha>, ProbeError> {
    if samples <= colour.channels() || colour == Colour::Cmyk || colour == Colour::YCbCr {
        return Ok(None);
    }
    let extra = tiff.numbers(page, tag::EXTRA_SAMPLES, MAX_SAMPLES)?;
    Ok(match extra.as_deref().unwrap_or_default() {
        [1, ..] => Some(Alpha::Associated),
        [2, ..] => Some(Alpha::Unassociated),
        [] if samples == colour.channels() + 1 => Some(Alpha::Unassociated),
        _ => None,
    })
}
