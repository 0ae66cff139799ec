//! Decodes JPEG in TIFF (TIFF Technical Note 2): each strip or tile is a JPEG stream without the tables, which are
//! stored once.

use super::demand::Demand;
use crate::{probe::tiff::Colour, thumbnail::ThumbnailError};

/// Sides of a JPEG stream may extend beyond its strip or tile up to whole blocks of its sampling, in pixels.
const MOST_BLOCK: u32 = 32;

const START_OF_IMAGE: [u8; 2] = [0xFF, 0xD8];
const END_OF_IMAGE: [u8; 2] = [0xFF, 0xD9];
const START_OF_SCAN: u8 = 0xDA;
const APP0: u8 = 0xE0;
const APP14: u8 = 0xEE;

/// The values of the colour transform of Adobe's segment.
const UNTRANSFORMED: u8 = 0;
const YCBCR: u8 = 1;

/// The samples of a stream, as many rows as are demanded. YCbCr becomes RGB.
pub(super) fn decode(stored: &[u8], demand: &Demand) -> Result<Vec<u8>, ThumbnailError> {
    if stored.len() < START_OF_IMAGE.len() {
        return Ok(Vec::new());
    }
    let stream = whole(stored, demand.tables, demand.page.colour);
    let (sides, bytes) = samples(&stream, demand.samples, |(width, height)| {
        width <= demand.sides.0.saturating_add(MOST_BLOCK) && height <= demand.sides.1.max(MAX_ROWS)
    })?;
    let channels = usize::from(demand.samples);
    let width = sides.0.min(demand.sides.0) as usize * channels;
    let rows = bytes.chunks_exact(sides.0 as usize * channels).take(demand.sides.1 as usize);
    let mut fitted = Vec::with_capacity(demand.bytes);
    for row in rows {
        fitted.extend_from_slice(&row[..width]);
        fitted.resize(fitted.len() + demand.stride - width, 0);
    }
    Ok(fitted)
}

/// A sample that libjpeg makes up.
#[cfg(feature = "turbojpeg")]
const FILLED: u8 = 128;

/// The last strip may be a stream as high as the others.
const MAX_ROWS: u32 = 65_535;

/// A stream of its own: with the tables, and with Adobe's segment that tells its colours, because a decoder would guess.
fn whole(stored: &[u8], tables: &[u8], colour: Colour) -> Vec<u8> {
    let transform = if colour == Colour::YCbCr { YCBCR } else { UNTRANSFORMED };
    let mut stream = START_OF_IMAGE.to_vec();
    stream.extend_from_slice(&[0xFF, APP14, 0, 14]);
    stream.extend_from_slice(b"Adobe\0\x64\0\0\0\0");
    stream.push(transform);
    let tables = tables.strip_prefix(&START_OF_IMAGE).unwrap_or(tables);
    stream.extend_from_slice(tables.strip_suffix(&END_OF_IMAGE).unwrap_or(tables));
    let mut rest = stored.strip_prefix(&START_OF_IMAGE).unwrap_or(stored);
    // The segments before the pixels, without those that tell about colours.
    while let [0xFF, marker, high, low, ..] = rest {
        let end = 2 + usize::from(u16::from_be_bytes([*high, *low]));
        if *marker == START_OF_SCAN || end > rest.len() {
            break;
        }
        if !matches!(*marker, APP0 | APP14) {
            stream.extend_from_slice(&rest[..end]);
        }
        rest = &rest[end..];
    }
    stream.extend_from_slice(rest);
    stream
}

/// Sides and samples of a stream.
#[cfg(feature = "turbojpeg")]
fn samples(
    stream: &[u8],
    count: u16,
    fits: impl Fn((u32, u32)) -> bool,
) -> Result<((u32, u32), Vec<u8>), ThumbnailError> {
    use turbojpeg::{Decompressor, Error, Image, PixelFormat};

    use crate::thumbnail::decode::{jpeg::MAX_SCANS, zeroed};

    let mut decompressor = Decompressor::new().map_err(ThumbnailError::damaged)?;
    decompressor.set_scan_limit(MAX_SCANS).map_err(ThumbnailError::damaged)?;
    let info = decompressor.read_header(stream).map_err(ThumbnailError::damaged)?;
    let format = match count {
        1 => PixelFormat::GRAY,
        3 => PixelFormat::RGB,
        _ => PixelFormat::CMYK,
    };
    let side = |side: usize| u32::try_from(side).map_err(ThumbnailError::damaged);
    let sides = (side(info.width)?, side(info.height)?);
    let pitch = info.width * format.size();
    if !fits(sides) {
        return Err(ThumbnailError::damaged("a JPEG stream is larger than its strip or tile"));
    }
    let mut bytes = zeroed(pitch as u64 * info.height as u64)?;
    let image = Image { pixels: bytes.as_mut_slice(), width: info.width, pitch, height: info.height, format };
    match decompressor.decompress(stream, image) {
        Ok(()) => Ok((sides, bytes)),
        // Like every message of the library this may be a warning; the pixels are there as far as they go.
        Err(Error::TurboJpegError(message)) => {
            if message.contains("Premature end") {
                // The library fills what is missing with middle grey.
                let is_there = |row: &[u8]| row.iter().any(|sample| *sample != FILLED);
                let rows = bytes.chunks_exact(pitch).rposition(is_there).map_or(0, |last| last + 1);
                bytes.truncate(rows * pitch);
            }
            Ok((sides, bytes))
        }
        Err(error) => Err(ThumbnailError::damaged(error)),
    }
}

/// Sides and samples of a stream.
#[cfg(not(feature = "turbojpeg"))]
fn samples(
    stream: &[u8],
    count: u16,
    fits: impl Fn((u32, u32)) -> bool,
) -> Result<((u32, u32), Vec<u8>), ThumbnailError> {
    use image::{ImageDecoder, codecs::jpeg::JpegDecoder};

    use crate::{probe::UnsupportedKind, thumbnail::decode::zeroed};

    let decoder = JpegDecoder::new(std::io::Cursor::new(stream))?;
    let sides = decoder.dimensions();
    if !fits(sides) {
        return Err(ThumbnailError::damaged("a JPEG stream is larger than its strip or tile"));
    }
    if u16::from(decoder.color_type().channel_count()) != count {
        return Err(UnsupportedKind::RareJpeg.into());
    }
    let mut bytes = zeroed(decoder.total_bytes())?;
    decoder.read_image(&mut bytes)?;
    Ok((sides, bytes))
}
