//! `thumbnail-jpeg` beside libjpeg-turbo: no panic, and where both accept a file, planes within 1.
#![no_main]

use libfuzzer_sys::fuzz_target;
use thumbnail_jpeg::{Decoder, Options, Plane, Refinement, Scale};
use thumbnail_jpeg_oracles::reference::{planes, turbo};

/// Small, so that an input costs milliseconds.
const MAX_BYTES: usize = 4_000_000;

/// Samples of a block, along each side.
const SIDE: usize = 8;

fuzz_target!(|file: &[u8]| {
    let options = Options { max_bytes: MAX_BYTES, ..Options::default() };
    let whole = Decoder::default().decode(file, &options);
    assert_eq!(whole, Decoder::portable().decode(file, &options));
    for scale in Scale::ALL {
        for (halve_colour, refinement) in [(false, Refinement::All), (true, Refinement::WhereVisible)] {
            let made = Decoder::default().decode(file, &Options { scale, halve_colour, refinement, ..options });
            // Damage of scans that are not read may remain unnoticed.
            assert!(made.is_ok() || whole.is_err());
        }
    }
    // First, since libjpeg-turbo has no bound of memory.
    let Ok(whole) = whole else { return };
    let Some(expected) = turbo(file) else { return };
    let found = planes(&whole);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.into_iter().zip(&expected) {
        assert_eq!((found.width, found.height), (expected.width, expected.height));
        let places = (0..found.height / SIDE).flat_map(|y| (0..found.width / SIDE).map(move |x| (x, y)));
        for place in places {
            let (one, other) = (block(found, place), block(expected, place));
            // Sums outside of the range of a sample wrap around in libjpeg.
            if one.clone().any(|sample| matches!(sample, 0 | u8::MAX)) {
                continue;
            }
            assert!(one.zip(other).all(|(one, other)| one.abs_diff(other) <= 1), "block {place:?}");
        }
    }
});

/// The samples of a block that is whole.
fn block(plane: &Plane, (x, y): (usize, usize)) -> impl Iterator<Item = u8> + Clone {
    let rows = plane.samples.chunks_exact(plane.width).skip(y * SIDE).take(SIDE);
    rows.flat_map(move |row| row[x * SIDE..][..SIDE].iter().copied())
}
