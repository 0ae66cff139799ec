//! Decompresses strips and tiles. What is damaged or cut short is decompressed as far as it goes.

use std::{borrow::Cow, io::Read};

use flate2::{Decompress, FlushDecompress};
use weezl::{BitOrder, LzwStatus, decode::Decoder};

use super::{demand::Demand, fax, jpeg};
use crate::{
    probe::tiff::{Compression, Order, Predictor},
    thumbnail::{ThumbnailError, decode::zeroed},
};

/// The decompressed bytes: as many as are demanded, or fewer.
pub(super) fn decompress<'a>(stored: &'a [u8], demand: &Demand) -> Result<Cow<'a, [u8]>, ThumbnailError> {
    let compression = demand.page.compression;
    // Within a JPEG stream, no tag changes the order of bits.
    let stored = if demand.page.is_reversed && compression != Compression::Jpeg {
        Cow::Owned(stored.iter().map(|byte| byte.reverse_bits()).collect())
    } else {
        Cow::Borrowed(stored)
    };
    let mut bytes = match compression {
        Compression::None => {
            let length = demand.bytes.min(stored.len());
            return Ok(match stored {
                Cow::Borrowed(stored) => Cow::Borrowed(&stored[..length]),
                Cow::Owned(mut stored) => {
                    stored.truncate(length);
                    Cow::Owned(stored)
                }
            });
        }
        Compression::FaxRows => fax::decode(&stored, demand.sides, fax::Scheme::Rows)?,
        Compression::FaxGroup3 => {
            let scheme = fax::Scheme::Group3 { is_two_dimensional: demand.is_two_dimensional };
            fax::decode(&stored, demand.sides, scheme)?
        }
        Compression::FaxGroup4 => fax::decode(&stored, demand.sides, fax::Scheme::Group4)?,
        Compression::Jpeg => jpeg::decode(&stored, demand)?,
        Compression::Lzw => into(demand.bytes, |to| lzw(&stored, to))?,
        Compression::Deflate => into(demand.bytes, |to| deflate(&stored, to))?,
        Compression::PackBits => into(demand.bytes, |to| pack_bits(&stored, to))?,
        Compression::Zstd => into(demand.bytes, |to| zstd(&stored, to))?,
    };
    match demand.predictor() {
        Predictor::None => {}
        Predictor::Horizontal => {
            bytes.chunks_mut(demand.stride).for_each(|row| add_left(row, demand));
        }
        Predictor::Float => {
            bytes.chunks_mut(demand.stride).for_each(|row| join_floats(row, demand));
        }
    }
    Ok(Cow::Owned(bytes))
}

/// A buffer of this length, cut to what `fill` reports as filled.
fn into(length: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> Result<Vec<u8>, ThumbnailError> {
    let mut bytes = zeroed(length as u64)?;
    let filled = fill(&mut bytes);
    bytes.truncate(filled);
    Ok(bytes)
}

fn lzw(stored: &[u8], to: &mut [u8]) -> usize {
    // Writers before TIFF 6.0 began with the lowest bit; then the first code, "clear", begins with these two bytes.
    let mut decoder = match stored {
        [0, 1, ..] => Decoder::new(BitOrder::Lsb, 8),
        _ => Decoder::with_tiff_size_switch(BitOrder::Msb, 8),
    };
    let (mut read, mut filled) = (0, 0);
    while filled < to.len() {
        let step = decoder.decode_bytes(&stored[read..], &mut to[filled..]);
        read += step.consumed_in;
        filled += step.consumed_out;
        if !matches!(step.status, Ok(LzwStatus::Ok)) || (step.consumed_in, step.consumed_out) == (0, 0) {
            break;
        }
    }
    filled
}

fn deflate(stored: &[u8], to: &mut [u8]) -> usize {
    let mut stream = Decompress::new(true);
    // An error leaves what came before it.
    let _ = stream.decompress(stored, to, FlushDecompress::Finish);
    usize::try_from(stream.total_out()).map_or(to.len(), |filled| filled.min(to.len()))
}

fn zstd(stored: &[u8], to: &mut [u8]) -> usize {
    let Ok(mut stream) = ruzstd::decoding::StreamingDecoder::new(stored) else { return 0 };
    let mut filled = 0;
    while filled < to.len() {
        match stream.read(&mut to[filled..]) {
            Ok(0) | Err(_) => break,
            Ok(read) => filled += read,
        }
    }
    filled
}

/// TIFF 6.0, section 9.
fn pack_bits(mut stored: &[u8], to: &mut [u8]) -> usize {
    let mut filled = 0;
    while let [header, rest @ ..] = stored {
        let left = &mut to[filled..];
        if left.is_empty() {
            break;
        }
        match *header {
            literal @ 0..=127 => {
                let length = (usize::from(literal) + 1).min(rest.len());
                let copied = length.min(left.len());
                left[..copied].copy_from_slice(&rest[..copied]);
                filled += copied;
                stored = &rest[length..];
            }
            128 => stored = rest,
            repeat => {
                let [byte, rest @ ..] = rest else { break };
                let length = (257 - usize::from(repeat)).min(left.len());
                left[..length].fill(*byte);
                filled += length;
                stored = rest;
            }
        }
    }
    filled
}

/// Adds to each sample the one to its left (TIFF 6.0, section 14).
fn add_left(row: &mut [u8], demand: &Demand) {
    let samples = usize::from(demand.samples);
    macro_rules! add {
        ($number:ty, $width:literal) => {{
            let values: &mut [[u8; $width]] = row.as_chunks_mut().0;
            for index in samples..values.len() {
                let (left, value) = (values[index - samples], values[index]);
                values[index] = match demand.order {
                    Order::Little => <$number>::from_le_bytes(left)
                        .wrapping_add(<$number>::from_le_bytes(value))
                        .to_le_bytes(),
                    Order::Big => <$number>::from_be_bytes(left)
                        .wrapping_add(<$number>::from_be_bytes(value))
                        .to_be_bytes(),
                };
            }
        }};
    }
    match demand.page.bits {
        8 => {
            for index in samples..row.len() {
                row[index] = row[index].wrapping_add(row[index - samples]);
            }
        }
        16 => add!(u16, 2),
        32 => add!(u32, 4),
        _ => add!(u64, 8),
    }
}

/// Adds to each byte the one to its left, then puts together the bytes of each number: the row holds the highest bytes of
/// all numbers, then the next ones (TIFF Technical Note 3).
fn join_floats(row: &mut [u8], demand: &Demand) {
    let samples = usize::from(demand.samples);
    for index in samples..row.len() {
        row[index] = row[index].wrapping_add(row[index - samples]);
    }
    let width = usize::from(demand.page.bits / 8);
    let count = row.len() / width;
    let apart = row.to_vec();
    for (index, number) in row.chunks_exact_mut(width).enumerate() {
        for (place, byte) in number.iter_mut().enumerate() {
            let plane = if demand.order == Order::Big { place } else { width - 1 - place };
            *byte = apart[plane * count + index];
        }
    }
}
