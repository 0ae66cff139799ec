//! The places of the bytes of items: the box `iloc` (ISO/IEC 14496-12, 8.11.3), counted before a parser makes lists of it.
//!
//! An extent takes 24 bytes of memory and, without fields, none of the file: six bytes would become 1.5 MB.

use std::collections::HashMap;

use super::MAX_ITEMS;
use crate::Error;

/// Extents of a file, in all. Writers make one for each item, and a picture of 200 megapixels has 822 items.
const MAX_EXTENTS: u64 = 8192;

/// The number of extents of each item.
#[derive(Default)]
pub(super) struct Locations(HashMap<u32, u64>);

impl Locations {
    /// Counts the extents in the body of a box `iloc`.
    pub(super) fn parse(content: &[u8]) -> Result<Self, Error> {
        let cut = || Error::damaged("its table of places is cut short");
        let mut fields = Fields(content);
        let version = fields.number(4).ok_or_else(cut)? >> 24;
        if version > 2 {
            return Err(Error::damaged("its table of places has an unknown version"));
        }
        let sizes = fields.number(2).ok_or_else(cut)?;
        // Bytes of each field of an entry and of an extent.
        let [offset, length, base, index] = [12, 8, 4, 0].map(|shift| sizes >> shift & 0xf);
        let index = if version == 0 { 0 } else { index };
        let extent_bytes = offset + length + index;
        let id_bytes = if version < 2 { 2 } else { 4 };
        let count = fields.number(id_bytes).ok_or_else(cut)?;
        if count > MAX_ITEMS as u64 {
            return Err(Error::TooMany("items with bytes"));
        }
        let mut found = HashMap::new();
        let mut sum = 0;
        for _ in 0..count {
            let id = fields.number(id_bytes).and_then(|id| u32::try_from(id).ok()).ok_or_else(cut)?;
            // From version 1 on, how the item is made; then the number of a file.
            fields.skip(if version == 0 { 2 } else { 4 } + base).ok_or_else(cut)?;
            let extents = fields.number(2).ok_or_else(cut)?;
            sum += extents;
            if sum > MAX_EXTENTS {
                return Err(Error::TooMany("extents"));
            }
            if extents > 1 && extent_bytes == 0 {
                return Err(Error::damaged("its table of places has extents without a place"));
            }
            fields.skip(extents * extent_bytes).ok_or_else(cut)?;
            // The first of an item counts, as for the parser.
            found.entry(id).or_insert(extents);
        }
        Ok(Self(found))
    }

    /// Checks the sum of all items, each of which gets a list of its own: also the second one of a number.
    pub(super) fn check(&self, items: &[u32]) -> Result<(), Error> {
        let sum: u64 = items.iter().filter_map(|id| self.0.get(id)).sum();
        if sum > MAX_EXTENTS { Err(Error::TooMany("extents")) } else { Ok(()) }
    }
}

/// Numbers from the highest byte down.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn number(&mut self, bytes: u64) -> Option<u64> {
        let (number, rest) = self.0.split_at_checked(usize::try_from(bytes).ok()?)?;
        self.0 = rest;
        Some(number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn skip(&mut self, bytes: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(bytes).ok()?..)?;
        Some(())
    }
}
