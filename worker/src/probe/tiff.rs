//! TIFF files (TIFF 6.0) and BigTIFF: a chain of directories, each a page. EXIF blocks have the same structure.
//!
//! Web server and decoder read directories by the same code, so that both see the same page.

mod page;
pub(crate) mod tag;

use std::io::{Read, Seek, SeekFrom};

pub(crate) use self::page::{Alpha, Colour, Compression, Page, Predictor};
use super::{Orientation, ProbeError, StoredHeader, UnsupportedKind, source::Source};

/// The most pages that are counted. The number of a longer or circular document stays unknown.
const MAX_PAGES: u32 = 256;

/// Entries of a directory that are read. Cameras write some dozens.
const MAX_ENTRIES: u64 = 1024;

/// Directories below a page that are looked at. Cameras write up to four.
const MAX_CHILDREN: usize = 16;

/// Bytes of a manufacturer's name that are read.
const MAX_MAKE_BYTES: u64 = 64;

/// Values of the photometric tag of a sensor's raw mosaic, and of raw pixels without one.
const COLOUR_FILTER_ARRAY: u64 = 32803;
const LINEAR_RAW: u64 = 34892;

/// Bits of the new subfile type: a smaller version of another page, and a mask for another page.
const IS_REDUCED: u64 = 1;
const IS_MASK: u64 = 4;

/// The old subfile type of a smaller version.
const OLD_REDUCED: u64 = 2;

/// The main page of a TIFF file.
pub(super) fn walk<R: Read + Seek>(source: Source<R>) -> Result<StoredHeader, ProbeError> {
    let mut tiff = Tiff::open(source)?;
    let (page, frames) = tiff.main_page()?;
    let Page { width, height, .. } = Page::read(&mut tiff, &page)?;
    Ok(StoredHeader { width, height, orientation: tiff.orientation(&page), frames })
}

/// The order of bytes in all numbers of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    pub(crate) const fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    pub(crate) const fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    pub(crate) const fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(bytes),
            Self::Big => u64::from_be_bytes(bytes),
        }
    }
}

/// A directory: the description of a page.
#[derive(Debug)]
pub(crate) struct Directory {
    entries: Vec<Entry>,
    /// The offset of the next directory; zero after the last.
    next: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    tag: u16,
    kind: u16,
    count: u64,
    /// The values, or the offset of them if they are longer.
    value: [u8; 8],
}

impl Directory {
    /// Whether it has this tag.
    pub(crate) fn has(&self, tag: u16) -> bool {
        self.entry(tag).is_some()
    }

    fn entry(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }
}

/// An open file.
pub(crate) struct Tiff<R> {
    source: Source<R>,
    /// The order of bytes.
    pub(crate) order: Order,
    is_big: bool,
    first: u64,
}

impl<R: Read + Seek> Tiff<R> {
    /// Reads the beginning of a file.
    pub(crate) fn open(mut source: Source<R>) -> Result<Self, ProbeError> {
        let (order, is_big) = match source.array()? {
            [b'I', b'I', 42, 0] => (Order::Little, false),
            [b'M', b'M', 0, 42] => (Order::Big, false),
            [b'I', b'I', 43, 0] => (Order::Little, true),
            [b'M', b'M', 0, 43] => (Order::Big, true),
            _ => return Err(ProbeError::Damaged("it does not begin as a TIFF")),
        };
        let first = if is_big {
            // The size of offsets, always 8, and two bytes of padding.
            let _: [u8; 4] = source.array()?;
            order.u64(source.array()?)
        } else {
            order.u32(source.array()?).into()
        };
        Ok(Self { source, order, is_big, first })
    }

    /// The first directory.
    pub(crate) fn first(&mut self) -> Result<Directory, ProbeError> {
        self.directory(self.first)
    }

    fn directory(&mut self, at: u64) -> Result<Directory, ProbeError> {
        self.source.seek(SeekFrom::Start(at))?;
        let (count, entry_bytes) = if self.is_big {
            (self.order.u64(self.source.array()?), 20)
        } else {
            (self.order.u16(self.source.array()?).into(), 12)
        };
        if count > MAX_ENTRIES {
            return Err(ProbeError::Damaged("its directory has too many entries"));
        }
        let length = u32::try_from(count).unwrap_or(u32::MAX).saturating_mul(entry_bytes);
        let bytes = self.source.up_to(length)?;
        if bytes.len() < length as usize {
            return Err(ProbeError::Damaged("it is cut short"));
        }
        let entries = bytes.chunks_exact(entry_bytes as usize).map(|entry| self.entry(entry)).collect();
        // EXIF blocks are often cut off here, and their next directory is not used.
        let next = if self.is_big {
            self.source.array().map_or(0, |next| self.order.u64(next))
        } else {
            self.source.array().map_or(0, |next| self.order.u32(next).into())
        };
        Ok(Directory { entries, next })
    }

