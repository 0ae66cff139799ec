//! Huffman tables that answer with as much as one look can tell.

use crate::{Error, bits::Bits};

/// Bits that are looked up at once for one symbol. 11 and 13 were measured to be as fast or up to a tenth slower.
const LOOK: u32 = 12;
/// Bits that are looked up at once to skip symbols.
const SKIP_LOOK: u32 = 13;
/// The most bits that one skip consumes, so that two of them fit between two refills.
const MAX_SKIP_BITS: u32 = 28;

/// The largest size of a DC difference, and of an AC value, with 8 bits a sample (T.81, F.1.2). A larger one would exceed
/// the bits between two refills.
const MAX_DC_SIZE: u8 = 11;
const MAX_AC_SIZE: u8 = 10;

/// The run of an entry that ends a block. For runs of ended blocks, the bits of the run's length are added.
pub(crate) const END_OF_BLOCK: u32 = 64;

/// The kinds of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Sizes of DC differences.
    Dc,
    /// Runs and sizes of AC coefficients in a sequential scan.
    SequentialAc,
    /// The same in a progressive scan, where blocks also end in runs.
    ProgressiveAc,
}

/// A code as a DHT segment defines it.
#[derive(Debug, Clone)]
pub(crate) struct Code {
    counts: [u8; 16],
    symbols: Vec<u8>,
}

impl Code {
    /// Reads a code. Returns the rest of the segment.
    pub(crate) fn read(segment: &[u8]) -> Result<(Self, &[u8]), Error> {
        const SHORT: Error = Error::Damaged("a Huffman table is too short");
        let (counts, rest) = segment.split_first_chunk::<16>().ok_or(SHORT)?;
        let total: usize = counts.iter().map(|count| usize::from(*count)).sum();
        if total > 256 {
            return Err(Error::Damaged("a Huffman table has more than 256 codes"));
        }
        let (symbols, rest) = rest.split_at_checked(total).ok_or(SHORT)?;
        let mut next = 0_u32;
        for (length, count) in (1..).zip(counts) {
            next = (next << 1) + u32::from(*count);
            // No code consists of ones only.
            if next >= 1 << length {
                return Err(Error::Damaged("a Huffman table has too many codes"));
            }
        }
        Ok((Self { counts: *counts, symbols: symbols.to_vec() }, rest))
    }
}

/// The meaning of a code: the bits of code and value (bits 0 to 4), the bits of the value (5 to 8), and the zeroes before
/// it (9 to 15). All zeroes: no such code.
#[derive(Clone, Copy)]
pub(crate) struct Entry(u32);

impl Entry {
    fn new(kind: Kind, length: u32, symbol: u8) -> Self {
        let (zeroes, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        let (run, size) = match kind {
            Kind::Dc => (0, u32::from(symbol)),
            _ if size > 0 || zeroes == 15 => (zeroes, size),
            Kind::SequentialAc => (END_OF_BLOCK, 0),
            Kind::ProgressiveAc => (END_OF_BLOCK + zeroes, 0),
        };
        Self((length + size) | size << 5 | run << 9)
    }

    /// Bits of code and value; at most 27.
    #[inline(always)]
    pub(crate) const fn bits(self) -> u32 {
        self.0 & 0x1F
    }

    /// Bits of the value.
    #[inline(always)]
    pub(crate) const fn size(self) -> u32 {
        (self.0 >> 5) & 15
    }

    /// Bits of the code.
    #[inline(always)]
    pub(crate) const fn code_bits(self) -> u32 {
        self.bits() - self.size()
    }

    /// Zero coefficients before the value, or at least [`END_OF_BLOCK`].
    #[inline(always)]
    pub(crate) const fn run(self) -> u32 {
        self.0 >> 9
    }
}

/// A table for decoding.
pub(crate) struct Table {
    one: Box<[u16; 1 << LOOK]>,
    skip: Option<Box<[u16; 1 << SKIP_LOOK]>>,
    /// The first 16 bits that begin with a code longer than [`LOOK`].
    first_long: usize,
    /// The entries of the longer codes, by 16 bits from `first_long`.
    long: Vec<u16>,
}

impl Table {
    pub(crate) fn new(code: &Code, kind: Kind) -> Result<Self, Error> {
        let is_too_large = |symbol: &u8| match kind {
            Kind::Dc => *symbol > MAX_DC_SIZE,
            Kind::SequentialAc | Kind::ProgressiveAc => symbol & 15 > MAX_AC_SIZE,
        };
        if code.symbols.iter().any(is_too_large) {
            return Err(Error::Unsupported("values of more than 11 bits"));
        }
        let mut one = Box::new([0; 1 << LOOK]);
        let (mut long, mut next, mut first_long) = (Vec::new(), 0_usize, 0);
        let mut symbols = code.symbols.iter();
        for (length, count) in (1..=16).zip(code.counts) {
            for symbol in symbols.by_ref().take(count.into()) {
                let Ok(entry) = u16::try_from(Entry::new(kind, length, *symbol).0) else {
                    return Err(Error::Damaged("a Huffman table has an impossible symbol"));
                };
                if length <= LOOK {
                    one[next << (LOOK - length)..(next + 1) << (LOOK - length)].fill(entry);
                } else {
                    long.resize(long.len() + (1 << (16 - length)), entry);
                }
                next += 1;
            }
            if length == LOOK {
                first_long = next << (16 - LOOK);
            }
            next <<= 1;
        }
        Ok(Self { one, skip: None, first_long, long })
    }

