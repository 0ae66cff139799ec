//! Scans that add a bit to AC coefficients (T.81, G.1.2.3). Each non-zero coefficient of the band has a bit in them, so
//! the coefficients that are there must be known even where their values are not needed.

use crate::{
    bits::Bits,
    cpu::{Instructions, Work},
    huffman::{END_OF_BLOCK, Table},
    progressive::{Band, Blocks},
};

/// One row of blocks of a refinement scan.
pub(crate) struct Refine<'a, 'b, 'c> {
    pub(crate) bits: &'a mut Bits<'b>,
    pub(crate) blocks: Blocks<'c>,
    pub(crate) table: &'a Table,
    pub(crate) band: Band,
    /// Blocks that the last run still ends.
    pub(crate) ended: &'a mut u32,
}

impl Work for Refine<'_, '_, '_> {
    type Output = Option<()>;

    #[inline(always)]
    fn run(self, instructions: impl Instructions) -> Option<()> {
        let Self { bits: outer, blocks, table, band: Band { from, to, low }, ended } = self;
        // A copy stays in registers.
        let mut bits = *outer;
        let (slots, stride) = (blocks.slots, blocks.stride);
        let step = 1_i16 << low;
        let band = (u64::MAX >> (63 - to)) & (u64::MAX << from);
        let unneeded = slots[127];
        let needed = (0..64).fold(0, |set, k| set | u64::from(slots[k] != unneeded) << k);
        for x in blocks.columns {
            let there = *blocks.present.get(x)? & band;
            let column = blocks.values.get_mut(x..)?;
            let mut correct = Corrections { needed, step, slots, column, stride };
            let mut rest = band;
            let mut new_ones = 0;
            while *ended == 0 && rest != 0 {
                bits.refill();
                let entry = table.look(&bits)?;
                bits.consume(entry.code_bits());
                let run = entry.run();
                if run >= END_OF_BLOCK {
                    let more = run - END_OF_BLOCK;
                    *ended = (1 << more) + bits.take(more) as u32;
                    break;
                }
                // The sign comes before the corrections of the coefficients that are passed.
                let value = match entry.size() {
                    0 => 0,
                    1 if bits.take(1) != 0 => step,
                    1 => -step,
                    _ => return None,
                };
                let zeroes = instructions.without_lowest(rest & !there, run);
                if zeroes == 0 {
                    return None;
                }
                let place = zeroes & zeroes.wrapping_neg();
                correct.apply(&mut bits, there & rest & place.wrapping_sub(1));
                rest &= !(place | place.wrapping_sub(1));
                if value != 0 {
                    new_ones |= place;
                    *correct.value(place.trailing_zeros())? = value;
                }
            }
            if *ended > 0 {
                correct.apply(&mut bits, there & rest);
                *ended -= 1;
            }
            *blocks.present.get_mut(x)? |= new_ones;
        }
        *outer = bits;
        Some(())
    }
}

/// The coefficients of one block.
struct Corrections<'a> {
    needed: u64,
    step: i16,
    slots: &'a [u8; 128],
    /// The values from the block's first on.
    column: &'a mut [i16],
    stride: usize,
}

impl Corrections<'_> {
    #[inline(always)]
    fn value(&mut self, k: u32) -> Option<&mut i16> {
        self.column.get_mut(usize::from(self.slots[(k & 127) as usize]) * self.stride)
    }

    /// Takes a bit for each of these coefficients, and corrects the needed ones.
    #[inline(always)]
    fn apply(&mut self, bits: &mut Bits, all: u64) {
        // A refill brings enough for half of them.
        for which in [all & 0xFFFF_FFFF, all & !0xFFFF_FFFF] {
            let count = which.count_ones();
            if count == 0 {
                continue;
            }
            bits.refill();
            let corrections = bits.take(count);
            if corrections == 0 {
                continue;
            }
            let mut wanted = which & self.needed;
            while wanted != 0 {
                let k = wanted.trailing_zeros();
                let after = (which >> k >> 1).count_ones();
                let step = self.step;
                if (corrections >> after) & 1 != 0
                    && let Some(value) = self.value(k)
                {
                    *value = value.wrapping_add(if *value >= 0 { step } else { -step });
                }
                wanted &= wanted - 1;
            }
        }
    }
}