    fn entry(&self, bytes: &[u8]) -> Entry {
        let order = self.order;
        let (tag, kind) = (order.u16([bytes[0], bytes[1]]), order.u16([bytes[2], bytes[3]]));
        let mut value = [0; 8];
        let count = if self.is_big {
            value.copy_from_slice(&bytes[12..20]);
            let mut count = [0; 8];
            count.copy_from_slice(&bytes[4..12]);
            order.u64(count)
        } else {
            value[..4].copy_from_slice(&bytes[8..12]);
            order.u32([bytes[4], bytes[5], bytes[6], bytes[7]]).into()
        };
        Entry { tag, kind, count, value }
    }

    /// The page that is shown, and the number of pages. A page that says of itself that it is a smaller version or a mask
    /// is passed over, also for a page below the first one.
    pub(crate) fn main_page(&mut self) -> Result<(Directory, Option<u32>), ProbeError> {
        let first = self.first()?;
        self.refuse_raw(&first)?;
        if self.is_main(&first) {
            let next = first.next;
            return Ok((first, self.count_pages(next, 1)));
        }
        let mut next = first.next;
        for _ in 1..MAX_PAGES {
            if next == 0 {
                break;
            }
            let page = self.directory(next)?;
            next = page.next;
            if self.is_main(&page) {
                return Ok((page, self.count_pages(next, 1)));
            }
        }
        for child in self.children(&first)? {
            let page = self.directory(child)?;
            if self.is_main(&page) {
                return Ok((page, Some(1)));
            }
        }
        Ok((first, Some(1)))
    }

    /// Whether a page is a picture of its own.
    fn is_main(&mut self, page: &Directory) -> bool {
        let mut number = |tag| self.number(page, tag).ok().flatten().unwrap_or(0);
        number(tag::NEW_SUBFILE_TYPE) & (IS_REDUCED | IS_MASK) == 0
            && number(tag::SUBFILE_TYPE) != OLD_REDUCED
            && number(tag::WIDTH) != 0
            && number(tag::HEIGHT) != 0
    }

    /// The number of pages of the chain; `None` if it is too long, loops or breaks.
    fn count_pages(&mut self, mut next: u64, mut pages: u32) -> Option<u32> {
        let mut seen = 1;
        while next != 0 {
            seen += 1;
            if seen > MAX_PAGES {
                return None;
            }
            let page = self.directory(next).ok()?;
            pages += u32::from(self.is_main(&page));
            next = page.next;
        }
        Some(pages)
    }

    /// The offsets of the directories below a page.
    fn children(&mut self, page: &Directory) -> Result<Vec<u64>, ProbeError> {
        let mut children = self.numbers(page, tag::CHILDREN, u64::from(MAX_PAGES))?.unwrap_or_default();
        children.truncate(MAX_CHILDREN);
        Ok(children)
    }

    /// Refuses a camera's raw file by its name. It holds the values of a sensor, and previews.
    fn refuse_raw(&mut self, first: &Directory) -> Result<(), ProbeError> {
        if first.has(tag::DNG_VERSION) {
            return Err(ProbeError::Other("a camera raw file (DNG)"));
        }
        let make = self.bytes(first, tag::MAKE, MAX_MAKE_BYTES).ok().flatten();
        let mut is_raw = self.is_mosaic(first);
        if make.is_some() && !is_raw {
            for child in self.children(first)? {
                let child = self.directory(child)?;
                is_raw |= self.is_mosaic(&child);
            }
        }
        let make = make.unwrap_or_default().to_ascii_uppercase();
        Err(ProbeError::Other(match make {
            _ if !is_raw => return Ok(()),
            make if make.starts_with(b"NIKON") => "a camera raw file (NEF)",
            make if make.starts_with(b"SONY") => "a camera raw file (ARW)",
            _ => "a camera raw file",
        }))
    }

    fn is_mosaic(&mut self, page: &Directory) -> bool {
        let photometric = self.number(page, tag::PHOTOMETRIC).ok().flatten();
        matches!(photometric, Some(COLOUR_FILTER_ARRAY | LINEAR_RAW))
    }

    /// Width and height of a page, as stored.
    pub(crate) fn sides(&mut self, page: &Directory) -> Result<(u32, u32), ProbeError> {
        let side = |number: Option<u64>| number.and_then(|number| u32::try_from(number).ok());
        let sides = (side(self.number(page, tag::WIDTH)?), side(self.number(page, tag::HEIGHT)?));
        let (Some(width), Some(height)) = sides else {
            return Err(ProbeError::Damaged("its dimensions are missing"));
        };
        Ok((width, height))
    }

