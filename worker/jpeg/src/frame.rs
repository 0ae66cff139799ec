//! The frame header, and the components of a picture.

use crate::{
    Error, Options, Plane,
    quantiser::{Quantisers, ZIGZAG},
    transform::LANES,
};

/// The largest side, in pixels. libjpeg accepts no more.
const MAX_SIDE: usize = 65_500;

/// How the AC coefficients of a progressive component are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    /// No scan refines them, so each is read once.
    Final,
    /// Exactly: later scans depend on which coefficients are there.
    Exact,
    /// Only from the first scan of each band. Half a step is added, which takes one more bit.
    Coarse,
}

/// One component: brightness or a colour.
pub(crate) struct Component {
    pub(crate) id: u8,
    /// Blocks of an MCU, across and down.
    pub(crate) h: usize,
    pub(crate) v: usize,
    /// The table of quantisers.
    pub(crate) table: u8,
    /// The quantisers, from the component's first scan on: the file may then define others.
    pub(crate) quantisers: Option<Quantisers>,
    /// Samples that are made of a block.
    pub(crate) nx: usize,
    pub(crate) ny: usize,
    /// Blocks that cover the picture, and those of whole MCUs.
    pub(crate) blocks: (usize, usize),
    pub(crate) padded: (usize, usize),
    /// Values of one coefficient in a row of blocks.
    pub(crate) stride: usize,
    pub(crate) plane: Plane,
    /// Of a progressive picture: rows of blocks, each with its coefficients one after the other.
    pub(crate) coefficients: Vec<i16>,
    /// With [`Precision::Exact`]: the coefficients of each block that are not zero, as bits in the order of the file.
    pub(crate) present: Vec<u64>,
    pub(crate) precision: Precision,
    /// The index of each coefficient, by the order of the file; one past the last for coefficients that are not needed.
    /// Entries past 63 are never needed; they spare a check.
    pub(crate) slots: [u8; 128],
    /// The last coefficient that is needed, in the order of the file.
    pub(crate) last: u32,
    /// The bit that each coefficient has reached (Al of T.81, G.1.1.1.1); `None` before its first scan.
    pub(crate) reached: [Option<u8>; 64],
}

impl Component {
    /// Values in a row of blocks: all needed coefficients, and one that takes the others.
    pub(crate) const fn row_length(&self) -> usize {
        (self.nx * self.ny + 1) * self.stride
    }

    /// The quantisers of the first scan.
    pub(crate) fn quantisers(&self) -> Result<&Quantisers, Error> {
        self.quantisers.as_ref().ok_or(Error::Damaged("a component has no scan"))
    }

    /// Bits below those of the file in an AC coefficient.
    pub(crate) fn fraction_bits(&self) -> u32 {
        u32::from(self.precision == Precision::Coarse)
    }
}

/// The picture as its frame header defines it.
pub(crate) struct Frame {
    pub(crate) is_progressive: bool,
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Brightness samples that one colour sample stands for.
    pub(crate) sampling: (usize, usize),
    pub(crate) mcus: (usize, usize),
    pub(crate) components: Vec<Component>,
}

/// A component as the header describes it: id, blocks across and down, table.
type Shape = (u8, usize, usize, u8);

