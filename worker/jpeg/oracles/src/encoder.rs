//! Writes JPEGs of given coefficients, with any sampling, restart interval, order of scans and Huffman tables.

use std::collections::BTreeMap;

use crate::writer::Writer;

/// The place, row by row, of each coefficient in the order of the file.
#[must_use]
pub fn zigzag() -> [usize; 64] {
    let mut places: Vec<(usize, usize)> = (0..64).map(|place| (place % 8, place / 8)).collect();
    places.sort_by_key(|&(x, y)| (x + y, if (x + y) % 2 == 0 { x } else { y }));
    std::array::from_fn(|index| places[index].1 * 8 + places[index].0)
}

/// A block's coefficients, in the order of the file.
pub type Block = [i16; 64];

/// A component of a picture.
#[derive(Debug, Clone)]
pub struct Component {
    /// Its id in the file.
    pub id: u8,
    /// Blocks of an MCU across.
    pub h: usize,
    /// Blocks of an MCU down.
    pub v: usize,
    /// The steps, row by row.
    pub quantisers: [u16; 64],
    /// Blocks of whole MCUs, across and down.
    pub padded: (usize, usize),
    /// Blocks that cover the picture, across and down.
    pub blocks: (usize, usize),
    /// The blocks of whole MCUs, row by row.
    pub coefficients: Vec<Block>,
}

/// A picture as coefficients.
#[derive(Debug, Clone)]
pub struct Coded {
    /// Its width in pixels.
    pub width: usize,
    /// Its height in pixels.
    pub height: usize,
    /// One or three.
    pub components: Vec<Component>,
}

/// A scan (T.81, B.2.3).
#[derive(Debug, Clone)]
pub struct Scan {
    /// Indices of the components.
    pub components: Vec<usize>,
    /// The first coefficient, in the order of the file.
    pub from: usize,
    /// The last coefficient.
    pub to: usize,
    /// The bit that earlier scans reached.
    pub high: u8,
    /// The bit that it reaches.
    pub low: u8,
}

/// The lengths of Huffman codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lengths {
    /// All codes of a table are equally long.
    Flat,
    /// Frequent symbols have short codes, and most others codes of 16 bits.
    Skewed,
}

/// How a picture is written.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Whether the frame is progressive.
    pub is_progressive: bool,
    /// In the order of the file.
    pub scans: Vec<Scan>,
    /// MCUs between restart markers, for each scan; the last counts for the others.
    pub restarts: Vec<u16>,
    /// The lengths of codes.
    pub lengths: Lengths,
    /// Segments after the start of the image.
    pub extra: Vec<u8>,
}

enum Item {
    Symbol { table: (u8, u8), symbol: u8 },
    Bits { value: u32, count: u32 },
    Restart,
}

/// A segment with its marker and length.
#[must_use]
pub fn segment(marker: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len() + 2).unwrap().to_be_bytes();
    [&[0xFF, marker], &length[..], bytes].concat()
}

impl Coded {
    /// The file. Each scan has Huffman tables of its own.
    #[must_use]
    pub fn write(&self, layout: &Layout) -> Vec<u8> {
        let mut file = vec![0xFF, 0xD8];
        file.extend(&layout.extra);
        for (index, component) in self.components.iter().enumerate() {
            let is_wide = component.quantisers.iter().any(|step| *step > 255);
            let mut bytes = vec![u8::from(is_wide) << 4 | u8::try_from(index).unwrap()];
            for place in zigzag() {
                let step = component.quantisers[place].to_be_bytes();
                bytes.extend(if is_wide { &step[..] } else { &step[1..] });
            }
            file.extend(segment(0xDB, &bytes));
        }
        let side = |side: usize| u16::try_from(side).unwrap().to_be_bytes();
        let count = u8::try_from(self.components.len()).unwrap();
        let mut header = [&[8], &side(self.height)[..], &side(self.width), &[count]].concat();
        for (index, component) in (0..).zip(&self.components) {
            let sampling = u8::try_from(component.h << 4 | component.v).unwrap();
            header.extend([component.id, sampling, index]);
        }
        file.extend(segment(if layout.is_progressive { 0xC2 } else { 0xC1 }, &header));
        for (index, scan) in layout.scans.iter().enumerate() {
            let restart = *layout.restarts.get(index).or(layout.restarts.last()).unwrap_or(&0);
            file.extend(segment(0xDD, &restart.to_be_bytes()));
            self.scan(scan, layout, restart.into(), &mut file);
        }
        file.extend([0xFF, 0xD9]);
        file
    }

