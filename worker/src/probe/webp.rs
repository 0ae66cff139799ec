//! WebP: chunks of a RIFF file. An extended file contains the dimensions first; orientation and frames may follow.

use std::io::{Read, Seek};

use super::{Orientation, ProbeError, StoredHeader, exif, source::Source};

/// The longest EXIF chunk that is read, in bytes: as long as a JPEG segment.
const MAX_EXIF_BYTES: u32 = 64 * 1024;

/// The name and length before every chunk, the outermost included.
const CHUNK_HEADER_BYTES: u64 = 8;
/// The offset of the first chunk's content.
const FIRST_CHUNK_END: u64 = 20;

/// The bit of an extended header for EXIF.
const HAS_EXIF: u8 = 0x08;
/// The bit of an extended header for an animation.
const IS_ANIMATED: u8 = 0x02;

pub(super) fn walk<R: Read + Seek>(source: &mut Source<R>) -> Result<StoredHeader, ProbeError> {
    let [_riff, riff_bytes, _webp]: [[u8; 4]; 3] = [source.array()?, source.array()?, source.array()?];
    let file_bytes = u64::from(u32::from_le_bytes(riff_bytes)) + CHUNK_HEADER_BYTES;
    let (kind, length) = chunk(source)?;
    let upright =
        |width, height| StoredHeader { width, height, orientation: Orientation::Upright, frames: None };
    match &kind {
        b"VP8 " => {
            let [_, _, _, start @ .., w0, w1, h0, h1]: [u8; 10] = source.array()?;
            if start != [0x9d, 0x01, 0x2a] {
                return Err(ProbeError::Damaged("its frame has a wrong signature"));
            }
            // The upper two bits scale the picture for display. Decoders ignore them.
            let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
            Ok(upright(side(w0, w1), side(h0, h1)))
        }
        b"VP8L" => {
            let [signature, bits @ ..]: [u8; 5] = source.array()?;
            if signature != 0x2f {
                return Err(ProbeError::Damaged("its frame has a wrong signature"));
            }
            let bits = u32::from_le_bytes(bits);
            Ok(upright((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1))
        }
        b"VP8X" => extended(source, length, file_bytes),
        _ => Err(ProbeError::Damaged("it does not begin with a frame")),
    }
}

fn extended<R: Read + Seek>(
    source: &mut Source<R>,
    length: u32,
    file_bytes: u64,
) -> Result<StoredHeader, ProbeError> {
    let [flags, _, _, _, w0, w1, w2, h0, h1, h2]: [u8; 10] = source.array()?;
    let side = |bytes: [u8; 3]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]) + 1;
    let mut found = StoredHeader {
        width: side([w0, w1, w2]),
        height: side([h0, h1, h2]),
        orientation: Orientation::Upright,
        frames: None,
    };
    source.skip(padded(length).saturating_sub(10))?;
    if flags & HAS_EXIF == 0 && flags & IS_ANIMATED == 0 {
        return Ok(found);
    }
    let mut walked = FIRST_CHUNK_END + padded(length);
    let mut frames = 0;
    while walked < file_bytes {
        // A file with too many chunks is still valid; the orientation of a truncated file is unknown.
        let (kind, length) = match chunk(source) {
            Err(ProbeError::TooManyParts) => return Ok(found),
            chunk => chunk?,
        };
        walked += CHUNK_HEADER_BYTES + padded(length);
        if &kind == b"EXIF" && length <= MAX_EXIF_BYTES {
            found.orientation = exif::orientation(&source.up_to(length)?);
            source.skip(padded(length) - u64::from(length))?;
        } else {
            frames += u32::from(&kind == b"ANMF");
            source.skip(padded(length))?;
        }
    }
    found.frames = (flags & IS_ANIMATED != 0).then_some(frames);
    Ok(found)
}

fn chunk<R: Read + Seek>(source: &mut Source<R>) -> Result<([u8; 4], u32), ProbeError> {
    let [a, b, c, d, length @ ..]: [u8; 8] = source.array()?;
    Ok(([a, b, c, d], u32::from_le_bytes(length)))
}

/// Chunks start at even offsets.
fn padded(length: u32) -> u64 {
    u64::from(length).next_multiple_of(2)
}
