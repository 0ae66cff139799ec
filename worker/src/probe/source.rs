//! Reads small pieces of a large file, in a bounded number of steps.

use std::io::{self, Read, Seek, SeekFrom};

use super::ProbeError;

/// The most pieces that a probe reads. Real headers have dozens; a stream of empty segments would never end.
const MAX_PIECES: u32 = 16 * 1024;

/// The file that a header is read from.
pub(crate) struct Source<R> {
    reader: R,
    pieces: u32,
}

impl<R: Read + Seek> Source<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, pieces: 0 }
    }

    fn count(&mut self) -> Result<(), ProbeError> {
        self.pieces += 1;
        if self.pieces > MAX_PIECES { Err(ProbeError::TooManyParts) } else { Ok(()) }
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ProbeError> {
        self.count()?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The next `length` bytes; fewer at the end of the file.
    pub(super) fn up_to(&mut self, length: u32) -> Result<Vec<u8>, ProbeError> {
        self.count()?;
        let mut bytes = Vec::new();
        self.reader.by_ref().take(u64::from(length)).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn u16_be(&mut self) -> Result<u16, ProbeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32_be(&mut self) -> Result<u32, ProbeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Skips `length` bytes. A file that is too short fails at the next read.
    pub(super) fn skip(&mut self, length: u64) -> Result<(), ProbeError> {
        let length = i64::try_from(length).map_err(|_| ProbeError::Damaged("a part is too long"))?;
        self.seek(SeekFrom::Current(length))
    }

    /// Seeks to a position.
    pub(super) fn seek(&mut self, to: SeekFrom) -> Result<(), ProbeError> {
        let gone = self.reader.seek(to);
        gone.map(drop).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => ProbeError::Damaged("it points outside itself"),
            _ => ProbeError::Io(error),
        })
    }
}
