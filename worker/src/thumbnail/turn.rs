//! Turns stored pixels upright.

use super::pixels::{Layout, Pixels};
use crate::probe::Orientation;

/// The upright picture.
pub(super) fn upright(picture: Pixels, orientation: Orientation) -> Pixels {
    if orientation == Orientation::Upright {
        return picture;
    }
    let (width, height) = orientation.displayed(picture.width, picture.height);
    let bytes = match picture.layout {
        Layout::Grey => turned::<1>(&picture, orientation, width, height),
        Layout::GreyAlpha => turned::<2>(&picture, orientation, width, height),
        Layout::Rgb => turned::<3>(&picture, orientation, width, height),
        Layout::Rgba | Layout::Cmyk => turned::<4>(&picture, orientation, width, height),
    };
    Pixels { width, height, layout: picture.layout, bytes }
}

fn turned<const CHANNELS: usize>(
    picture: &Pixels,
    orientation: Orientation,
    width: u32,
    height: u32,
) -> Vec<u8> {
    let (pixels, _) = picture.bytes.as_chunks::<CHANNELS>();
    let stored_width = picture.width as usize;
    // The index of the first displayed pixel, and the steps to the next column and the next row. A negative step is a
    // wrapped number, which still gives the right index when added.
    let (mut first, mut column, mut row) = (0, 1_usize, stored_width);
    if orientation.reverses_columns() {
        (first, column) = (first + stored_width - 1, column.wrapping_neg());
    }
    if orientation.reverses_rows() {
        (first, row) = (first + stored_width * (picture.height as usize - 1), row.wrapping_neg());
    }
    if orientation.swaps_sides() {
        (column, row) = (row, column);
    }
    let mut turned = Vec::with_capacity(pixels.len());
    for y in 0..height as usize {
        let start = first.wrapping_add(y.wrapping_mul(row));
        turned.extend((0..width as usize).map(|x| pixels[start.wrapping_add(x.wrapping_mul(column))]));
    }
    turned.into_flattened()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ab/cd/ef`, displayed: what each orientation makes of a picture that is stored as two columns, three rows.
    #[test]
    fn every_orientation_turns_the_way_exif_says() {
        let displayed =
            ["ab/cd/ef", "ba/dc/fe", "fe/dc/ba", "ef/cd/ab", "ace/bdf", "eca/fdb", "fdb/eca", "bdf/ace"];
        for (orientation, expected) in Orientation::ALL.into_iter().zip(displayed) {
            let stored = Pixels { width: 2, height: 3, layout: Layout::Grey, bytes: b"abcdef".to_vec() };
            let picture = upright(stored, orientation);
            let rows: Vec<_> = picture.bytes.chunks(picture.width as usize).collect();
            assert_eq!(String::from_utf8(rows.join(&b'/')).unwrap(), expected, "{orientation:?}");
        }
    }
}
