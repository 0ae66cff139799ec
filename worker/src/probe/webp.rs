//! WebP: chunks of a RIFF file. An extended file has the sides first, and may have orientation and frames behind.

use std::io::{Read, Seek};

use super::{Found, Orientation, ProbeError, exif, source::Source};

/// The longest EXIF chunk that is read, in bytes: what a JPEG segment could hold.
const MAX_EXIF_BYTES: u32 = 64 * 1024;

/// The bit of an extended header that says that there is EXIF.
const HAS_EXIF: u8 = 0x08;
/// The bit of an extended header that says that there are frames.
const IS_ANIMATED: u8 = 0x02;

pub(super) fn walk<R: Read + Seek>(source: &mut Source<R>) -> Result<Found, ProbeError> {
    let _riff: [u8; 12] = source.array()?;
    let (kind, length) = chunk(source)?;
    let upright = |width, height| Found { width, height, orientation: Orientation::UPRIGHT, frames: None };
    match &kind {
        b"VP8 " => {
            let [_, _, _, start @ .., w0, w1, h0, h1]: [u8; 10] = source.array()?;
            if start != [0x9d, 0x01, 0x2a] {
                return Err(ProbeError::Damaged("its frame does not begin as one"));
            }
            // The upper two bits scale the picture for display, which nobody honours.
            let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
            Ok(upright(side(w0, w1), side(h0, h1)))
        }
        b"VP8L" => {
            let [signature, bits @ ..]: [u8; 5] = source.array()?;
            if signature != 0x2f {
                return Err(ProbeError::Damaged("its frame does not begin as one"));
            }
            let bits = u32::from_le_bytes(bits);
            Ok(upright((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1))
        }
        b"VP8X" => extended(source, length),
        _ => Err(ProbeError::Damaged("it does not begin with a frame")),
    }
}

fn extended<R: Read + Seek>(source: &mut Source<R>, length: u32) -> Result<Found, ProbeError> {
    let [flags, _, _, _, w0, w1, w2, h0, h1, h2]: [u8; 10] = source.array()?;
    let side = |bytes: [u8; 3]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]) + 1;
    let mut found = Found {
        width: side([w0, w1, w2]),
        height: side([h0, h1, h2]),
        orientation: Orientation::UPRIGHT,
        frames: None,
    };
    source.skip(padded(length).saturating_sub(10))?;
    let (wants_exif, is_animated) = (flags & HAS_EXIF != 0, flags & IS_ANIMATED != 0);
    if wants_exif || is_animated {
        // What stands behind the pixels is welcome and not needed: a file that is cut short there is still one.
        let _ = walk_behind(source, wants_exif, is_animated, &mut found);
    }
    Ok(found)
}

fn walk_behind<R: Read + Seek>(
    source: &mut Source<R>,
    wants_exif: bool,
    is_animated: bool,
    found: &mut Found,
) -> Result<(), ProbeError> {
    let mut frames = 0;
    loop {
        let (kind, length) = match chunk(source) {
            Ok(chunk) => chunk,
            Err(end) => {
                found.frames = is_animated.then_some(frames);
                return Err(end);
            }
        };
        match &kind {
            b"EXIF" if wants_exif && length <= MAX_EXIF_BYTES => {
                let exif = source.up_to(length)?;
                found.orientation = exif::orientation(exif.strip_prefix(b"Exif\0\0").unwrap_or(&exif));
                source.skip(padded(length) - u64::from(length))?;
            }
            kind => {
                frames += u32::from(kind == b"ANMF");
                source.skip(padded(length))?;
            }
        }
    }
}

fn chunk<R: Read + Seek>(source: &mut Source<R>) -> Result<([u8; 4], u32), ProbeError> {
    let [a, b, c, d, length @ ..]: [u8; 8] = source.array()?;
    Ok(([a, b, c, d], u32::from_le_bytes(length)))
}

/// Chunks begin at even places.
fn padded(length: u32) -> u64 {
    u64::from(length).next_multiple_of(2)
}
