//! Progressive scans: coefficients come in bands and bits, and are transformed at the end.

use std::ops::Range;

use crate::{
    Error,
    bits::{Bits, Unstuffed, extended},
    cpu::{Instructions, Processor, Work},
    frame::{Component, Frame, Precision},
    huffman::{END_OF_BLOCK, Kind, Table},
    refinement::Refine,
    scan::{self, BAD_DATA, Codes, Intervals, ScanHeader},
    sequential::transform_row,
    transform,
};

/// Decodes a scan to coefficients. Returns the length of its data; `None` if nothing in it is needed.
pub(crate) fn decode(
    processor: Processor,
    frame: &mut Frame,
    header: &ScanHeader,
    codes: &Codes,
    (data, restart): (&[u8], usize),
    unstuffed: &mut Unstuffed,
) -> Result<Option<usize>, Error> {
    let mcus = header.mcus(frame);
    let intervals = Intervals { data, unstuffed, mcus: mcus.0 * mcus.1, restart };
    if header.from == 0 {
        return dc(frame, header, codes, intervals).map(Some);
    }
    let [part] = header.parts[..] else { return Err(BAD_DATA) };
    let component = &mut frame.components[part.component];
    let is_needed = match component.precision {
        // Later scans depend on the whole band.
        Precision::Exact => component.last > 0,
        Precision::Final | Precision::Coarse => u32::from(header.from) <= component.last && header.high == 0,
    };
    if !is_needed {
        return Ok(None);
    }
    let band = Band { from: header.from.into(), to: header.to.into(), low: header.low.into() };
    let mut table = scan::table(codes, Kind::ProgressiveAc, part.ac)?;
    if component.precision != Precision::Exact && component.last < band.to {
        table = table.with_skip();
    }
    let length = intervals.each(|bits, interval| {
        // Blocks that a run ends, including the present one.
        let mut ended = 0;
        for (y, columns) in scan::pieces(interval, mcus.0) {
            let blocks = Blocks::new(component, y, columns);
            let (table, ended) = (&table, &mut ended);
            let done = match (blocks.precision, header.high) {
                (_, 1..) => processor.run(Refine { bits, blocks, table, band, ended }),
                (Precision::Exact, 0) => processor.run(First::<EXACT> { bits, blocks, table, band, ended }),
                (Precision::Final, 0) => processor.run(First::<FINAL> { bits, blocks, table, band, ended }),
                (Precision::Coarse, 0) => processor.run(First::<COARSE> { bits, blocks, table, band, ended }),
            };
            done.ok_or(BAD_DATA)?;
            if bits.is_over() {
                return Err(BAD_DATA);
            }
        }
        Ok(())
    })?;
    Ok(Some(length))
}

/// The coefficients of a scan, in the order of the file, and the bit that it reaches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Band {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) low: u32,
}

/// Blocks of one row of a component.
pub(crate) struct Blocks<'a> {
    pub(crate) values: &'a mut [i16],
    /// With [`Precision::Exact`], of all blocks of the row.
    pub(crate) present: &'a mut [u64],
    pub(crate) columns: Range<usize>,
    pub(crate) slots: &'a [u8; 128],
    pub(crate) stride: usize,
    pub(crate) last: u32,
    precision: Precision,
}

impl<'a> Blocks<'a> {
    fn new(component: &'a mut Component, row: usize, columns: Range<usize>) -> Self {
        let (length, across) = (component.row_length(), component.padded.0);
        let present = match component.precision {
            Precision::Exact => &mut component.present[row * across..][..across],
            Precision::Final | Precision::Coarse => &mut [][..],
        };
        Self {
            values: &mut component.coefficients[row * length..][..length],
            present,
            columns,
            slots: &component.slots,
            stride: component.stride,
            last: component.last,
            precision: component.precision,
        }
    }
}

