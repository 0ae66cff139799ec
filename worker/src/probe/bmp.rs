//! BMP: the sides are at a fixed place of the second header.

use std::io::{Read, Seek};

use super::{Orientation, ProbeError, StoredHeader, source::Source};

pub(super) fn walk<R: Read + Seek>(source: &mut Source<R>) -> Result<StoredHeader, ProbeError> {
    let _file_header: [u8; 14] = source.array()?;
    let header_bytes = u32::from_le_bytes(source.array()?);
    let (width, height) = if header_bytes == 12 {
        let [w0, w1, h0, h1] = source.array()?;
        (u16::from_le_bytes([w0, w1]).into(), u16::from_le_bytes([h0, h1]).into())
    } else {
        let (width, height) = (i32::from_le_bytes(source.array()?), i32::from_le_bytes(source.array()?));
        // A negative height counts rows from the top; a negative width means nothing.
        let width = u32::try_from(width).map_err(|_| ProbeError::Damaged("its width is negative"))?;
        (width, height.unsigned_abs())
    };
    Ok(StoredHeader { width, height, orientation: Orientation::Upright, frames: None })
}