    fn scan(&self, scan: &Scan, layout: &Layout, restart: usize, file: &mut Vec<u8>) {
        let items = self.items(scan, layout.is_progressive, restart);
        let mut counts: BTreeMap<(u8, u8), BTreeMap<u8, u32>> = BTreeMap::new();
        for item in &items {
            if let Item::Symbol { table, symbol } = item {
                *counts.entry(*table).or_default().entry(*symbol).or_default() += 1;
            }
        }
        let codes: BTreeMap<_, _> =
            counts.iter().map(|(table, counts)| (*table, codes(counts, layout.lengths))).collect();
        for (table, (counts, symbols, _)) in &codes {
            file.extend(segment(0xC4, &[&[table.0 << 4 | table.1], &counts[..], symbols].concat()));
        }
        let mut header = vec![u8::try_from(scan.components.len()).unwrap()];
        for component in &scan.components {
            let table = u8::try_from(*component).unwrap();
            header.extend([self.components[*component].id, table << 4 | table]);
        }
        header.extend([scan.from as u8, scan.to as u8, scan.high << 4 | scan.low]);
        file.extend(segment(0xDA, &header));
        let mut writer = Writer::default();
        let mut number = 0;
        for item in items {
            match item {
                Item::Symbol { table, symbol } => {
                    let (value, count) = codes[&table].2[&symbol];
                    writer.put(value, count, file);
                }
                Item::Bits { value, count } => writer.put(value, count, file),
                Item::Restart => {
                    writer.flush(file);
                    file.extend([0xFF, 0xD0 + number]);
                    number = (number + 1) % 8;
                }
            }
        }
        writer.flush(file);
    }

    /// The blocks of each MCU: component and index.
    fn mcus(&self, scan: &Scan) -> Vec<Vec<(usize, usize)>> {
        if let [one] = scan.components[..] {
            let component = &self.components[one];
            let (across, down) = component.blocks;
            let places = (0..down).flat_map(|y| (0..across).map(move |x| y * component.padded.0 + x));
            return places.map(|place| vec![(one, place)]).collect();
        }
        let first = &self.components[scan.components[0]];
        let (across, down) = (first.padded.0 / first.h, first.padded.1 / first.v);
        let mut all = Vec::new();
        for (y, x) in (0..down).flat_map(|y| (0..across).map(move |x| (y, x))) {
            let mut mcu = Vec::new();
            for &index in &scan.components {
                let Component { h, v, padded, .. } = self.components[index];
                for (dy, dx) in (0..v).flat_map(|dy| (0..h).map(move |dx| (dy, dx))) {
                    mcu.push((index, (y * v + dy) * padded.0 + x * h + dx));
                }
            }
            all.push(mcu);
        }
        all
    }

    fn items(&self, scan: &Scan, is_progressive: bool, restart: usize) -> Vec<Item> {
        let mut coder =
            Coder { items: Vec::new(), previous: [0; 3], run: 0, run_corrections: Vec::new(), table: 0 };
        for (index, mcu) in self.mcus(scan).into_iter().enumerate() {
            if restart > 0 && index > 0 && index % restart == 0 {
                coder.end_run();
                coder.previous = [0; 3];
                coder.items.push(Item::Restart);
            }
            for (component, place) in mcu {
                coder.table = u8::try_from(component).unwrap();
                let block = &self.components[component].coefficients[place];
                match (is_progressive, scan.from, scan.high) {
                    (false, ..) => coder.sequential(component, block),
                    (true, 0, 0) => coder.dc(component, block[0] >> scan.low),
                    (true, 0, _) => coder.bits(u32::from((block[0] >> scan.low) & 1 != 0), 1),
                    (true, _, 0) => coder.first(block, scan),
                    (true, ..) => coder.refine(block, scan),
                }
            }
        }
        coder.end_run();
        coder.items
    }
}

struct Coder {
    items: Vec<Item>,
    previous: [i16; 3],
    /// Blocks that ended without a symbol so far, and their correction bits.
    run: u32,
    run_corrections: Vec<u32>,
    table: u8,
}

impl Coder {
    fn symbol(&mut self, class: u8, symbol: u8) {
        self.items.push(Item::Symbol { table: (class, self.table), symbol });
    }

    fn bits(&mut self, value: u32, count: u32) {
        self.items.push(Item::Bits { value, count });
    }

    fn value(&mut self, value: i16, size: u32) {
        let bits = if value < 0 { i32::from(value) - 1 } else { value.into() };
        self.bits(bits.cast_unsigned() & ((1 << size) - 1), size);
    }