/// DC coefficients, first or refined.
fn dc(frame: &mut Frame, header: &ScanHeader, codes: &Codes, intervals: Intervals) -> Result<usize, Error> {
    struct Part {
        component: usize,
        table: Option<Table>,
        previous: i32,
    }
    let mut parts = Vec::with_capacity(header.parts.len());
    for part in &header.parts {
        let table = if header.high == 0 { Some(scan::table(codes, Kind::Dc, part.dc)?) } else { None };
        parts.push(Part { component: part.component, table, previous: 0 });
    }
    let across = header.mcus(frame).0;
    let low = u32::from(header.low);
    intervals.each(|bits, interval| {
        parts.iter_mut().for_each(|part| part.previous = 0);
        for (y, columns) in scan::pieces(interval, across) {
            for x in columns {
                for Part { component, table, previous } in &mut parts {
                    let component = &mut frame.components[*component];
                    let ((h, v), length) = (header.sides(component), component.row_length());
                    for (dy, dx) in (0..v).flat_map(|dy| (0..h).map(move |dx| (dy, dx))) {
                        bits.refill();
                        let value = &mut component.coefficients[(y * v + dy) * length + x * h + dx];
                        if let Some(table) = table {
                            let entry = table.look(bits).ok_or(BAD_DATA)?;
                            let difference = extended(bits.next() << entry.code_bits(), entry.size());
                            *previous = previous.wrapping_add(difference);
                            bits.consume(entry.bits());
                            *value = (*previous << low) as i16;
                        } else {
                            *value |= (bits.take(1) << low) as i16;
                        }
                    }
                }
            }
            if bits.is_over() {
                return Err(BAD_DATA);
            }
        }
        Ok(())
    })
}

/// The precisions as constants.
const EXACT: u8 = 0;
const FINAL: u8 = 1;
const COARSE: u8 = 2;

/// The first scan of a band of AC coefficients (T.81, G.1.2.2).
struct First<'a, 'b, 'c, const PRECISION: u8> {
    bits: &'a mut Bits<'b>,
    blocks: Blocks<'c>,
    table: &'a Table,
    band: Band,
    ended: &'a mut u32,
}

impl<const PRECISION: u8> Work for First<'_, '_, '_, PRECISION> {
    type Output = Option<()>;

    #[inline(always)]
    fn run(self, _: impl Instructions) -> Option<()> {
        let Self { bits: outer, blocks, table, band: Band { from, to, low }, ended } = self;
        // A copy stays in registers.
        let mut bits = *outer;
        let mut x = blocks.columns.start;
        let needed = if PRECISION == EXACT { to } else { blocks.last.min(to) };
        while x < blocks.columns.end {
            if *ended > 0 {
                // A row has far fewer than 2³² blocks.
                let skipped = (*ended).min((blocks.columns.end - x) as u32);
                *ended -= skipped;
                x += skipped as usize;
                continue;
            }
            let mut k = from;
            let mut present = 0;
            loop {
                if k > needed {
                    if PRECISION == EXACT || k > to {
                        break;
                    }
                    bits.refill();
                    let (used, steps) = table.skip(&bits);
                    // As if the band ended at 63.
                    let place = k - 1 + (63 - to) + steps;
                    if place & 64 == 0 {
                        bits.consume(used);
                        if place >= 63 {
                            break;
                        }
                        k += steps;
                        continue;
                    }
                }
                bits.refill();
                let entry = table.look(&bits)?;
                let value = extended(bits.next() << entry.code_bits(), entry.size());
                bits.consume(entry.bits());
                let run = entry.run();
                if run >= END_OF_BLOCK {
                    let more = run - END_OF_BLOCK;
                    *ended = (1 << more) - 1 + bits.take(more) as u32;
                    break;
                }
                k += run;
                if k > to {
                    return None;
                }
                if PRECISION == EXACT {
                    present |= u64::from(entry.size() != 0) << (k & 63);
                }
                let value = match PRECISION {
                    // The middle of what was cut off, in halves.
                    COARSE if low > 0 => (value << (low + 1)) + (value.signum() << low),
                    COARSE => value << 1,
                    _ => value << low,
                };
                let slot = usize::from(blocks.slots[(k & 127) as usize]);
                *blocks.values.get_mut(slot * blocks.stride + x)? = value as i16;
                k += 1;
            }
            if PRECISION == EXACT {
                *blocks.present.get_mut(x)? |= present;
            }
            x += 1;
        }
        *outer = bits;
        Some(())
    }
}

/// Makes the planes of all coefficients.
pub(crate) fn transform(processor: Processor, frame: &mut Frame) -> Result<(), Error> {
    for component in &mut frame.components {
        let sides = (component.nx, component.ny);
        let factors = transform::factors(component.quantisers()?, sides, component.fraction_bits());
        let (coefficients, length) = (std::mem::take(&mut component.coefficients), component.row_length());
        for (row, values) in coefficients.chunks_exact(length).enumerate() {
            transform_row(processor, component, values, row, &factors);
        }
        component.coefficients = coefficients;
    }
    Ok(())
}
