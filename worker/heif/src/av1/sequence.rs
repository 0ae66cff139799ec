//! The colours of a coded AV1 picture, from its sequence header (AV1 specification, sections 5.3 to 5.5).
//!
//! `re_rav1d` knows them too, but panics where a code is reserved, and returns one code for PAL and NTSC.

use crate::frame::Signal;

/// The type of a sequence header.
const SEQUENCE_HEADER: u32 = 1;

/// The most bytes of a size in LEB128.
const MAX_SIZE_BYTES: u32 = 8;

/// The signal of the first sequence header. Unspecified, with the range of video, where there is none, or where it
/// has fields that only videos need.
pub(super) fn signal(mut data: &[u8]) -> Signal {
    while let Some((kind, content, rest)) = unit(data) {
        if kind == SEQUENCE_HEADER {
            return header(&mut Bits::of(content)).unwrap_or_default();
        }
        data = rest;
    }
    Signal::default()
}

/// The first unit of the data: its type, its content, and what follows it.
fn unit(data: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let mut bits = Bits::of(data);
    bits.skip(1)?;
    let kind = bits.read(4)?;
    let (has_extension, has_size) = (bits.flag()?, bits.flag()?);
    bits.skip(if has_extension { 9 } else { 1 })?;
    let mut size: u64 = 0;
    for at in 0..if has_size { MAX_SIZE_BYTES } else { 0 } {
        let (more, part) = (bits.flag()?, bits.read(7)?);
        size |= u64::from(part) << (7 * at);
        if !more {
            break;
        }
    }
    let content = data.get(bits.at / 8..)?;
    if !has_size {
        return Some((kind, content, &[]));
    }
    let (content, rest) = content.split_at_checked(usize::try_from(size).ok()?)?;
    Some((kind, content, rest))
}

fn header(bits: &mut Bits<'_>) -> Option<Signal> {
    let profile = bits.read(3)?;
    bits.skip(1)?;
    let is_reduced = bits.flag()?;
    if is_reduced {
        bits.skip(5)?;
    } else {
        let has_timing = bits.flag()?;
        if has_timing {
            return None;
        }
        let has_delay = bits.flag()?;
        for _ in 0..=bits.read(5)? {
            bits.skip(12)?;
            if bits.read(5)? > 7 {
                bits.skip(1)?;
            }
            if has_delay && bits.flag()? {
                bits.skip(4)?;
            }
        }
    }
    let (width_bits, height_bits) = (bits.read(4)? + 1, bits.read(4)? + 1);
    bits.skip(width_bits + height_bits)?;
    if !is_reduced && bits.flag()? {
        bits.skip(7)?;
    }
    // Superblocks, filters: three flags.
    bits.skip(3)?;
    if !is_reduced {
        tools_of_videos(bits)?;
    }
    // Superresolution, CDEF, restoration: three flags.
    bits.skip(3)?;
    colours(bits, profile)
}

fn tools_of_videos(bits: &mut Bits<'_>) -> Option<()> {
    bits.skip(4)?;
    let has_order = bits.flag()?;
    bits.skip(if has_order { 2 } else { 0 })?;
    let chooses_content_tools = bits.flag()?;
    let may_have_content_tools = chooses_content_tools || bits.flag()?;
    if may_have_content_tools {
        let chooses_vectors = bits.flag()?;
        bits.skip(u32::from(!chooses_vectors))?;
    }
    bits.skip(if has_order { 3 } else { 0 })
}

fn colours(bits: &mut Bits<'_>, profile: u32) -> Option<Signal> {
    let is_deep = bits.flag()?;
    bits.skip(u32::from(profile == 2 && is_deep))?;
    let is_grey = profile != 1 && bits.flag()?;
    let mut signal = Signal::default();
    if bits.flag()? {
        let mut code = || bits.read(8).and_then(|code| u16::try_from(code).ok());
        signal = Signal { primaries: code()?, transfer: code()?, matrix: code()?, full_range: false };
    }
    // sRGB in RGB has no bit for its range.
    let is_srgb = (signal.primaries, signal.transfer, signal.matrix) == (1, 13, 0);
    signal.full_range = !is_grey && is_srgb || bits.flag()?;
    Some(signal)
}

/// Bits, from the highest of each byte down.
struct Bits<'a> {
    data: &'a [u8],
    /// The number of bits that were read.
    at: usize,
}

impl<'a> Bits<'a> {
    fn of(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    fn flag(&mut self) -> Option<bool> {
        let byte = self.data.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    fn read(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| Some(value << 1 | u32::from(self.flag()?)))
    }

    fn skip(&mut self, count: u32) -> Option<()> {
        self.read(count).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sequence header of a still picture with these codes: in both forms, without other units.
    fn with(codes: [u8; 3], is_reduced: bool) -> Vec<u8> {
        let mut bits = String::from("0001");
        if is_reduced {
            bits += "1 00000";
        } else {
            bits += "0 0 0 00000 000000000000 00000";
        }
        bits += "0011 0011 1111 1111";
        bits += if is_reduced { "000" } else { "0 000 0000 0 1 1" };
        bits += "000 0 0 1";
        for code in codes {
            bits += &format!("{code:08b}");
        }
        bits += "1 00 0";
        let bits: Vec<u8> = bits.bytes().filter(|byte| *byte != b' ').map(|byte| byte - b'0').collect();
        let content: Vec<u8> = bits
            .chunks(8)
            .map(|byte| byte.iter().zip((0..8).rev()).fold(0, |sum, (bit, place)| sum | bit << place))
            .collect();
        let size = u8::try_from(content.len()).unwrap();
        // A temporal delimiter comes first.
        [&[0x12, 0, 0x0a, size][..], &content].concat()
    }

    #[test]
    fn codes_are_read_from_both_forms_reserved_ones_too() {
        for codes in [[1, 13, 6], [12, 16, 9], [6, 6, 6], [0, 3, 15], [255, 255, 255]] {
            for is_reduced in [true, false] {
                let [primaries, transfer, matrix] = codes.map(u16::from);
                let expected = Signal { primaries, transfer, matrix, full_range: true };
                assert_eq!(signal(&with(codes, is_reduced)), expected, "{codes:?} {is_reduced}");
            }
        }
    }

    #[test]
    fn a_cut_header_is_unspecified() {
        let whole = with([1, 13, 6], false);
        for end in 0..whole.len() - 1 {
            assert_eq!(signal(&whole[..end]), Signal::default(), "{end} bytes");
        }
        assert_eq!(signal(&[0xff; 64]), Signal::default());
    }
}