    /// Adds what [`skip`](Self::skip) needs.
    pub(crate) fn with_skip(mut self) -> Self {
        let mut skip = Box::new([0; 1 << SKIP_LOOK]);
        for (bits, place) in skip.iter_mut().enumerate() {
            *place = self.skip_entry(bits);
        }
        self.skip = Some(skip);
        self
    }

    /// As many whole symbols as these bits hold: their bits (0 to 5) and the coefficients that they cover (6 to 15).
    fn skip_entry(&self, bits: usize) -> u16 {
        let (mut used, mut steps) = (0, 0);
        while used < SKIP_LOOK {
            let rest = (bits << used) & ((1 << SKIP_LOOK) - 1);
            let entry = Entry(self.one[rest >> (SKIP_LOOK - LOOK)].into());
            let fits = entry.bits() > 0
                && used + entry.code_bits() <= SKIP_LOOK
                && used + entry.bits() <= MAX_SKIP_BITS
                && entry.run() <= END_OF_BLOCK;
            if !fits {
                break;
            }
            if entry.run() == END_OF_BLOCK {
                used += entry.bits();
                steps += SKIP_ENDS_BLOCK;
                break;
            }
            if steps + entry.run() + 1 > 63 {
                break;
            }
            used += entry.bits();
            steps += entry.run() + 1;
        }
        if used == 0 {
            steps = SKIP_FAILS;
        }
        u16::try_from(used | steps << 6).unwrap_or_default()
    }

    /// The next symbol; `None` if there is no such code.
    #[inline(always)]
    pub(crate) fn look(&self, bits: &Bits) -> Option<Entry> {
        let entry = Entry(self.one[bits.peek(LOOK)].into());
        if entry.bits() > 0 { Some(entry) } else { self.look_long(bits.peek(16)) }
    }

    #[inline(always)]
    fn look_long(&self, sixteen: usize) -> Option<Entry> {
        let entry = *self.long.get(sixteen.wrapping_sub(self.first_long))?;
        (entry > 0).then_some(Entry(entry.into()))
    }

    /// Several symbols at once: their bits, and the coefficients that they cover. The latter are chosen so that one bit of
    /// a sum tells whether the skip is possible. With a `place` of at most 62, where 63 is the last coefficient,
    /// `(place + covered) & 64` is zero exactly if the symbols end in the block: [`SKIP_ENDS_BLOCK`] stands for the end of
    /// the block, and [`SKIP_FAILS`] for no symbol at all.
    #[inline(always)]
    pub(crate) fn skip(&self, bits: &Bits) -> (u32, u32) {
        let Some(skip) = &self.skip else { return (0, SKIP_FAILS) };
        let entry = u32::from(skip[bits.peek(SKIP_LOOK)]);
        (entry & 0x3F, entry >> 6)
    }
}

/// Steps for an end of the block: past 63 in any case, without bit 6 unless the steps before already reached the end.
const SKIP_ENDS_BLOCK: u32 = 129;
/// Steps if no symbol can be skipped.
const SKIP_FAILS: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::PADDING;

    fn code(counts: [u8; 16], symbols: &[u8]) -> Result<Code, Error> {
        Code::read(&[&counts[..], symbols].concat()).map(|(code, _)| code)
    }

    #[test]
    fn short_and_long_codes_are_found() {
        // One code of each length: 0, 10, 110, …
        let counts = [1; 16];
        let symbols: Vec<u8> = (0..16).map(|symbol| symbol << 4 | 1).collect();
        let table = Table::new(&code(counts, &symbols).unwrap(), Kind::SequentialAc).unwrap();
        for length in 1..=16_u32 {
            let word = u64::MAX << (64 - length) << 1;
            let data = [&word.to_be_bytes()[..], &[0; PADDING]].concat();
            let mut bits = Bits::new(&data);
            bits.refill();
            let entry = table.look(&bits).unwrap();
            assert_eq!((entry.code_bits(), entry.size(), entry.run()), (length, 1, length - 1));
        }
        let ones = [0xFF; 8 + PADDING];
        let mut bits = Bits::new(&ones);
        bits.refill();
        assert!(table.look(&bits).is_none(), "sixteen ones are no code");
    }

    #[test]
    fn impossible_codes_are_refused() {
        let mut counts = [0; 16];
        counts[0] = 2;
        assert!(matches!(code(counts, &[0, 1]), Err(Error::Damaged(_))), "a code of ones only");
        counts[0] = 1;
        assert!(matches!(code(counts, &[]), Err(Error::Damaged(_))), "a symbol is missing");
        let large = code(counts, &[12]).unwrap();
        assert!(matches!(Table::new(&large, Kind::Dc), Err(Error::Unsupported(_))));
        let large = code(counts, &[0x0B]).unwrap();
        assert!(matches!(Table::new(&large, Kind::SequentialAc), Err(Error::Unsupported(_))));
    }
}
