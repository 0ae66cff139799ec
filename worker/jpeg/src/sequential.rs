//! Sequential scans: each block is complete, so a row of blocks is transformed as soon as it is read.

use std::ops::Range;

use crate::{
    Error,
    bits::{Bits, Unstuffed, extended},
    cpu::{Instructions, Processor, Work},
    frame::{Component, Frame},
    huffman::{END_OF_BLOCK, Kind, Table},
    scan::{self, BAD_DATA, Codes, Intervals, ScanHeader},
    transform::{self, Row},
};

/// The state and the places of one component.
struct Part<'a> {
    dc: &'a Table,
    ac: &'a Table,
    /// Blocks of an MCU, across and down.
    sides: (usize, usize),
    /// The last DC value.
    previous: i32,
    /// Values in a row of blocks, and the place in it of each coefficient's values.
    length: usize,
    offsets: [u32; 128],
    last: u32,
}

/// Decodes a scan to planes. Returns the length of its data. `rows` are buffers.
pub(crate) fn decode(
    processor: Processor,
    frame: &mut Frame,
    header: &ScanHeader,
    codes: &Codes,
    (data, restart): (&[u8], usize),
    (unstuffed, rows): (&mut Unstuffed, &mut [Vec<i16>; 3]),
) -> Result<usize, Error> {
    let mut tables: [[Option<Table>; 4]; 2] = Default::default();
    for part in &header.parts {
        let skips = frame.components[part.component].last < 63;
        for (kind, index) in [(Kind::Dc, part.dc), (Kind::SequentialAc, part.ac)] {
            let made = tables[usize::from(kind != Kind::Dc)].get_mut(index).ok_or(BAD_DATA)?;
            if made.is_none() {
                let table = scan::table(codes, kind, index)?;
                *made = Some(if skips && kind != Kind::Dc { table.with_skip() } else { table });
            }
        }
    }
    let mut parts = Vec::with_capacity(header.parts.len());
    let mut factors = Vec::with_capacity(header.parts.len());
    for part in &header.parts {
        let component = &frame.components[part.component];
        let [Some(dc), Some(ac)] = [&tables[0][part.dc], &tables[1][part.ac]] else { return Err(BAD_DATA) };
        let sides = header.sides(component);
        let length = component.row_length();
        // A side is at most 65,500 pixels.
        let offsets = component.slots.map(|slot| u32::from(slot) * component.stride as u32);
        parts.push(Part { dc, ac, sides, previous: 0, length, offsets, last: component.last });
        factors.push(transform::factors(component.quantisers()?, (component.nx, component.ny), 0));
        let row = &mut rows[parts.len() - 1];
        row.clear();
        row.resize(length * sides.1, 0);
    }
    let mcus = header.mcus(frame);
    Intervals { data, unstuffed, mcus: mcus.0 * mcus.1, restart }.each(|bits, interval| {
        parts.iter_mut().for_each(|part| part.previous = 0);
        for (y, columns) in scan::pieces(interval, mcus.0) {
            if columns.start == 0 {
                rows.iter_mut().take(parts.len()).for_each(|row| row.fill(0));
            }
            let is_last = columns.end == mcus.0;
            processor.run(Blocks { bits, parts: &mut parts, rows, columns }).ok_or(BAD_DATA)?;
            if bits.is_over() {
                return Err(BAD_DATA);
            }
            if !is_last {
                continue;
            }
            for (index, part) in header.parts.iter().enumerate() {
                let component = &mut frame.components[part.component];
                let (_, v) = header.sides(component);
                for (row, coefficients) in rows[index].chunks_exact(parts[index].length).enumerate() {
                    transform_row(processor, component, coefficients, y * v + row, &factors[index]);
                }
            }
        }
        Ok(())
    })
}

/// Makes the samples of a row of blocks. Rows below the picture have none.
pub(crate) fn transform_row(
    processor: Processor,
    component: &mut Component,
    coefficients: &[i16],
    row: usize,
    factors: &[f32; 64],
) {
    let &mut Component { stride, nx, ny, ref mut plane, .. } = component;
    let width = plane.width;
    let Some(samples) = plane.samples.chunks_mut(width * ny).nth(row) else { return };
    processor.run(Row { coefficients, stride, sides: (nx, ny), factors, samples, width });
}

/// MCUs of one row.
struct Blocks<'a, 'b, 'c, 'd> {
    bits: &'a mut Bits<'b>,
    parts: &'a mut [Part<'c>],
    rows: &'d mut [Vec<i16>; 3],
    columns: Range<usize>,
}

impl Work for Blocks<'_, '_, '_, '_> {
    type Output = Option<()>;

    #[inline(always)]
    fn run(self, _: impl Instructions) -> Option<()> {
        // A copy stays in registers.
        let mut bits = *self.bits;
        for x in self.columns {
            for (part, row) in self.parts.iter_mut().zip(&mut *self.rows) {
                let (h, v) = part.sides;
                for dy in 0..v {
                    let row = row.get_mut(dy * part.length..(dy + 1) * part.length)?;
                    for dx in 0..h {
                        part.previous = block(&mut bits, part, row, x * h + dx)?;
                    }
                }
            }
        }
        *self.bits = bits;
        Some(())
    }
}

/// Reads a block. Returns its DC value.
#[inline(always)]
fn block(bits: &mut Bits, part: &Part, row: &mut [i16], at: usize) -> Option<i32> {
    bits.refill();
    let entry = part.dc.look(bits)?;
    let difference = extended(bits.next() << entry.code_bits(), entry.size());
    let dc = part.previous.wrapping_add(difference);
    bits.consume(entry.bits());
    // libjpeg stores 16 bits, too.
    *row.get_mut(at)? = dc as i16;
    let (mut k, mut run) = (1, 0);
    while k <= part.last {
        bits.refill();
        for _ in 0..2 {
            let entry = part.ac.look(bits)?;
            let value = extended(bits.next() << entry.code_bits(), entry.size());
            bits.consume(entry.bits());
            run = entry.run();
            k += run;
            // After an end of block this writes a zero where no coefficient is needed.
            *row.get_mut(part.offsets[(k & 127) as usize] as usize + at)? = value as i16;
            k += 1;
            if k > part.last {
                break;
            }
        }
    }
    if k < 64 {
        skip(bits, part.ac, k)?;
    } else if k > 64 && run < END_OF_BLOCK {
        return None;
    }
    Some(dc)
}

/// Skips the rest of a block, from coefficient `k`.
#[inline(always)]
fn skip(bits: &mut Bits, table: &Table, k: u32) -> Option<()> {
    let mut place = k - 1;
    while place < 63 {
        bits.refill();
        let (used, steps) = table.skip(bits);
        if (place + steps) & 64 == 0 {
            bits.consume(used);
            place += steps;
            if place >= 63 {
                break;
            }
            let (used, steps) = table.skip(bits);
            if (place + steps) & 64 == 0 {
                bits.consume(used);
                place += steps;
                continue;
            }
            bits.refill();
        }
        let entry = table.look(bits)?;
        bits.consume(entry.bits());
        place += entry.run() + 1;
        if place > 63 && entry.run() < END_OF_BLOCK {
            return None;
        }
    }
    Some(())
}
