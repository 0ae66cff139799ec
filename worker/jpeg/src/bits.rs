//! Entropy-coded data, without its stuffed zeroes, bit by bit.

/// Zero bytes after the data, so that eight bytes can be loaded from every place in it.
pub(crate) const PADDING: usize = 16;

/// Bytes that [`Unstuffed::read`] copies before it makes room again.
const STEP: usize = 4096;

/// The largest buffer that is kept from file to file, in bytes. Larger files are rare.
const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// A reader of bits. After [`refill`](Self::refill) 56 bits can be consumed.
#[derive(Clone, Copy)]
pub(crate) struct Bits<'a> {
    /// The data and its padding.
    data: &'a [u8],
    at: usize,
    /// The next bits, from the top.
    next: u64,
    /// How many bits of `next` are counted as read from `data`. Those below are the same as in `data`, or zeroes.
    count: u32,
    /// Whether the reader left the padding.
    is_lost: bool,
}

impl<'a> Bits<'a> {
    /// `data` ends with [`PADDING`].
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, next: 0, count: 0, is_lost: false }
    }

    /// Makes at least 56 bits available.
    #[inline(always)]
    pub(crate) fn refill(&mut self) {
        if let Some(word) = self.data.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            self.next |= u64::from_be_bytes(*word).wrapping_shr(self.count);
            self.at += ((63_u32.wrapping_sub(self.count) >> 3) & 7) as usize;
        } else {
            self.is_lost = true;
        }
        self.count |= 56;
    }

    /// The next bits, from the top.
    #[inline(always)]
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// The next `count` bits, 1 to 63, as a number.
    #[inline(always)]
    pub(crate) const fn peek(&self, count: u32) -> usize {
        (self.next >> (64 - count)) as usize
    }

    /// Drops up to 56 bits since the last refill.
    #[inline(always)]
    pub(crate) fn consume(&mut self, count: u32) {
        self.next = self.next.wrapping_shl(count);
        self.count = self.count.wrapping_sub(count);
    }

    /// Takes 0 to 32 bits as a number.
    #[inline(always)]
    pub(crate) fn take(&mut self, count: u32) -> u64 {
        let value = (self.next >> 1) >> (63 - count);
        self.consume(count);
        value
    }

    /// Whether more bits were consumed than there are.
    pub(crate) const fn is_over(&self) -> bool {
        self.is_lost || self.at * 8 > (self.data.len() - PADDING) * 8 + self.count as usize
    }
}

/// The value of the top `size` bits, 0 to 15 (EXTEND of T.81, F.2.2.1).
#[inline(always)]
pub(crate) const fn extended(next: u64, size: u32) -> i32 {
    let bits = ((next >> 1) >> (63 - size)) as i32;
    let is_negative = !(next.cast_signed() >> 63) as i32;
    bits.wrapping_add(is_negative & ((-1_i32 << size) + 1))
}

/// A buffer for entropy-coded data without its stuffed zeroes.
#[derive(Debug, Default)]
pub(crate) struct Unstuffed {
    /// Grows only; the data is its beginning.
    bytes: Vec<u8>,
    /// The length of the data, without padding.
    length: usize,
}

impl Unstuffed {
    /// Copies the data up to the next marker. Returns the place of the marker's last 0xFF, or the length of `source`.
    pub(crate) fn read(&mut self, source: &[u8]) -> usize {
        let (mut at, mut made) = (0, 0);
        while at + 8 <= source.len() {
            self.make_room(made + STEP);
            let end = made + STEP;
            // Eight bytes are written whole. The next ones overwrite those that do not belong there.
            while made < end {
                let Some(eight) = source.get(at..).and_then(|rest| rest.first_chunk::<8>()) else { break };
                let Some(to) = self.bytes.get_mut(made..).and_then(|rest| rest.first_chunk_mut::<8>()) else {
                    break;
                };
                *to = *eight;
                let Some(found) = first_marker_byte(*eight) else {
                    at += 8;
                    made += 8;
                    continue;
                };
                at += found;
                made += found;
                match source.get(at + 1) {
                    Some(0) => {
                        at += 2;
                        made += 1;
                    }
                    // A fill byte.
                    Some(0xFF) => at += 1,
                    _ => return self.finish(at, made),
                }
            }
        }
        self.make_room(made + STEP);
        while let Some(&byte) = source.get(at) {
            if byte == 0xFF {
                match source.get(at + 1) {
                    Some(0) => at += 1,
                    Some(0xFF) => {
                        at += 1;
                        continue;
                    }
                    _ => break,
                }
            }
            self.bytes[made] = byte;
            made += 1;
            at += 1;
        }
        self.finish(at, made)
    }

