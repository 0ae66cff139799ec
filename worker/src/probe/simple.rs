//! GIF and BMP: the sides stand at a fixed place.

use std::io::{Read, Seek};

use super::{Found, Orientation, ProbeError, source::Source};

/// What begins an extension, a frame, and the end of a GIF.
const EXTENSION: u8 = 0x21;
const IMAGE: u8 = 0x2c;
const TRAILER: u8 = 0x3b;

pub(super) fn gif<R: Read + Seek>(source: &mut Source<R>) -> Result<Found, ProbeError> {
    let [.., w0, w1, h0, h1, flags, _background, _aspect]: [u8; 13] = source.array()?;
    let side = |low, high| u32::from(u16::from_le_bytes([low, high]));
    skip_palette(source, flags)?;
    let frames = count_frames(source).ok().flatten();
    Ok(Found { width: side(w0, w1), height: side(h0, h1), orientation: Orientation::Upright, frames })
}

fn skip_palette<R: Read + Seek>(source: &mut Source<R>, flags: u8) -> Result<(), ProbeError> {
    if flags & 0x80 == 0 { Ok(()) } else { source.skip(3 << ((flags & 0x07) + 1)) }
}

/// How many frames there are; nothing if the file is not whole, or so long that counting is not cheap.
fn count_frames<R: Read + Seek>(source: &mut Source<R>) -> Result<Option<u32>, ProbeError> {
    let mut frames = 0;
    loop {
        match source.array()? {
            [EXTENSION] => source.skip(1)?,
            [IMAGE] => {
                let [.., flags]: [u8; 9] = source.array()?;
                skip_palette(source, flags)?;
                // The least size of a code.
                source.skip(1)?;
                frames += 1;
            }
            [TRAILER] => return Ok(Some(frames).filter(|frames| *frames > 0)),
            _ => return Ok(None),
        }
        loop {
            match source.array()? {
                [0] => break,
                [length] => source.skip(length.into())?,
            }
        }
    }
}

pub(super) fn bmp<R: Read + Seek>(source: &mut Source<R>) -> Result<Found, ProbeError> {
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
    Ok(Found { width, height, orientation: Orientation::Upright, frames: None })
}
