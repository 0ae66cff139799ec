//! HEIC and AVIF: the samples of `thumbnail-heif`, all the way to thumbnails.

use super::*;

const RED: [u8; 4] = [220, 40, 40, 255];
const GREEN: [u8; 4] = [40, 200, 40, 255];
const BLUE: [u8; 4] = [40, 40, 220, 255];
const WHITE: [u8; 4] = [240, 240, 240, 255];

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/heif/tests/samples/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Colours of the quarters are given from the top left, clockwise.
fn assert_shows(name: &str, sides: (u32, u32), expected: [[u8; 4]; 4]) {
    // Brands may name the other format.
    for format in [Format::Heic, Format::Avif] {
        let made = made(format, &sample(name));
        assert_eq!((made.width, made.height), sides, "{name}");
        for thumbnail in &made.thumbnails {
            for (found, expected) in quarters(&opened(thumbnail)).into_iter().zip(expected) {
                assert_near(found, expected, &format!("{name} {}", thumbnail.size));
            }
        }
    }
}

#[cfg(feature = "heic")]
#[test]
fn heic_pictures_become_thumbnails() {
    for name in ["plain.heic", "c444.heic", "with-thumb.heic", "exif6-no-irot.heic"] {
        assert_shows(name, (640, 480), [RED, GREEN, WHITE, BLUE]);
    }
    let half = |[red, green, blue, _]: [u8; 4]| [red, green, blue, 128];
    assert_shows("alpha.heic", (640, 480), [RED, GREEN, WHITE, BLUE].map(half));
}

#[cfg(feature = "avif")]
#[test]
fn avif_pictures_become_thumbnails() {
    for name in ["plain.avif", "grid2x2.avif"] {
        assert_shows(name, (640, 480), [RED, GREEN, WHITE, BLUE]);
    }
    assert_shows("irot1.avif", (480, 640), [GREEN, WHITE, BLUE, RED]);
    assert_shows("imir0.avif", (640, 480), [BLUE, WHITE, GREEN, RED]);
}

#[cfg(feature = "heic")]
#[test]
fn a_heic_that_is_cut_short_is_damaged() {
    for name in ["half.heic", "cut60.heic"] {
        let error = make(&sample(name), &recipe(Format::Heic)).unwrap_err();
        assert_eq!(error.code(), "cannot-be-decoded", "{name}");
    }
}
