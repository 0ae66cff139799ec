//! Decodes the three fax compressions of TIFF (ITU-T T.4 and T.6, TIFF 6.0 sections 10 and 11). The code tables are
//! those of the `fax` crate, whose own decoders read only pages of up to 65,535 pixels and only one kind of group 3.

use std::{convert::Infallible, iter};

use fax::{
    BitReader, ByteReader, Color,
    maps::{Mode, black, mode, white},
};

use crate::thumbnail::{ThumbnailError, decode::zeroed};

/// Zero bytes after the data, because the tables look ahead.
const LOOK_AHEAD_BYTES: usize = 8;

/// End-of-line codes in a row that end a page of group 3; two already do no harm to a page that goes on.
const END_OF_PAGE: u32 = 2;

/// How rows are coded.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scheme {
    /// Each row by itself, from a byte on.
    Rows,
    /// Rows after end-of-line codes; if two-dimensional, a bit tells whether a row refers to the row above.
    Group3 { is_two_dimensional: bool },
    /// Each row refers to the row above.
    Group4,
}

/// The positions where the colour of a row changes, from white on.
type Changes = Vec<u32>;

/// Decodes rows to bits, 1 for black, each row from a byte on. The rows of a broken page end where it breaks.
pub(super) fn decode(
    stored: &[u8],
    (width, height): (u32, u32),
    scheme: Scheme,
) -> Result<Vec<u8>, ThumbnailError> {
    let stride = width.div_ceil(8) as usize;
    let mut bits = zeroed(stride as u64 * u64::from(height))?;
    let mut page = Fax {
        reader: match ByteReader::new(
            stored.iter().copied().chain(iter::repeat_n(0, LOOK_AHEAD_BYTES)).map(Ok),
        ) {
            Ok(reader) => reader,
            Err(error) => match error {},
        },
        width,
        has_ended: false,
    };
    let mut above = Changes::new();
    let mut done = 0;
    for row in bits.chunks_exact_mut(stride) {
        let changes = match page.row(scheme, &above) {
            Some(changes) => changes,
            // Writers may leave out white rows at the end.
            None if page.has_ended => return Ok(bits),
            None if matches!(scheme, Scheme::Group3 { .. }) && page.find_end_of_line() => above,
            None => break,
        };
        paint(&changes, width, row);
        above = changes;
        done += stride;
    }
    bits.truncate(done);
    Ok(bits)
}

struct Fax<I> {
    reader: ByteReader<I>,
    width: u32,
    /// Whether the code for the end of the page was read.
    has_ended: bool,
}

impl<I: Iterator<Item = Result<u8, Infallible>>> Fax<I> {
    fn row(&mut self, scheme: Scheme, above: &[u32]) -> Option<Changes> {
        match scheme {
            Scheme::Rows => {
                let row = self.alone();
                let unused = self.reader.bits_to_byte_boundary();
                self.consume(unused);
                row
            }
            Scheme::Group3 { is_two_dimensional } => {
                let mut ends = 0;
                let mut is_alone = true;
                while self.skip_end_of_line()? {
                    ends += 1;
                    if is_two_dimensional {
                        is_alone = self.bit()? == 1;
                    }
                }
                if ends > END_OF_PAGE {
                    self.has_ended = true;
                    return None;
                }
                if is_alone { self.alone() } else { self.below(above) }
            }
            Scheme::Group4 => self.below(above),
        }
    }

    /// Goes on to the next end-of-line code, as a fax machine does after a fault of the line.
    fn find_end_of_line(&mut self) -> bool {
        while let Some(bits) = self.reader.peek(11) {
            if bits == 0 {
                return true;
            }
            self.consume(1);
        }
        false
    }

    /// Skips fill bits and an end-of-line code: at least eleven zeroes and a one. `None` at the end of the data.
    fn skip_end_of_line(&mut self) -> Option<bool> {
        if self.reader.peek(11)? != 0 {
            return Some(false);
        }
        while self.bit()? == 0 {}
        Some(true)
    }

