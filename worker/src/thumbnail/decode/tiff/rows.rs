//! Turns the bytes of a row into pixels.

use std::io::{Read, Seek};

use moxcms::ColorProfile;

use super::{demand::Planes, lab::Lab};
use crate::{
    probe::tiff::{Alpha, Colour, Compression, Directory, Order, Page, Tiff, tag},
    thumbnail::{ThumbnailError, colour::Narrowing, pixels::Layout},
};

/// Entries of a palette: three colours of up to 16 bits.
const MAX_PALETTE: u64 = 3 * 65_536;

/// A row converter with its buffers.
pub(super) struct Rows {
    page: Page,
    order: Order,
    narrowing: Narrowing,
    kind: Kind,
    /// The samples of a row as stored.
    stored: Vec<u16>,
    /// The channels of a row, from 0 to 65535.
    wide: Vec<u16>,
}

/// The conversion of a pixel.
enum Kind {
    Plain,
    /// All red values, then green, then blue.
    Palette(Vec<u16>),
    YCbCr(YCbCr),
    Lab(Lab),
}

impl Rows {
    pub(super) fn new<R: Read + Seek>(
        tiff: &mut Tiff<R>,
        directory: &Directory,
        page: Page,
        profile: &mut Option<ColorProfile>,
    ) -> Result<Self, ThumbnailError> {
        let layout = match (page.colour, page.alpha.is_some()) {
            (Colour::WhiteIsZero | Colour::BlackIsZero, false) => Layout::Grey,
            (Colour::WhiteIsZero | Colour::BlackIsZero, true) => Layout::GreyAlpha,
            (Colour::Cmyk, _) => Layout::Cmyk,
            (_, false) => Layout::Rgb,
            (_, true) => Layout::Rgba,
        };
        let kind = match page.colour {
            Colour::Palette => Kind::Palette(palette(tiff, directory, page.bits)?),
            // A JPEG decoder converts by itself.
            Colour::YCbCr if page.compression != Compression::Jpeg => {
                Kind::YCbCr(YCbCr::read(tiff, directory)?)
            }
            Colour::SignedLab | Colour::ShiftedLab => {
                // It says how Lab was made from the original.
                *profile = None;
                Kind::Lab(Lab::new())
            }
            _ => Kind::Plain,
        };
        let is_deep = page.bits > 8 && matches!(kind, Kind::Plain);
        let narrowing = Narrowing::new(layout, profile, is_deep);
        Ok(Self { page, order: tiff.order, narrowing, kind, stored: Vec::new(), wide: Vec::new() })
    }

    /// The channels of the pixels that [`convert`](Self::convert) makes.
    pub(super) fn layout(&self) -> Layout {
        self.narrowing.layout()
    }

    /// Samples of a pixel that are shown.
    pub(super) fn needed(&self) -> u16 {
        self.page.colour.channels() + u16::from(self.page.alpha.is_some())
    }

    /// Pixels per colour sample, across and down, where samples come in units of several pixels.
    pub(super) fn subsampling(&self) -> Option<(u32, u32)> {
        match &self.kind {
            Kind::YCbCr(ycbcr) => Some(ycbcr.sampling),
            _ => None,
        }
    }

    /// Converts the first `width` pixels of a row; false where the row is missing.
    pub(super) fn convert(&mut self, planes: &Planes, row: u32, width: u32, to: &mut [u8]) -> bool {
        let (row, width) = (row as usize, width as usize);
        if let Kind::YCbCr(ycbcr) = &self.kind {
            return ycbcr.convert(&planes.planes[0], planes.stride, row, width, to);
        }
        let mut rows = Vec::with_capacity(planes.planes.len());
        for plane in &planes.planes {
            let Some(row) = plane.get(row * planes.stride..(row + 1) * planes.stride) else { return false };
            rows.push(row);
        }
        // Bytes that are pixels already.
        if let [bytes] = rows[..]
            && self.is_as_stored()
        {
            to.copy_from_slice(&bytes[..to.len()]);
            return true;
        }
        let samples = if self.page.is_planar { rows.len() } else { self.page.samples.into() };
        self.stored.resize(width * samples, 0);
        if self.page.is_planar {
            for (plane, bytes) in rows.iter().enumerate() {
                let to = self.stored.iter_mut().skip(plane).step_by(samples);
                unpack(bytes, self.page, self.order, to);
            }
        } else {
            unpack(rows[0], self.page, self.order, self.stored.iter_mut());
        }
        self.widen(samples);
        self.narrowing.row(&self.wide, to);
        true
    }

    fn is_as_stored(&self) -> bool {
        let page = &self.page;
        matches!(self.kind, Kind::Plain)
            && page.bits == 8
            && !page.is_planar
            && page.samples == self.needed()
            && page.alpha != Some(Alpha::Associated)
            && !matches!(page.colour, Colour::WhiteIsZero | Colour::Cmyk)
    }

