//! Checks a JPEG before it is decoded, and reads its colour profile.

use std::collections::BTreeMap;

use crate::thumbnail::{ThumbnailError, colour::MAX_PROFILE_BYTES};

/// Scans of one JPEG. Encoders write about ten; each scan of a progressive picture visits every block again, so a
/// small file with thousands of scans would keep a decoder busy for minutes.
pub(super) const MAX_SCANS: u32 = 100;

const END_OF_IMAGE: u8 = 0xD9;
const START_OF_SCAN: u8 = 0xDA;
const APP2: u8 = 0xE2;

/// Refuses a JPEG with too many scans. Returns its ICC profile.
pub(super) fn check(original: &[u8]) -> Result<Option<Vec<u8>>, ThumbnailError> {
    let mut scans = 0;
    let mut profile = ProfileParts::default();
    let mut rest = original;
    while let Some(at) = memchr::memchr(0xFF, rest) {
        rest = &rest[at + 1..];
        let Some(&marker) = rest.first() else { break };
        match marker {
            // A stuffed zero in the pixel data, fill bytes, and markers without a length.
            0x00 => rest = &rest[1..],
            0xFF => {}
            0x01 | 0xD0..=0xD8 => rest = &rest[1..],
            END_OF_IMAGE if scans > 0 => return Ok(profile.joined()),
            _ => {
                scans += u32::from(marker == START_OF_SCAN);
                if scans > MAX_SCANS {
                    return Err(ThumbnailError::CannotBeDecoded(format!("more than {MAX_SCANS} scans")));
                }
                let &[_, high, low, ..] = rest else { break };
                let end = 1 + usize::from(u16::from_be_bytes([high, low]));
                if marker == APP2 {
                    profile.add(rest.get(3..end).unwrap_or_default());
                }
                rest = rest.get(end..).unwrap_or_default();
            }
        }
    }
    // The decoder reports a truncated file.
    Ok(profile.joined())
}

/// The ICC profile before the first scan of an ordinary file. `thumbnail-jpeg` refuses other files.
pub(super) fn profile(original: &[u8]) -> Option<Vec<u8>> {
    let mut parts = ProfileParts::default();
    let mut rest = original.get(2..)?;
    loop {
        match *rest {
            [0xFF, 0xFF, ..] => rest = &rest[1..],
            [0xFF, START_OF_SCAN, ..] => return parts.joined(),
            [0xFF, marker, high, low, ..] => {
                let end = 2 + usize::from(u16::from_be_bytes([high, low]));
                if marker == APP2 {
                    parts.add(rest.get(4..end).unwrap_or_default());
                }
                rest = rest.get(end..)?;
            }
            _ => return None,
        }
    }
}

/// An ICC profile comes in numbered parts, because a segment holds 64 KiB (ICC.1:2022, B.4).
#[derive(Default)]
struct ProfileParts<'a> {
    parts: BTreeMap<u8, &'a [u8]>,
    total: u8,
}

impl<'a> ProfileParts<'a> {
    fn add(&mut self, segment: &'a [u8]) {
        if let Some([number, total, part @ ..]) = segment.strip_prefix(b"ICC_PROFILE\0") {
            self.total = *total;
            self.parts.insert(*number, part);
        }
    }

    /// The whole profile; `None` if a part is missing.
    fn joined(&self) -> Option<Vec<u8>> {
        let numbers_are_whole = self.parts.keys().copied().eq(1..=self.total);
        let length: usize = self.parts.values().map(|part| part.len()).sum();
        let usable = self.total > 0 && numbers_are_whole && length <= MAX_PROFILE_BYTES;
        usable.then(|| self.parts.values().copied().collect::<Vec<_>>().concat())
    }
}