    /// Frees the buffer after a large file.
    pub(crate) fn forget_large(&mut self) {
        if self.bytes.len() > KEPT_BYTES {
            self.bytes = Vec::new();
        }
    }

    /// A reader of the data.
    pub(crate) fn bits(&self) -> Bits<'_> {
        Bits::new(&self.bytes[..self.length + PADDING])
    }

    fn make_room(&mut self, length: usize) {
        if self.bytes.len() < length + PADDING {
            let more = (self.bytes.len() * 2).max(length + PADDING);
            self.bytes.resize(more, 0);
        }
    }

    fn finish(&mut self, at: usize, made: usize) -> usize {
        self.make_room(made);
        self.bytes[made..made + PADDING].fill(0);
        self.length = made;
        at
    }
}

/// The index of the first 0xFF.
#[inline(always)]
fn first_marker_byte(eight: [u8; 8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    let word = !u64::from_le_bytes(eight);
    // The lowest bit that is set is right: a borrow only moves up.
    let zeroes = word.wrapping_sub(ONES) & !word & (ONES << 7);
    (zeroes != 0).then(|| (zeroes.trailing_zeros() / 8) as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_those_of_the_standard() {
        // T.81, table F.1: the values of each size.
        for (bits, size, value) in
            [(0, 0, 0), (0, 1, -1), (1, 1, 1), (0b00, 2, -3), (0b11, 2, 3), (0b011, 3, -4)]
        {
            let next = if size == 0 { 0 } else { bits << (64 - size) };
            assert_eq!(extended(next, size), value, "{bits:b} of {size}");
        }
        assert_eq!(extended(0, 11), -2047);
        assert_eq!(extended(u64::MAX, 11), 2047);
    }

    /// One byte at a time.
    fn plain(source: &[u8]) -> (Vec<u8>, usize) {
        let (mut out, mut at) = (Vec::new(), 0);
        while at < source.len() {
            match (source[at], source.get(at + 1)) {
                (0xFF, Some(0)) => {
                    out.push(0xFF);
                    at += 2;
                }
                (0xFF, Some(0xFF)) => at += 1,
                (0xFF, _) => break,
                (byte, _) => {
                    out.push(byte);
                    at += 1;
                }
            }
        }
        (out, at)
    }

    proptest! {
        #[test]
        fn stuffed_zeroes_are_removed(
            source in prop::collection::vec(prop_oneof![4 => any::<u8>(), 2 => Just(0xFF_u8), 2 => Just(0)], 0..9000),
            earlier in 0_usize..9000,
        ) {
            let mut unstuffed = Unstuffed::default();
            unstuffed.read(&vec![7; earlier]);
            let at = unstuffed.read(&source);
            let (expected, end) = plain(&source);
            prop_assert_eq!(at, end);
            prop_assert_eq!(&unstuffed.bytes[..unstuffed.length], expected);
            prop_assert_eq!(&unstuffed.bytes[unstuffed.length..][..PADDING], [0; PADDING]);
        }

        #[test]
        fn every_bit_is_read_once_and_the_end_is_noticed(
            data in prop::collection::vec(any::<u8>(), 0..100), counts in prop::collection::vec(1_u32..=28, 0..80),
        ) {
            let padded = [&data[..], &[0; PADDING]].concat();
            let mut bits = Bits::new(&padded);
            let mut place = 0;
            for count in counts {
                bits.refill();
                let expected = (place..place + count as usize).fold(0, |value, bit| {
                    value << 1 | u64::from(data.get(bit / 8).is_some_and(|byte| byte << (bit % 8) & 0x80 != 0))
                });
                prop_assert_eq!(bits.take(count), expected);
                place += count as usize;
                prop_assert_eq!(bits.is_over(), place > data.len() * 8, "{} of {}", place, data.len() * 8);
                if bits.is_over() { break; }
            }
        }
    }
}