    /// Makes channels from stored samples.
    fn widen(&mut self, samples: usize) {
        let Self { page, stored, wide, kind, .. } = self;
        let scale = Scale::of(*page);
        let channels = usize::from(page.colour.channels());
        wide.clear();
        for pixel in stored.chunks_exact(samples) {
            let alpha = page.alpha.map(|_| scale.full(pixel[channels]));
            let start = wide.len();
            match kind {
                Kind::Palette(palette) => {
                    let colours = palette.len() / 3;
                    let index = usize::from(pixel[0]);
                    wide.extend(
                        (0..3).map(
                            |colour| {
                                if index < colours { palette[colour * colours + index] } else { 0 }
                            },
                        ),
                    );
                }
                Kind::Lab(lab) => {
                    let [lightness, a, b] = [pixel[0], pixel[1], pixel[2]];
                    wide.extend(lab.srgb(lab_of(*page, lightness, a, b)));
                }
                _ => {
                    let is_negative = matches!(page.colour, Colour::WhiteIsZero | Colour::Cmyk);
                    wide.extend(pixel[..channels].iter().map(|sample| {
                        let value = scale.full(*sample);
                        if is_negative { u16::MAX - value } else { value }
                    }));
                }
            }
            if let Some(alpha) = alpha {
                if page.alpha == Some(Alpha::Associated) {
                    wide[start..].iter_mut().for_each(|value| *value = divided(*value, alpha));
                }
                wide.push(alpha);
            }
        }
    }
}

/// A colour that was multiplied by alpha, as it was before.
fn divided(value: u16, alpha: u16) -> u16 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    if alpha == 0 {
        return 0;
    }
    u16::try_from((value * 65535 + alpha / 2) / alpha).unwrap_or(u16::MAX)
}

/// L*, a* and b* of stored samples (TIFF 6.0, section 23; TIFF Technical Note of Adobe Photoshop for 9).
fn lab_of(page: Page, lightness: u16, a: u16, b: u16) -> [f32; 3] {
    let is_signed = page.colour == Colour::SignedLab;
    let value = |sample: u16| f32::from(sample);
    if page.bits == 8 {
        let axis =
            |sample: u16| if is_signed && sample >= 128 { value(sample) - 256.0 } else { value(sample) };
        let shift = if is_signed { 0.0 } else { 128.0 };
        return [value(lightness) / 2.55, axis(a) - shift, axis(b) - shift];
    }
    if is_signed {
        let axis = |sample: u16| f32::from(sample.cast_signed()) / 256.0;
        return [value(lightness) / 655.35, axis(a), axis(b)];
    }
    let axis = |sample: u16| (value(sample) - 32768.0) / 256.0;
    [value(lightness) / 652.8, axis(a), axis(b)]
}

/// The range of stored samples.
#[derive(Clone, Copy)]
struct Scale {
    /// The largest sample.
    most: u32,
}

impl Scale {
    fn of(page: Page) -> Self {
        // Wider samples were cut to 16 bits.
        Self { most: (1 << page.bits.min(16)) - 1 }
    }

    /// The sample, from 0 to 65535.
    fn full(self, sample: u16) -> u16 {
        match self.most {
            0xFFFF => sample,
            0xFF => sample * 257,
            most => u16::try_from((u32::from(sample) * 65535 + most / 2) / most).unwrap_or(u16::MAX),
        }
    }
}

/// Reads the samples of a row. Integers of 32 bits and floats (from 0 to 1) become 16 bits.
fn unpack<'a>(bytes: &[u8], page: Page, order: Order, to: impl Iterator<Item = &'a mut u16>) {
    fn each<'a, const WIDTH: usize>(
        bytes: &[u8],
        to: impl Iterator<Item = &'a mut u16>,
        read: impl Fn([u8; WIDTH]) -> u16,
    ) {
        for (to, sample) in to.zip(bytes.as_chunks::<WIDTH>().0) {
            *to = read(*sample);
        }
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to 65535; no number is 0"
    )]
    let float = |value: f64| (value.clamp(0.0, 1.0) * 65535.0).round() as u16;
    match (page.is_float, page.bits) {
        (false, 8) => each(bytes, to, |[byte]| byte.into()),
        (false, 16) => each(bytes, to, |sample| order.u16(sample)),
        (false, 32) => each(bytes, to, |sample| (order.u32(sample) >> 16) as u16),
        (true, 16) => each(bytes, to, |sample| float(half(order.u16(sample)))),
        (true, 32) => each(bytes, to, |sample| float(f32::from_bits(order.u32(sample)).into())),
        (true, _) => each(bytes, to, |sample| float(f64::from_bits(order.u64(sample)))),
        (false, bits) => {
            // The highest bits first, whatever the order of bytes.
            let (mut held, mut count) = (0_u32, 0);
            let mut bytes = bytes.iter();
            for to in to {
                while count < bits {
                    held = held << 8 | u32::from(bytes.next().copied().unwrap_or(0));
                    count += 8;
                }
                count -= bits;
                *to = u16::try_from(held >> count & ((1 << bits) - 1)).expect("at most 16 bits");
            }
        }
    }
}

