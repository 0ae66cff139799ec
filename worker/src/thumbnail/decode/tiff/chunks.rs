//! The strips or tiles of a page.

use std::io::{Read, Seek};

use super::{
    codec,
    demand::{Demand, Planes},
    rows::Rows,
};
use crate::{
    probe::tiff::{Directory, Order, Page, Tiff, tag},
    thumbnail::{ThumbnailError, decode::DECODER_BYTES},
};

/// Strips or tiles of a page. A document of a million rows with a strip for each is the longest that is known.
const MAX_CHUNKS: u64 = 4 * 1024 * 1024;

/// Bytes of the tables that all JPEG strips share.
const MAX_TABLES_BYTES: u64 = 64 * 1024;

/// The compressed pixels of a page.
pub(super) struct Chunks<'a> {
    original: &'a [u8],
    page: Page,
    order: Order,
    /// Width and height of a strip or tile; the last strip may be shorter, and tiles may extend beyond the page.
    sides: (u32, u32),
    across: u32,
    down: u32,
    is_tiled: bool,
    offsets: Vec<u64>,
    /// Empty where the file does not say.
    lengths: Vec<u64>,
    /// Bit 0 of the options of fax group 3: rows may refer to the row above.
    is_two_dimensional: bool,
    tables: Vec<u8>,
}

/// A strip or tile, without what extends beyond the page.
pub(super) struct Chunk {
    index: u32,
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl<'a> Chunks<'a> {
    pub(super) fn new<R: Read + Seek>(
        original: &'a [u8],
        tiff: &mut Tiff<R>,
        directory: &Directory,
        page: Page,
    ) -> Result<Self, ThumbnailError> {
        let is_tiled = directory.has(tag::TILE_WIDTH);
        let mut side = |tag, otherwise: u32| -> Result<u32, ThumbnailError> {
            let side = tiff.number(directory, tag)?.unwrap_or(otherwise.into());
            // A strip without a height of its own is as high as the page.
            Ok(u32::try_from(side).unwrap_or(u32::MAX).max(1))
        };
        let sides = if is_tiled {
            (side(tag::TILE_WIDTH, 1)?, side(tag::TILE_LENGTH, 1)?)
        } else {
            (page.width, side(tag::ROWS_PER_STRIP, u32::MAX)?.min(page.height))
        };
        let (across, down) = (page.width.div_ceil(sides.0), page.height.div_ceil(sides.1));
        let (offsets, lengths) = if is_tiled && directory.has(tag::TILE_OFFSETS) {
            (tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS)
        } else {
            (tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS)
        };
        let offsets = tiff.numbers(directory, offsets, MAX_CHUNKS)?;
        let lengths = tiff.numbers(directory, lengths, MAX_CHUNKS)?.unwrap_or_default();
        if u64::from(across) * u64::from(down) > MAX_CHUNKS {
            return Err(ThumbnailError::damaged("more strips or tiles than are read"));
        }
        Ok(Self {
            original,
            page,
            order: tiff.order,
            sides,
            across,
            down,
            is_tiled,
            offsets: offsets.ok_or_else(|| ThumbnailError::damaged("no strips or tiles"))?,
            lengths,
            is_two_dimensional: tiff.number(directory, tag::T4_OPTIONS)?.unwrap_or(0) & 1 != 0,
            tables: tiff.bytes(directory, tag::JPEG_TABLES, MAX_TABLES_BYTES)?.unwrap_or_default(),
        })
    }

    /// How many there are of each plane.
    pub(super) fn count(&self) -> u32 {
        self.across * self.down
    }

    /// One of them; they lie row after row.
    pub(super) fn chunk(&self, index: u32) -> Chunk {
        let (left, top) = (index % self.across * self.sides.0, index / self.across * self.sides.1);
        let (width, height) =
            (self.sides.0.min(self.page.width - left), self.sides.1.min(self.page.height - top));
        Chunk { index, left, top, width, height }
    }

    /// Decompresses the planes of a strip or tile that are shown. What is damaged or missing is left out at the end.
    pub(super) fn decoded(&self, chunk: &Chunk, rows: &Rows) -> Result<Planes<'a>, ThumbnailError> {
        let (count, samples) = if self.page.is_planar { (rows.needed(), 1) } else { (1, self.page.samples) };
        let sides = if self.is_tiled { self.sides } else { (self.sides.0, chunk.height) };
        let bits = u64::from(sides.0) * u64::from(samples) * u64::from(self.page.bits);
        let (stride, unit_rows) = match rows.subsampling() {
            Some((across, down)) => {
                let unit = u64::from(across) * u64::from(down) + 2;
                (u64::from(sides.0.div_ceil(across)) * unit, sides.1.div_ceil(down))
            }
            None => (bits.div_ceil(8), sides.1),
        };
        let bytes = stride.saturating_mul(unit_rows.into());
        if bytes > DECODER_BYTES {
            return Err(ThumbnailError::NeedsTooMuchMemory);
        }
        let as_size = |length: u64| usize::try_from(length).map_err(ThumbnailError::damaged);
        let demand = Demand {
            page: self.page,
            order: self.order,
            sides,
            samples,
            stride: as_size(stride)?,
            bytes: as_size(bytes)?,
            is_two_dimensional: self.is_two_dimensional,
            tables: &self.tables,
        };
        let planes =
            (0..u32::from(count)).map(|plane| codec::decompress(self.stored(chunk.index, plane), &demand));
        Ok(Planes { planes: planes.collect::<Result<_, _>>()?, stride: demand.stride })
    }

    /// The bytes of a strip or tile as stored; fewer where the file is cut short.
    fn stored(&self, index: u32, plane: u32) -> &'a [u8] {
        let index = (plane * self.across * self.down + index) as usize;
        let as_size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let Some(at) = self.offsets.get(index).map(|at| as_size(*at)) else { return &[] };
        let rest = self.original.get(at..).unwrap_or_default();
        // Where the length is not given, a decompressor finds the end.
        let length = self.lengths.get(index).map_or(usize::MAX, |length| as_size(*length));
        &rest[..length.min(rest.len())]
    }
}