    fn dc(&mut self, component: usize, value: i16) {
        let difference = value - self.previous[component];
        self.previous[component] = value;
        let size = size(difference);
        self.symbol(0, size as u8);
        self.value(difference, size);
    }

    fn sequential(&mut self, component: usize, block: &Block) {
        self.dc(component, block[0]);
        let last = (1..64).rev().find(|k| block[*k] != 0).unwrap_or(0);
        let mut zeroes = 0;
        for &value in &block[1..=last] {
            zeroes = self.ac(value, zeroes);
        }
        if last < 63 {
            self.symbol(1, 0);
        }
    }

    /// Returns the zeroes that were not written.
    fn ac(&mut self, value: i16, mut zeroes: u8) -> u8 {
        if value == 0 {
            return zeroes + 1;
        }
        while zeroes > 15 {
            self.symbol(1, 0xF0);
            zeroes -= 16;
        }
        let size = size(value);
        self.symbol(1, zeroes << 4 | size as u8);
        self.value(value, size);
        0
    }

    fn first(&mut self, block: &Block, scan: &Scan) {
        let shifted = |value: i16| value.signum() * (value.abs() >> scan.low);
        let band = &block[scan.from..=scan.to];
        let Some(last) = band.iter().rposition(|value| shifted(*value) != 0) else {
            return self.end_block(&[]);
        };
        self.end_run();
        let mut zeroes = 0;
        for &value in &band[..=last] {
            zeroes = self.ac(shifted(value), zeroes);
        }
        if last + 1 < band.len() {
            self.end_block(&[]);
        }
    }

    fn refine(&mut self, block: &Block, scan: &Scan) {
        let band = &block[scan.from..=scan.to];
        let shifted = |value: i16| value.abs() >> scan.low;
        let last_new = band.iter().rposition(|value| shifted(*value) == 1);
        let (mut zeroes, mut corrections) = (0, Vec::new());
        for (k, &value) in band.iter().enumerate() {
            if shifted(value) == 0 {
                zeroes += 1;
                continue;
            }
            while zeroes > 15 && last_new.is_some_and(|last| k <= last) {
                self.end_run();
                self.symbol(1, 0xF0);
                zeroes -= 16;
                corrections.drain(..).for_each(|bit| self.bits(bit, 1));
            }
            if shifted(value) > 1 {
                corrections.push(u32::from(shifted(value) & 1 != 0));
                continue;
            }
            self.end_run();
            self.symbol(1, zeroes << 4 | 1);
            self.bits(u32::from(value > 0), 1);
            corrections.drain(..).for_each(|bit| self.bits(bit, 1));
            zeroes = 0;
        }
        if zeroes > 0 || !corrections.is_empty() {
            self.end_block(&corrections);
        }
    }

    fn end_block(&mut self, corrections: &[u32]) {
        self.run += 1;
        self.run_corrections.extend(corrections);
        if self.run == 0x7FFF {
            self.end_run();
        }
    }

    fn end_run(&mut self) {
        if self.run > 0 {
            let size = self.run.ilog2();
            self.symbol(1, (size as u8) << 4);
            self.bits(self.run & ((1 << size) - 1), size);
            self.run = 0;
            for bit in std::mem::take(&mut self.run_corrections) {
                self.bits(bit, 1);
            }
        }
    }
}

fn size(value: i16) -> u32 {
    16 - value.unsigned_abs().leading_zeros()
}

type Codes = ([u8; 16], Vec<u8>, BTreeMap<u8, (u32, u32)>);

fn codes(counts: &BTreeMap<u8, u32>, lengths: Lengths) -> Codes {
    let mut symbols: Vec<u8> = counts.keys().copied().collect();
    symbols.sort_by_key(|symbol| u32::MAX - counts[symbol]);
    let length = |index: usize| match lengths {
        // No code consists of ones only.
        Lengths::Flat => usize::BITS - symbols.len().leading_zeros(),
        Lengths::Skewed => {
            if index < 8 {
                index as u32 + 1
            } else {
                16
            }
        }
    };
    let (mut of_length, mut map) = ([0; 16], BTreeMap::new());
    let (mut code, mut before) = (0_u32, 0);
    for (index, symbol) in symbols.iter().enumerate() {
        let length = length(index);
        code <<= length - before;
        before = length;
        map.insert(*symbol, (code, length));
        of_length[length as usize - 1] += 1;
        code += 1;
    }
    (of_length, symbols, map)
}