/// A float of 16 bits (IEEE 754 binary16).
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1F), f64::from(bits & 0x3FF) / 1024.0);
    let size = match exponent {
        0 => fraction * 2_f64.powi(-14),
        0x1F => return if fraction == 0.0 && bits >> 15 == 0 { f64::INFINITY } else { 0.0 },
        exponent => (1.0 + fraction) * 2_f64.powi(exponent - 15),
    };
    if bits >> 15 == 0 { size } else { -size }
}

/// The colour map. Old writers stored values of 8 bits.
fn palette<R: Read + Seek>(
    tiff: &mut Tiff<R>,
    directory: &Directory,
    bits: u16,
) -> Result<Vec<u16>, ThumbnailError> {
    let values = tiff.numbers(directory, tag::COLOUR_MAP, MAX_PALETTE)?.unwrap_or_default();
    let mut values: Vec<u16> =
        values.into_iter().map(|value| u16::try_from(value).unwrap_or(u16::MAX)).collect();
    if values.len() < 3 * (1 << bits) {
        return Err(ThumbnailError::damaged("its palette is too short"));
    }
    values.truncate(3 << bits);
    if values.iter().all(|value| *value < 256) {
        values.iter_mut().for_each(|value| *value *= 257);
    }
    Ok(values)
}

/// The colours of YCbCr that is not JPEG (TIFF 6.0, section 21).
struct YCbCr {
    sampling: (u32, u32),
    /// The parts of red, green and blue in brightness.
    luma: [f64; 3],
    /// Black and white of the three samples.
    range: [f64; 6],
}

impl YCbCr {
    fn read<R: Read + Seek>(tiff: &mut Tiff<R>, directory: &Directory) -> Result<Self, ThumbnailError> {
        let sampling = tiff.numbers(directory, tag::YCBCR_SUBSAMPLING, 2)?;
        let sampling = match sampling.as_deref() {
            None => (2, 2),
            Some(&[across @ (1 | 2 | 4), down @ (1 | 2 | 4)]) => (across, down),
            Some(_) => return Err(ThumbnailError::damaged("its colour sampling is not 1, 2 or 4")),
        };
        let side = |side: u64| u32::try_from(side).map_err(ThumbnailError::damaged);
        let is_whole = |numbers: &[f64]| numbers.iter().all(|number| number.is_finite());
        let luma = tiff.fractions(directory, tag::YCBCR_COEFFICIENTS, 3)?.unwrap_or_default();
        let range = tiff.fractions(directory, tag::REFERENCE_BLACK_WHITE, 6)?.unwrap_or_default();
        let luma = luma.try_into().ok().filter(|luma: &[f64; 3]| is_whole(luma) && luma[1] > 0.0);
        let range = range
            .try_into()
            .ok()
            .filter(|range: &[f64; 6]| is_whole(range) && range.chunks(2).all(|ends| ends[0] < ends[1]));
        Ok(Self {
            sampling: (side(sampling.0)?, side(sampling.1)?),
            luma: luma.unwrap_or([0.299, 0.587, 0.114]),
            range: range.unwrap_or([0.0, 255.0, 128.0, 255.0, 128.0, 255.0]),
        })
    }

    /// Converts a row of units: as many brightness samples as a unit has pixels, then Cb and Cr.
    fn convert(&self, bytes: &[u8], stride: usize, row: usize, width: usize, to: &mut [u8]) -> bool {
        let (across, down) = (self.sampling.0 as usize, self.sampling.1 as usize);
        let Some(units) = bytes.get(row / down * stride..(row / down + 1) * stride) else { return false };
        let unit_bytes = across * down + 2;
        for (x, pixel) in to.chunks_exact_mut(3).take(width).enumerate() {
            let unit = &units[x / across * unit_bytes..][..unit_bytes];
            let brightness = unit[row % down * across + x % across];
            pixel.copy_from_slice(&self.rgb(brightness, unit[unit_bytes - 2], unit[unit_bytes - 1]));
        }
        true
    }

    fn rgb(&self, brightness: u8, blue: u8, red: u8) -> [u8; 3] {
        let ranged = |value: u8, at: usize, full: f64| {
            (f64::from(value) - self.range[at]) * full / (self.range[at + 1] - self.range[at])
        };
        let (y, cb, cr) = (ranged(brightness, 0, 255.0), ranged(blue, 2, 127.0), ranged(red, 4, 127.0));
        let [luma_red, luma_green, luma_blue] = self.luma;
        let red = cr * (2.0 - 2.0 * luma_red) + y;
        let blue = cb * (2.0 - 2.0 * luma_blue) + y;
        let green = (y - luma_blue * blue - luma_red * red) / luma_green;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte")]
        [red, green, blue].map(|value| value.clamp(0.0, 255.0).round() as u8)
    }
}
