//! GIF: the sides are at a fixed place; frames are counted block by block.

use std::io::{Read, Seek};

use super::{Orientation, ProbeError, StoredHeader, source::Source};

/// The first byte of an extension, of a frame, and of the end of the file.
const EXTENSION: u8 = 0x21;
const IMAGE: u8 = 0x2c;
const TRAILER: u8 = 0x3b;

pub(super) fn walk<R: Read + Seek>(source: &mut Source<R>) -> Result<StoredHeader, ProbeError> {
    let [.., w0, w1, h0, h1, flags, _background, _aspect]: [u8; 13] = source.array()?;
    let side = |low, high| u32::from(u16::from_le_bytes([low, high]));
    skip_palette(source, flags)?;
    let frames = count_frames(source).ok().flatten();
    Ok(StoredHeader { width: side(w0, w1), height: side(h0, h1), orientation: Orientation::Upright, frames })
}

fn skip_palette<R: Read + Seek>(source: &mut Source<R>, flags: u8) -> Result<(), ProbeError> {
    if flags & 0x80 == 0 { Ok(()) } else { source.skip(3 << ((flags & 0x07) + 1)) }
}

/// The number of frames; `None` if the file is incomplete or too long to count.
fn count_frames<R: Read + Seek>(source: &mut Source<R>) -> Result<Option<u32>, ProbeError> {
    let mut frames = 0;
    loop {
        match source.array()? {
            [EXTENSION] => source.skip(1)?,
            [IMAGE] => {
                let [.., flags]: [u8; 9] = source.array()?;
                skip_palette(source, flags)?;
                // The minimum code size.
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
