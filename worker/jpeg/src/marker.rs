//! The segments of a file (T.81, B.1).

use crate::Error;

pub(crate) const START_OF_IMAGE: u8 = 0xD8;
pub(crate) const END_OF_IMAGE: u8 = 0xD9;
pub(crate) const START_OF_SCAN: u8 = 0xDA;
pub(crate) const QUANTISERS: u8 = 0xDB;
pub(crate) const HUFFMAN_TABLES: u8 = 0xC4;
pub(crate) const RESTART_INTERVAL: u8 = 0xDD;
pub(crate) const FIRST_RESTART: u8 = 0xD0;
/// Frames that are decoded: baseline, extended sequential and progressive.
pub(crate) const BASELINE: u8 = 0xC0;
pub(crate) const PROGRESSIVE: u8 = 0xC2;
pub(crate) const APP0: u8 = 0xE0;
pub(crate) const APP2: u8 = 0xE2;
pub(crate) const APP14: u8 = 0xEE;
pub(crate) const APP15: u8 = 0xEF;
pub(crate) const COMMENT: u8 = 0xFE;

/// A segment: its marker and what follows the length.
pub(crate) struct Segment<'a> {
    pub(crate) marker: u8,
    pub(crate) bytes: &'a [u8],
}

/// Reads a file from front to back.
#[derive(Clone)]
pub(crate) struct Segments<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Segments<'a> {
    /// Starts after the start of the image.
    pub(crate) fn new(file: &'a [u8]) -> Result<Self, Error> {
        if file.starts_with(&[0xFF, START_OF_IMAGE]) {
            Ok(Self { file, at: 2 })
        } else {
            Err(Error::Damaged("it does not begin as a JPEG"))
        }
    }

    /// The next segment; the end of the image has no bytes. Fill bytes before a marker are skipped, anything else between
    /// segments is refused, and so are markers without a length, which have no place here.
    pub(crate) fn next(&mut self) -> Result<Segment<'a>, Error> {
        const CUT: Error = Error::Damaged("it ends before the end of the image");
        let marker = loop {
            match self.rest() {
                [0xFF, 0xFF, ..] => self.at += 1,
                [0xFF, marker, ..] => break *marker,
                [_, _, ..] => return Err(Error::Damaged("there are bytes between two segments")),
                _ => return Err(CUT),
            }
        };
        self.at += 2;
        match marker {
            END_OF_IMAGE => return Ok(Segment { marker, bytes: &[] }),
            0x00..=0x01 | 0xD0..=START_OF_IMAGE => {
                return Err(Error::Damaged("a marker is in the wrong place"));
            }
            _ => {}
        }
        let length = self.rest().first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)));
        let length = length.ok_or(CUT)?;
        if length < 2 {
            return Err(Error::Damaged("a segment is shorter than its length"));
        }
        let bytes = self.rest().get(2..length).ok_or(CUT)?;
        self.at += length;
        Ok(Segment { marker, bytes })
    }

    /// All bytes from here.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.file.get(self.at..).unwrap_or_default()
    }

    /// Skips bytes.
    pub(crate) fn skip(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Skips the entropy-coded data of a scan with its restart markers.
    pub(crate) fn skip_scan(&mut self) {
        while let Some(found) = memchr::memchr(0xFF, self.rest()) {
            self.at += found;
            match self.rest().get(1) {
                Some(0 | 0xD0..=0xD7) => self.at += 2,
                Some(0xFF) => self.at += 1,
                _ => return,
            }
        }
        self.at = self.file.len();
    }
}
