//! PNG: chunks. The first contains the dimensions; orientation and number of frames come before the pixels.

use std::io::{Read, Seek};

use super::{Orientation, ProbeError, StoredHeader, exif, source::Source};

/// The longest EXIF chunk that is read, in bytes: as long as a JPEG segment.
const MAX_EXIF_BYTES: u32 = 64 * 1024;

/// The checksum at the end of every chunk.
const CRC_BYTES: u64 = 4;

pub(super) fn walk<R: Read + Seek>(source: &mut Source<R>) -> Result<StoredHeader, ProbeError> {
    let _signature: [u8; 8] = source.array()?;
    let (length, kind): (u32, [u8; 4]) = (source.u32_be()?, source.array()?);
    if kind != *b"IHDR" || length != 13 {
        return Err(ProbeError::Damaged("it does not begin with its header"));
    }
    let (width, height) = (source.u32_be()?, source.u32_be()?);
    source.skip(5 + CRC_BYTES)?;
    let mut found = StoredHeader { width, height, orientation: Orientation::Upright, frames: None };
    loop {
        let (length, kind): (u32, [u8; 4]) = (source.u32_be()?, source.array()?);
        match &kind {
            b"IDAT" | b"IEND" => return Ok(found),
            b"eXIf" if length <= MAX_EXIF_BYTES => {
                found.orientation = exif::orientation(&source.up_to(length)?);
                source.skip(CRC_BYTES)?;
            }
            b"acTL" if length == 8 => {
                found.frames = Some(source.u32_be()?);
                source.skip(4 + CRC_BYTES)?;
            }
            _ => source.skip(u64::from(length) + CRC_BYTES)?,
        }
    }
}
