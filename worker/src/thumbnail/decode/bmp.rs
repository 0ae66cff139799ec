//! Bitmaps with headers that `image` does not read, rewritten so that it does.

use std::borrow::Cow;

use crate::{probe::UnsupportedKind, thumbnail::ThumbnailError};

/// Bytes of the file header, of the second header of OS/2 2.0 at its shortest, and of that of Windows.
const FILE_HEADER: usize = 14;
const SHORTEST: u32 = 16;
const WINDOWS: u8 = 40;

/// Places in the file: offset of the pixels, height, bits of a pixel, compression, number of colours.
const PIXELS_AT: usize = 10;
const HEIGHT: usize = 22;
const BITS: usize = 28;
const COMPRESSION: usize = 30;
const COLOURS: usize = 46;

/// The run lengths of 8 and 4 bits.
const RUN_LENGTHS: [u32; 2] = [1, 2];

/// A bitmap for `image`, and whether its rows come out from the last to the first.
pub(super) struct Ordinary<'a> {
    pub(super) file: Cow<'a, [u8]>,
    pub(super) is_upside_down: bool,
}

pub(super) fn ordinary(original: &[u8]) -> Result<Ordinary<'_>, ThumbnailError> {
    let mut file = Cow::Borrowed(original);
    let header = number(original, FILE_HEADER).unwrap_or(0);
    // OS/2 2.0 has headers of 16 to 64 bytes, which begin like that of Windows. Those of Windows are 40, 52 or 56.
    if (SHORTEST..=64).contains(&header) && !matches!(header, 40 | 52 | 56) {
        if number(original, COMPRESSION).is_some_and(|compression| header >= 20 && compression > 2) {
            return Err(UnsupportedKind::Other.into());
        }
        file = Cow::Owned(as_windows(original, header));
    }
    let number = |file: &[u8], at| number(file, at).filter(|_| header >= SHORTEST);
    let bits = file.get(BITS).copied().unwrap_or(0);
    if bits <= 8 && number(&file, COLOURS).is_some_and(|colours| colours > 1 << bits) {
        file.to_mut()[COLOURS..COLOURS + 4].copy_from_slice(&(1_u32 << bits).to_le_bytes());
    }
    let height = number(&file, HEIGHT).unwrap_or(0).cast_signed();
    let has_runs = number(&file, COMPRESSION).is_some_and(|compression| RUN_LENGTHS.contains(&compression));
    let is_upside_down = height < 0 && has_runs;
    if is_upside_down {
        file.to_mut()[HEIGHT..HEIGHT + 4].copy_from_slice(&height.unsigned_abs().to_le_bytes());
    }
    Ok(Ordinary { file, is_upside_down })
}

/// The same bitmap with a header of 40 bytes.
fn as_windows(original: &[u8], header: u32) -> Vec<u8> {
    let end = (FILE_HEADER + header as usize).min(original.len());
    let whole = FILE_HEADER + usize::from(WINDOWS);
    let mut file = original[..end.min(whole)].to_vec();
    file.resize(whole, 0);
    file.extend_from_slice(&original[end..]);
    let at = number(original, PIXELS_AT).unwrap_or(0).wrapping_add(WINDOWS.into()).wrapping_sub(header);
    file[PIXELS_AT..PIXELS_AT + 4].copy_from_slice(&at.to_le_bytes());
    file[FILE_HEADER..FILE_HEADER + 4].copy_from_slice(&u32::from(WINDOWS).to_le_bytes());
    file
}

fn number(file: &[u8], at: usize) -> Option<u32> {
    file.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes)
}