impl Frame {
    /// Reads a frame header and allocates.
    pub(crate) fn read(segment: &[u8], is_progressive: bool, options: &Options) -> Result<Self, Error> {
        let &[precision, h1, h0, w1, w0, count, ref rest @ ..] = segment else {
            return Err(Error::Damaged("the frame header is too short"));
        };
        if precision != 8 {
            return Err(Error::Unsupported("more than 8 bits a sample"));
        }
        let side = |high, low| usize::from(u16::from_be_bytes([high, low]));
        let (width, height) = (side(w1, w0), side(h1, h0));
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            return Err(Error::Unsupported("a side of nothing or of more than 65500 pixels"));
        }
        if !matches!(count, 1 | 3) || rest.len() != usize::from(count) * 3 {
            return Err(Error::Unsupported("other than one or three components"));
        }
        let shapes: Vec<Shape> = rest
            .as_chunks::<3>()
            .0
            .iter()
            .map(|&[id, sampling, table]| (id, usize::from(sampling >> 4), usize::from(sampling & 15), table))
            .collect();
        let most = check_sampling(&shapes)?;
        let mcus = (width.div_ceil(8 * most.0), height.div_ceil(8 * most.1));
        let mut budget = options.max_bytes;
        let components = shapes
            .iter()
            .enumerate()
            .map(|(index, shape)| {
                component(*shape, (width, height), most, mcus, sides(*shape, most, index > 0, options))
                    .allocated(is_progressive, &mut budget)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let sampling = match &components[..] {
            [brightness, colour, _] => (
                most.0 * brightness.nx / (colour.h * colour.nx),
                most.1 * brightness.ny / (colour.v * colour.ny),
            ),
            _ => (1, 1),
        };
        Ok(Self { is_progressive, width, height, sampling, mcus, components })
    }
}

/// Returns the sampling of brightness, which must be the finest.
fn check_sampling(shapes: &[Shape]) -> Result<(usize, usize), Error> {
    let known = |side: usize| matches!(side, 1 | 2 | 4);
    if shapes.iter().any(|(_, h, v, table)| !known(*h) || !known(*v) || *table > 3) {
        return Err(Error::Unsupported("sampling factors other than 1, 2 and 4"));
    }
    let most = (shapes[0].1, shapes[0].2);
    if shapes.iter().any(|(_, h, v, _)| *h > most.0 || *v > most.1) {
        return Err(Error::Unsupported("brightness is not sampled the finest"));
    }
    if let [brightness, blue, red] = shapes {
        if (blue.1, blue.2) != (red.1, red.2) {
            return Err(Error::Unsupported("the colours are sampled in two ways"));
        }
        if brightness.0 == blue.0 || brightness.0 == red.0 || blue.0 == red.0 {
            return Err(Error::Damaged("two components have one id"));
        }
    }
    Ok(most)
}

/// Samples that are made of a block, across and down.
fn sides((_, h, v, _): Shape, most: (usize, usize), is_colour: bool, options: &Options) -> (usize, usize) {
    let n = options.scale.samples();
    let halved = |own, most| {
        if options.halve_colour && is_colour && own == most && n.is_multiple_of(2) { n / 2 } else { n }
    };
    (halved(h, most.0), halved(v, most.1))
}

fn component(
    (id, h, v, table): Shape,
    (width, height): (usize, usize),
    most: (usize, usize),
    mcus: (usize, usize),
    (nx, ny): (usize, usize),
) -> Component {
    let padded = (mcus.0 * h, mcus.1 * v);
    // There are at most 64 coefficients.
    let (mut slots, mut last) = ([(nx * ny) as u8; 128], 0);
    for (zigzag, place) in (0_u32..).zip(ZIGZAG) {
        let (u, v) = (usize::from(place % 8), usize::from(place / 8));
        if u < nx && v < ny {
            slots[zigzag as usize] = (v * nx + u) as u8;
            last = zigzag;
        }
    }
    Component {
        id,
        h,
        v,
        table,
        quantisers: None,
        nx,
        ny,
        blocks: ((width * h).div_ceil(8 * most.0), (height * v).div_ceil(8 * most.1)),
        padded,
        stride: padded.0.next_multiple_of(LANES),
        plane: Plane {
            width: (width * h * nx).div_ceil(8 * most.0),
            height: (height * v * ny).div_ceil(8 * most.1),
            samples: Vec::new(),
        },
        coefficients: Vec::new(),
        present: Vec::new(),
        precision: Precision::Final,
        slots,
        last,
        reached: [None; 64],
    }
}

impl Component {
    /// Allocates the plane and, of a progressive picture, coefficients; with room in the budget for
    /// [`keep_presence`](Self::keep_presence).
    fn allocated(mut self, is_progressive: bool, budget: &mut usize) -> Result<Self, Error> {
        let (samples, values) = (self.plane.width * self.plane.height, self.row_length() * self.padded.1);
        let bytes = if is_progressive {
            samples + values * size_of::<i16>() + self.padded.0 * self.padded.1 * size_of::<u64>()
        } else {
            // The coefficients of one row of MCUs.
            samples + self.row_length() * self.v * size_of::<i16>()
        };
        *budget = budget.checked_sub(bytes).ok_or(Error::NeedsTooMuchMemory)?;
        self.plane.samples = zeroes(samples)?;
        if is_progressive {
            self.coefficients = zeroes(values)?;
        }
        Ok(self)
    }

    /// Allocates what [`Precision::Exact`] needs.
    pub(crate) fn keep_presence(&mut self) -> Result<(), Error> {
        self.present = zeroes(self.padded.0 * self.padded.1)?;
        Ok(())
    }
}

/// A buffer whose pages the kernel zeroes on first use.
fn zeroes<T: Clone + Default>(length: usize) -> Result<Vec<T>, Error> {
    // `vec!` aborts when memory is short, so a fallible reservation is tried first.
    Vec::<T>::new().try_reserve_exact(length).map_err(|_| Error::NeedsTooMuchMemory)?;
    Ok(vec![T::default(); length])
}