    /// The orientation of a page.
    pub(crate) fn orientation(&mut self, page: &Directory) -> Orientation {
        let value = self.number(page, tag::ORIENTATION).ok().flatten();
        Orientation::from_tag(value.and_then(|value| u32::try_from(value).ok()).unwrap_or(0))
    }

    /// The first number of a tag; `None` without the tag.
    pub(crate) fn number(&mut self, page: &Directory, tag: u16) -> Result<Option<u64>, ProbeError> {
        let Some(entry) = page.entry(tag) else { return Ok(None) };
        if entry.count == 0 {
            return Ok(None);
        }
        let bytes = self.values(entry, size(entry.kind))?;
        Ok(self.unsigned(entry.kind, &bytes).next())
    }

    /// The numbers of a tag, at most `most`; `None` without the tag.
    pub(crate) fn numbers(
        &mut self,
        page: &Directory,
        tag: u16,
        most: u64,
    ) -> Result<Option<Vec<u64>>, ProbeError> {
        let Some(&entry) = page.entry(tag) else { return Ok(None) };
        if entry.count > most {
            return Err(ProbeError::Damaged("a list in its directory is too long"));
        }
        let bytes = self.values(&entry, entry.count.saturating_mul(size(entry.kind)))?;
        Ok(Some(self.unsigned(entry.kind, &bytes).collect()))
    }

    /// The fractions of a tag, at most `most`; `None` without the tag.
    pub(crate) fn fractions(
        &mut self,
        page: &Directory,
        tag: u16,
        most: u64,
    ) -> Result<Option<Vec<f64>>, ProbeError> {
        const RATIONAL: u16 = 5;
        let Some(&entry) = page.entry(tag).filter(|entry| entry.kind == RATIONAL && entry.count <= most)
        else {
            return Ok(None);
        };
        let bytes = self.values(&entry, entry.count * size(RATIONAL))?;
        let order = self.order;
        let fraction = |&[a, b, c, d, e, f, g, h]: &[u8; 8]| {
            f64::from(order.u32([a, b, c, d])) / f64::from(order.u32([e, f, g, h]))
        };
        Ok(Some(bytes.as_chunks().0.iter().map(fraction).collect()))
    }

    /// The bytes of a tag, at most `most`; `None` without the tag.
    pub(crate) fn bytes(
        &mut self,
        page: &Directory,
        tag: u16,
        most: u64,
    ) -> Result<Option<Vec<u8>>, ProbeError> {
        let Some(&entry) = page.entry(tag) else { return Ok(None) };
        let length = entry.count.saturating_mul(size(entry.kind));
        if length > most {
            return Err(ProbeError::Damaged("an entry of its directory is too long"));
        }
        self.values(&entry, length).map(Some)
    }

    const fn inline_bytes(&self) -> u64 {
        if self.is_big { 8 } else { 4 }
    }

    /// The first `length` bytes of an entry's values.
    fn values(&mut self, entry: &Entry, length: u64) -> Result<Vec<u8>, ProbeError> {
        let whole = entry.count.saturating_mul(size(entry.kind));
        let length = u32::try_from(length).map_err(|_| ProbeError::Damaged("a list is too long"))?;
        if whole <= self.inline_bytes() {
            return Ok(entry.value[..length as usize].to_vec());
        }
        let [a, b, c, d, ..] = entry.value;
        let at = if self.is_big { self.order.u64(entry.value) } else { self.order.u32([a, b, c, d]).into() };
        self.source.seek(SeekFrom::Start(at))?;
        let bytes = self.source.up_to(length)?;
        if bytes.len() < length as usize {
            return Err(ProbeError::Damaged("it is cut short"));
        }
        Ok(bytes)
    }

    fn unsigned<'a>(&self, kind: u16, bytes: &'a [u8]) -> Box<dyn Iterator<Item = u64> + 'a> {
        let order = self.order;
        match kind {
            1 | 6 | 7 => Box::new(bytes.iter().map(|byte| u64::from(*byte))),
            3 | 8 => Box::new(bytes.as_chunks().0.iter().map(move |bytes| order.u16(*bytes).into())),
            4 | 9 | 13 => Box::new(bytes.as_chunks().0.iter().map(move |bytes| order.u32(*bytes).into())),
            16..=18 => Box::new(bytes.as_chunks().0.iter().map(move |bytes| order.u64(*bytes))),
            _ => Box::new(std::iter::empty()),
        }
    }
}

/// Bytes of a value of this kind (TIFF 6.0, page 15; BigTIFF). An unknown kind has none.
const fn size(kind: u16) -> u64 {
    match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16..=18 => 8,
        _ => 0,
    }
}

impl From<UnsupportedKind> for ProbeError {
    fn from(kind: UnsupportedKind) -> Self {
        Self::Unsupported(kind)
    }
}
