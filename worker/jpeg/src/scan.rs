//! Scan headers, the order of scans, and the intervals between restart markers.

use std::ops::Range;

use crate::{
    Error,
    bits::{Bits, Unstuffed},
    frame::{Component, Frame},
    huffman::{Code, Kind, Table},
    marker,
};

/// Blocks of an MCU with several components (T.81, B.2.3).
const MAX_BLOCKS: usize = 10;

/// The highest bit position of a first scan. libjpeg accepts no more.
const MAX_LOW: u8 = 13;

/// A component of a scan, and its Huffman tables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) component: usize,
    pub(crate) dc: usize,
    pub(crate) ac: usize,
}

/// A scan header.
#[derive(Debug, Clone)]
pub(crate) struct ScanHeader {
    pub(crate) parts: Vec<Part>,
    /// The first and the last coefficient, in the order of the file.
    pub(crate) from: u8,
    pub(crate) to: u8,
    /// The bit that earlier scans reached, 0 for a first scan, and the bit that this one reaches.
    pub(crate) high: u8,
    pub(crate) low: u8,
}

impl ScanHeader {
    /// Reads a header that is valid for the frame.
    pub(crate) fn read(segment: &[u8], frame: &Frame) -> Result<Self, Error> {
        const WRONG: Error = Error::Damaged("a scan header is wrong");
        let (&count, rest) = segment.split_first().ok_or(WRONG)?;
        let (parts, tail) = rest.split_at_checked(2 * usize::from(count)).ok_or(WRONG)?;
        let &[from, to, bits] = tail else { return Err(WRONG) };
        let mut read = Vec::with_capacity(parts.len() / 2);
        for &[id, tables] in parts.as_chunks::<2>().0 {
            let component = frame.components.iter().position(|component| component.id == id).ok_or(WRONG)?;
            if read.iter().any(|part: &Part| part.component == component) {
                return Err(WRONG);
            }
            read.push(Part { component, dc: usize::from(tables >> 4), ac: usize::from(tables & 15) });
        }
        let header = Self { parts: read, from, to, high: bits >> 4, low: bits & 15 };
        if header.is_valid(frame) { Ok(header) } else { Err(WRONG) }
    }

    fn is_valid(&self, frame: &Frame) -> bool {
        let blocks: usize = self.parts.iter().map(|part| blocks(&frame.components[part.component])).sum();
        let is_small = self.parts.len() == 1 || blocks <= MAX_BLOCKS;
        let &Self { from, to, high, low, .. } = self;
        let is_in_order = if !frame.is_progressive {
            (from, to, high, low) == (0, 63, 0, 0)
        } else if from == 0 {
            to == 0
        } else {
            from <= to && to <= 63 && self.parts.len() == 1
        };
        let refines_one_bit = high == 0 || low + 1 == high;
        !self.parts.is_empty() && is_small && is_in_order && refines_one_bit && low <= MAX_LOW
    }

    /// MCUs, across and down. A scan of one component has no padding blocks.
    pub(crate) fn mcus(&self, frame: &Frame) -> (usize, usize) {
        match self.parts[..] {
            [part] => frame.components[part.component].blocks,
            _ => frame.mcus,
        }
    }

    /// The blocks of a component in an MCU, across and down.
    pub(crate) fn sides(&self, component: &Component) -> (usize, usize) {
        if self.parts.len() == 1 { (1, 1) } else { (component.h, component.v) }
    }

    /// Notes the bit that a component's coefficients reach. Refuses scans out of order (T.81, G.1.1.1).
    pub(crate) fn advance(&self, component: &mut Component) -> Result<(), Error> {
        if self.from > 0 && component.reached[0].is_none() {
            return Err(Error::Damaged("a component begins without its DC coefficients"));
        }
        let expected = (self.high > 0).then_some(self.high);
        let band = usize::from(self.from)..=usize::from(self.to);
        for reached in &mut component.reached[band] {
            if *reached != expected {
                return Err(Error::Damaged("the scans are out of order"));
            }
            *reached = Some(self.low);
        }
        Ok(())
    }
}

const fn blocks(component: &Component) -> usize {
    component.h * component.v
}

/// The Huffman codes of a file so far: DC and AC.
pub(crate) type Codes = [[Option<Code>; 4]; 2];

/// Reads a DHT segment.
pub(crate) fn read_codes(mut segment: &[u8], codes: &mut Codes) -> Result<(), Error> {
    while let Some((&head, rest)) = segment.split_first() {
        let (code, rest) = Code::read(rest)?;
        let class = codes.get_mut(usize::from(head >> 4));
        let place = class.and_then(|class| class.get_mut(usize::from(head & 15)));
        *place.ok_or(Error::Damaged("a Huffman table has an unknown number"))? = Some(code);
        segment = rest;
    }
    Ok(())
}

/// The table of a part.
pub(crate) fn table(codes: &Codes, kind: Kind, index: usize) -> Result<Table, Error> {
    let code = codes[usize::from(kind != Kind::Dc)].get(index).and_then(Option::as_ref);
    Table::new(code.ok_or(Error::Damaged("a Huffman table is missing"))?, kind)
}

/// The entropy-coded data of a scan.
pub(crate) struct Intervals<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) unstuffed: &'a mut Unstuffed,
    /// MCUs of the scan.
    pub(crate) mcus: usize,
    /// MCUs between restart markers; 0 without.
    pub(crate) restart: usize,
}

impl Intervals<'_> {
    /// Calls `decode` with the data and the MCUs of each interval. Returns the place of the next marker that is no
    /// restart.
    pub(crate) fn each(
        self,
        mut decode: impl FnMut(&mut Bits, Range<usize>) -> Result<(), Error>,
    ) -> Result<usize, Error> {
        let Self { data, unstuffed, mcus, restart } = self;
        let length = if restart == 0 { mcus } else { restart };
        let (mut mcu, mut at, mut number) = (0, 0, 0);
        while mcu < mcus {
            if mcu > 0 {
                if data.get(at..at + 2) != Some(&[0xFF, marker::FIRST_RESTART + number]) {
                    return Err(Error::Damaged("a restart marker is missing"));
                }
                at += 2;
                number = (number + 1) % 8;
            }
            at += unstuffed.read(data.get(at..).unwrap_or_default());
            let end = mcus.min(mcu + length);
            decode(&mut unstuffed.bits(), mcu..end)?;
            mcu = end;
        }
        Ok(at)
    }
}

/// Entropy-coded data that does not fit its tables, or ends early.
pub(crate) const BAD_DATA: Error = Error::Damaged("the entropy-coded data is wrong");

/// Splits MCUs into pieces of rows: the row, and the columns.
pub(crate) fn pieces(mcus: Range<usize>, across: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let mut next = mcus.start;
    std::iter::from_fn(move || {
        let (row, from) = (next / across, next % across);
        let to = across.min(from + mcus.end.checked_sub(next)?);
        next += to - from;
        (from < to).then_some((row, from..to))
    })
}
