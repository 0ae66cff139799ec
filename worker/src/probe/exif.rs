//! TIFF directories: the structure of TIFF files and of EXIF blocks.

use std::io::{Cursor, Read, Seek, SeekFrom};

use super::{Orientation, ProbeError, StoredHeader, source::Source};

/// The most pages that are counted. The number of a longer or circular document stays unknown.
const MAX_PAGES: u32 = 256;

/// Bytes of an entry of a directory.
const ENTRY_BYTES: u64 = 12;

/// Entries of a directory that are read. Cameras write some dozens.
const MAX_ENTRIES: u16 = 1024;

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const ORIENTATION: u16 = 274;

const SHORT: u16 = 3;
const LONG: u16 = 4;

/// How JPEG, and by mistake some writers of WebP and PNG, mark an EXIF block; a byte of padding follows.
pub(super) const PREFIX: &[u8] = b"Exif\0";

/// The orientation in an EXIF block, with or without its prefix; upright if it has none or is broken.
pub(super) fn orientation(exif: &[u8]) -> Orientation {
    let exif = exif.strip_prefix(PREFIX).map_or(exif, |rest| rest.get(1..).unwrap_or_default());
    let directory = first_directory(&mut Source::new(Cursor::new(exif)));
    directory.map_or(Orientation::Upright, |directory| directory.orientation)
}

/// The first picture of a TIFF file.
pub(super) fn tiff<R: Read + Seek>(source: &mut Source<R>) -> Result<StoredHeader, ProbeError> {
    let directory = first_directory(source)?;
    match (directory.width, directory.height) {
        (Some(width), Some(height)) => {
            let frames = count_pages(source, directory.order, directory.next);
            Ok(StoredHeader { width, height, orientation: directory.orientation, frames })
        }
        _ => Err(ProbeError::Damaged("its dimensions are missing")),
    }
}

/// The length of the chain of directories; `None` if it is too long, loops or breaks.
fn count_pages<R: Read + Seek>(source: &mut Source<R>, order: Order, mut next: u32) -> Option<u32> {
    let mut pages = 1;
    while next != 0 {
        pages += 1;
        if pages > MAX_PAGES {
            return None;
        }
        source.seek(SeekFrom::Start(next.into())).ok()?;
        let entries = order.u16(source.array().ok()?);
        source.skip(u64::from(entries) * ENTRY_BYTES).ok()?;
        next = order.u32(source.array().ok()?);
    }
    Some(pages)
}

struct Directory {
    order: Order,
    /// The offset of the next directory; zero after the last.
    next: u32,
    width: Option<u32>,
    height: Option<u32>,
    orientation: Orientation,
}

/// The order of bytes in all numbers of a file.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    const fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    const fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }
}

fn first_directory<R: Read + Seek>(source: &mut Source<R>) -> Result<Directory, ProbeError> {
    let order = match source.array()? {
        [b'I', b'I', 42, 0] => Order::Little,
        [b'M', b'M', 0, 42] => Order::Big,
        _ => return Err(ProbeError::Damaged("it does not begin as a TIFF")),
    };
    let at = order.u32(source.array()?);
    source.seek(SeekFrom::Start(at.into()))?;
    let entries = order.u16(source.array()?);
    if entries > MAX_ENTRIES {
        return Err(ProbeError::Damaged("its directory has too many entries"));
    }
    let mut directory =
        Directory { order, next: 0, width: None, height: None, orientation: Orientation::Upright };
    for _ in 0..entries {
        let [t0, t1, k0, k1, c0, c1, c2, c3, v0, v1, v2, v3]: [u8; 12] = source.array()?;
        let (tag, kind, count) = (order.u16([t0, t1]), order.u16([k0, k1]), order.u32([c0, c1, c2, c3]));
        let value = match kind {
            SHORT if count == 1 => u32::from(order.u16([v0, v1])),
            LONG if count == 1 => order.u32([v0, v1, v2, v3]),
            _ => continue,
        };
        match tag {
            WIDTH => directory.width = Some(value),
            HEIGHT => directory.height = Some(value),
            ORIENTATION => directory.orientation = Orientation::from_tag(value),
            _ => {}
        }
    }
    // EXIF blocks are often cut off here, and their next directory is not used.
    directory.next = source.array().map_or(0, |next| order.u32(next));
    Ok(directory)
}
