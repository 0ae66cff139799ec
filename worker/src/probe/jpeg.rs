//! JPEG: a row of segments, of which the frame header has the sides. It may come late, after profiles and previews.

use std::io::{Read, Seek};

use super::{Found, Orientation, ProbeError, exif, source::Source};

pub(super) fn walk<R: Read + Seek>(source: &mut Source<R>) -> Result<Found, ProbeError> {
    if source.array()? != [0xff, 0xd8] {
        return Err(ProbeError::Damaged("it does not begin as a JPEG"));
    }
    let mut orientation = None;
    loop {
        let marker = next_marker(source)?;
        match marker {
            // Without parameters.
            0x01 | 0xd0..=0xd7 => continue,
            0xd9 | 0xda => return Err(ProbeError::Damaged("it ends before its frame header")),
            _ => {}
        }
        let Some(length) = source.u16_be()?.checked_sub(2) else {
            return Err(ProbeError::Damaged("a segment is shorter than its length"));
        };
        match marker {
            // Start of frame, of every kind but the tables that share its range.
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                let [_precision, h1, h0, w1, w0] = source.array()?;
                return Ok(Found {
                    width: u16::from_be_bytes([w1, w0]).into(),
                    height: u16::from_be_bytes([h1, h0]).into(),
                    orientation: orientation.unwrap_or(Orientation::UPRIGHT),
                    frames: None,
                });
            }
            0xe1 if orientation.is_none() => {
                let segment = source.up_to(length.into())?;
                orientation = segment.strip_prefix(b"Exif\0\0").map(exif::orientation);
            }
            _ => source.skip(length.into())?,
        }
    }
}

fn next_marker<R: Read + Seek>(source: &mut Source<R>) -> Result<u8, ProbeError> {
    let [mut byte] = source.array()?;
    if byte != 0xff {
        return Err(ProbeError::Damaged("a segment does not begin with a marker"));
    }
    // Any number of fill bytes may stand before a marker.
    while byte == 0xff {
        [byte] = source.array()?;
    }
    Ok(byte)
}
