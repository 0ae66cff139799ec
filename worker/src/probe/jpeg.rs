//! JPEG: a list of segments. The frame header contains the dimensions; it may come late, after profiles and previews.

use std::io::{Read, Seek};

use super::{Orientation, ProbeError, StoredHeader, UnsupportedKind, exif, source::Source};

pub(super) fn walk<R: Read + Seek>(source: &mut Source<R>) -> Result<StoredHeader, ProbeError> {
    if source.array()? != [0xff, 0xd8] {
        return Err(ProbeError::Damaged("it does not begin as a JPEG"));
    }
    let (mut sides, mut orientation) = (None, None);
    loop {
        let marker = next_marker(source)?;
        match marker {
            // Without parameters.
            0x01 | 0xd0..=0xd8 => continue,
            0xd9 | 0xda => break,
            _ => {}
        }
        let Some(length) = source.u16_be()?.checked_sub(2) else {
            return Err(ProbeError::Damaged("a segment is shorter than its length"));
        };
        match marker {
            // Start of frame, of every kind, without the tables that share its range.
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf if sides.is_none() => {
                let [precision, h1, h0, w1, w0] = source.array()?;
                match marker {
                    0xc5..=0xc7 | 0xcd..=0xcf => return Err(UnsupportedKind::HierarchicalJpeg.into()),
                    _ if precision > 8 => return Err(UnsupportedKind::DeepJpeg.into()),
                    _ => {}
                }
                sides = Some((u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0])));
                source.skip(u64::from(length).saturating_sub(5))?;
            }
            0xf7 => return Err(UnsupportedKind::JpegLs.into()),
            0xde => return Err(UnsupportedKind::HierarchicalJpeg.into()),
            0xe1 if orientation.is_none() => {
                let segment = source.up_to(length.into())?;
                orientation = segment.starts_with(exif::PREFIX).then(|| exif::orientation(&segment));
            }
            _ => source.skip(length.into())?,
        }
    }
    let (width, height) = sides.ok_or(ProbeError::Damaged("it ends before its frame header"))?;
    let orientation = orientation.unwrap_or(Orientation::Upright);
    Ok(StoredHeader { width: width.into(), height: height.into(), orientation, frames: None })
}

/// The byte after the next 0xff that is neither fill nor a stuffed zero. Bytes between segments are skipped, as
/// decoders do.
fn next_marker<R: Read + Seek>(source: &mut Source<R>) -> Result<u8, ProbeError> {
    loop {
        while source.array()? != [0xff] {}
        let mut byte = 0xff;
        while byte == 0xff {
            [byte] = source.array()?;
        }
        if byte != 0 {
            return Ok(byte);
        }
    }
}
