//! Transposes planes.

use super::pixels::{Layout, Pixels};

/// The side of a block: as many samples as a vector register of any x86-64 has bytes.
const SIDE: usize = 16;

/// A square of samples, row after row.
type Block = [u8; SIDE * SIDE];

/// The transposed plane.
pub(super) fn transposed(plane: &Pixels) -> Pixels {
    debug_assert_eq!(plane.layout, Layout::Grey, "a plane has one sample a pixel");
    let (width, height) = (plane.width as usize, plane.height as usize);
    let from = plane.bytes.as_slice();
    let mut to = vec![0; from.len()];
    let (right, bottom) = (width - width % SIDE, height - height % SIDE);
    for y in (0..bottom).step_by(SIDE) {
        for x in (0..right).step_by(SIDE) {
            let mut block = [0; SIDE * SIDE];
            for (row, samples) in block.as_chunks_mut::<SIDE>().0.iter_mut().enumerate() {
                samples.copy_from_slice(&from[(y + row) * width + x..][..SIDE]);
            }
            for (column, samples) in exchanged(block).as_chunks::<SIDE>().0.iter().enumerate() {
                to[(x + column) * height + y..][..SIDE].copy_from_slice(samples);
            }
        }
    }
    for y in 0..height {
        let done = if y < bottom { right } else { 0 };
        for x in done..width {
            to[x * height + y] = from[y * width + x];
        }
    }
    Pixels { width: plane.height, height: plane.width, layout: plane.layout, bytes: to }
}

/// Transposes a block. Interleaving the upper and the lower half rotates the bits of every sample's index by one. After
/// as many rounds as a column index has bits, row and column are swapped. Vector registers do this a row at a time.
fn exchanged(mut block: Block) -> Block {
    for _ in 0..SIDE.ilog2() {
        let (upper, lower) = block.split_at(block.len() / 2);
        let mut laid = [0; SIDE * SIDE];
        for (pair, samples) in laid.as_chunks_mut().0.iter_mut().zip(upper.iter().zip(lower)) {
            *pair = [*samples.0, *samples.1];
        }
        block = laid;
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_changes_its_row_for_its_column() {
        for (width, height) in [(1, 1), (16, 16), (5, 40), (33, 17), (64, 3), (48, 32)] {
            let bytes: Vec<u8> =
                (0..width * height).map(|place| u8::try_from(place * 7919 % 251).unwrap()).collect();
            let plane = Pixels { width, height, layout: Layout::Grey, bytes };
            let turned = transposed(&plane);
            assert_eq!((turned.width, turned.height), (height, width));
            for (place, sample) in turned.bytes.iter().enumerate() {
                let (row, column) = (place / height as usize, place % height as usize);
                assert_eq!(*sample, plane.bytes[column * width as usize + row], "{width}×{height}");
            }
        }
    }
}
