//! HEIC and AVIF: the samples of `thumbnail-heif`, all the way to thumbnails.

use super::*;
use crate::testing::heif_file::{self, Coded, File, clap, icc, ispe, nclx};

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

/// The coded picture of a sample with these properties.
fn with(name: &str, properties: &[Vec<u8>]) -> Vec<u8> {
    File::of(&Coded::of(&sample(name)), &[&[ispe(640, 480)], properties].concat()).bytes()
}

#[cfg(all(feature = "heic", feature = "avif"))]
#[test]
fn profiles_and_codes_of_colours_reach_the_thumbnails() {
    // The colours of the samples in Display P3, shown in sRGB: computed from the primaries of both.
    let shown = [[240, 0, 21, 255], [0, 204, 0, 255], [240, 240, 240, 255], [40, 40, 229, 255]];
    let p3 = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    for (name, format) in [("plain.heic", Format::Heic), ("plain.avif", Format::Avif)] {
        for (what, properties, expected) in [
            ("nothing", vec![], [RED, GREEN, WHITE, BLUE]),
            ("a profile", vec![icc(&p3)], shown),
            ("codes", vec![nclx(12, 13, 6)], shown),
            ("both", vec![nclx(1, 13, 6), icc(&p3)], shown),
        ] {
            let made = made(format, &with(name, &properties));
            let found = quarters(&opened(&made.thumbnails[2]));
            for (found, expected) in found.into_iter().zip(expected) {
                assert_near(found, expected, &format!("{name} with {what}"));
            }
        }
    }
}

#[cfg(feature = "heic")]
#[test]
fn a_grey_profile_applies_to_a_picture_without_colours() {
    let grey = heif_file::grey(&sample("alpha.heic"));
    let linear = moxcms::ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
    let of = |properties: &[Vec<u8>]| {
        let file = File::of(&grey, &[&[ispe(640, 480)], properties].concat()).bytes();
        let made = made(Format::Heic, &file);
        quarters(&opened(&made.thumbnails[2]))[0]
    };
    assert_near(of(&[]), [128, 128, 128, 255], "without a profile");
    // Half of the light.
    assert_near(of(&[icc(&linear)]), [188, 188, 188, 255], "with a linear profile");
    let mut with_alpha = File::of(&grey, &[ispe(640, 480), icc(&linear)]);
    let urn = heif_file::full_box(b"auxC", 0, b"urn:mpeg:hevc:2015:auxid:1\0");
    let alpha = with_alpha.add_coded(&grey, &[ispe(640, 480), urn]);
    with_alpha.refer(*b"auxl", alpha, &[1]);
    let made = made(Format::Heic, &with_alpha.bytes());
    assert_near(quarters(&opened(&made.thumbnails[2]))[0], [188, 188, 188, 128], "with transparency");
}

#[cfg(all(feature = "heic", feature = "avif"))]
#[test]
fn a_crop_shows_the_pixels_that_it_says() {
    let sizes = "small=16,medium=32,large=64".parse().unwrap();
    let made = |format, file: &[u8]| make(file, &Recipe { sizes, ..recipe(format) }).unwrap();
    for (name, format) in [("plain.heic", Format::Heic), ("plain.avif", Format::Avif)] {
        // 634 × 474 pixels from the one at (3, 3) on, of which every fourth is decoded.
        let cropped = made(format, &with(name, &[clap(634, 474, 0, 0)]));
        let whole = thumbnail_heif::decode(&sample(name), (640, 480), 1_000_000).unwrap();
        let whole = RgbImage::from_raw(640, 480, whole.pixels).unwrap();
        let expected = image::imageops::crop_imm(&whole, 3, 3, 634, 474).to_image();
        let expected = made(Format::Png, &samples::encode(Format::Png, &expected.into(), None));
        let [cropped, expected] =
            [cropped, expected].map(|made| opened(&made.thumbnails[2]).into_rgb8().into_raw());
        let difference = cropped.iter().zip(&expected).map(|(one, other)| one.abs_diff(*other)).max();
        assert!(difference < Some(30), "{name}: {difference:?}");
    }
}

#[cfg(all(feature = "heic", feature = "avif"))]
#[test]
fn a_small_part_of_a_large_picture_is_shown() {
    for (name, format) in [("plain.heic", Format::Heic), ("plain.avif", Format::Avif)] {
        // 24 × 18 pixels from the one at (408, 301) on: a seven-hundredth, in the white quarter.
        let file = with(name, &[clap(24, 18, 200, 140)]);
        let made = made(format, &file);
        assert_eq!((made.width, made.height), (24, 18), "{name}");
        for corner in quarters(&opened(&made.thumbnails[2])) {
            assert_near(corner, WHITE, name);
        }
        let limited = Recipe { max_pixels: 640 * 480 - 1, ..recipe(format) };
        assert_eq!(make(&file, &limited).unwrap_err().code(), "too-many-pixels", "{name}");
    }
}
