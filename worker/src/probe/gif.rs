//! GIF: the sides are at a fixed place; frames are counted block by block.

use std::io::{Read, Seek};

use super::{Orientation, ProbeError, StoredHeader, source::Source};

/// The first byte of an extension, of a frame, and of the end of the file.
const EXTENSION: u8 = 0x21;
const IMAGE: u8 = 0x2c;
const TRAILER: u8 = 0x3b;

pub(super) fn walk<R: Read + Seek>(source: &mut Source<R>) -> Result<StoredHeader, ProbeError> {
    let [.., w0, w1, h0, h1, flags, _background, _aspect]: [u8; 13] = source.array()?;
    skip_palette(source, flags)?;
    let mut sides = (side(w0, w1), side(h0, h1));
    let mut first = None;
    let frames = count_frames(source, &mut first).ok().flatten();
    if sides.0 == 0 || sides.1 == 0 {
        // As browsers do.
        sides = first.ok_or(ProbeError::Damaged("a side has no pixels"))?;
    }
    Ok(StoredHeader { width: sides.0, height: sides.1, orientation: Orientation::Upright, frames })
}

fn side(low: u8, high: u8) -> u32 {
    u16::from_le_bytes([low, high]).into()
}

fn skip_palette<R: Read + Seek>(source: &mut Source<R>, flags: u8) -> Result<(), ProbeError> {
    if flags & 0x80 == 0 { Ok(()) } else { source.skip(3 << ((flags & 0x07) + 1)) }
}

/// The number of frames; `None` if the file is incomplete or too long to count. Also finds the sides of the first frame.
fn count_frames<R: Read + Seek>(
    source: &mut Source<R>,
    first: &mut Option<(u32, u32)>,
) -> Result<Option<u32>, ProbeError> {
    let mut frames = 0;
    loop {
        match source.array()? {
            [EXTENSION] => source.skip(1)?,
            [IMAGE] => {
                let [_, _, _, _, w0, w1, h0, h1, flags]: [u8; 9] = source.array()?;
                first.get_or_insert((side(w0, w1), side(h0, h1)));
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