    fn bit(&mut self) -> Option<u16> {
        let bit = self.reader.peek(1)?;
        self.consume(1);
        Some(bit)
    }

    fn consume(&mut self, bits: u8) {
        match self.reader.consume(bits) {
            Ok(()) => {}
            Err(error) => match error {},
        }
    }

    /// A row of runs, white first.
    fn alone(&mut self) -> Option<Changes> {
        let mut changes = Changes::new();
        let (mut at, mut colour) = (0, Color::White);
        while at < self.width {
            if self.reader.peek(11) == Some(0) {
                // The row ends early; the rest of it is white.
                if changes.is_empty() {
                    return None;
                }
                break;
            }
            at = at.checked_add(self.run(colour)?)?;
            changes.push(at.min(self.width));
            colour = !colour;
        }
        Some(changes)
    }

    /// The length of a run: any number of codes for multiples of 64, and one for the rest.
    fn run(&mut self, colour: Color) -> Option<u32> {
        let mut length: u32 = 0;
        loop {
            let part = match colour {
                Color::White => white::decode(&mut self.reader)?,
                Color::Black => black::decode(&mut self.reader)?,
            };
            length = length.checked_add(part.into())?;
            if part < 64 {
                return Some(length);
            }
        }
    }

    /// A row that is coded by its differences from the row above (T.6, 2.2). Names of positions are those of the standard.
    fn below(&mut self, above: &[u32]) -> Option<Changes> {
        let mut changes = Changes::new();
        let (mut a0, mut colour) = (None::<u32>, Color::White);
        let mut search = 0;
        while a0.is_none_or(|a0| a0 < self.width) {
            // b1: the first change above, to the right of a0, to the other colour.
            while search > 0 && above.get(search - 1).is_some_and(|at| Some(*at) > a0) {
                search -= 1;
            }
            while above.get(search).is_some_and(|at| a0.is_some_and(|a0| *at <= a0)) {
                search += 1;
            }
            let turns_black = search % 2 == 0;
            let b1_index = search + usize::from(turns_black != (colour == Color::White));
            let position = |index: usize| above.get(index).copied().unwrap_or(self.width);
            match mode::decode(&mut self.reader)? {
                Mode::Pass => a0 = Some(position(b1_index + 1)),
                Mode::Vertical(delta) => {
                    let a1 = position(b1_index).checked_add_signed(delta.into())?.min(self.width);
                    if a0.is_some_and(|a0| a1 < a0) {
                        return None;
                    }
                    changes.push(a1);
                    a0 = Some(a1);
                    colour = !colour;
                }
                Mode::Horizontal => {
                    let first = a0.unwrap_or(0).checked_add(self.run(colour)?)?;
                    let second = first.checked_add(self.run(!colour)?)?;
                    changes.extend([first.min(self.width), second.min(self.width)]);
                    a0 = Some(second.min(self.width));
                }
                Mode::EOF => {
                    self.has_ended = a0.is_none();
                    return None;
                }
                Mode::Extension => return None,
            }
        }
        Some(changes)
    }
}

/// Sets the bits of the black runs.
fn paint(changes: &[u32], width: u32, row: &mut [u8]) {
    for run in changes.chunks(2) {
        let [black, rest @ ..] = run else { return };
        let white = rest.first().copied().unwrap_or(width);
        let (black, white) = (*black as usize, white as usize);
        let (first, last) = (black / 8, white / 8);
        let (head, tail) = (0xFF_u8 >> (black % 8), !(0xFF_u8 >> (white % 8)));
        if black >= white {
            continue;
        }
        if first == last {
            row[first] |= head & tail;
        } else {
            row[first] |= head;
            row[first + 1..last].fill(0xFF);
            if tail != 0 {
                row[last] |= tail;
            }
        }
    }
}
