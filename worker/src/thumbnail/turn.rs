//! Turning stored pixels upright.

use super::pixels::{Layout, Pixels};
use crate::probe::Orientation;

/// The picture as it is meant to be seen.
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
    let right = stored_width - 1;
    let bottom = picture.height as usize - 1;
    let mut bytes = Vec::with_capacity(picture.bytes.len());
    for y in 0..height as usize {
        for x in 0..width as usize {
            let (column, row) = match orientation {
                Orientation::Upright => (x, y),
                Orientation::Mirrored => (right - x, y),
                Orientation::UpsideDown => (right - x, bottom - y),
                Orientation::Flipped => (x, bottom - y),
                Orientation::Transposed => (y, x),
                Orientation::Clockwise => (y, bottom - x),
                Orientation::Transversed => (right - y, bottom - x),
                Orientation::Anticlockwise => (right - y, x),
            };
            bytes.extend_from_slice(&pixels[row * stored_width + column]);
        }
    }
    bytes
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
