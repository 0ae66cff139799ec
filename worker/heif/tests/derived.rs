//! Pictures that are made of others: views and overlays of four flat quarters.
#![cfg(all(feature = "heic", feature = "avif"))]

#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "other tests use the rest, and a test fails where it stands"
)]
#[path = "support/file.rs"]
mod file;

use thumbnail_heif::{Colour, Error, Picture, Unsupported, decode};

use self::file::{Coded, File, boxed, clap, full_box, grey, icc, ispe, nclx};

const MAX_PIXELS: u64 = 3_000_000;

/// Quarters of the samples: top left, top right, bottom left, bottom right.
const RED: [u8; 3] = [220, 40, 40];
const GREEN: [u8; 3] = [40, 200, 40];
const BLUE: [u8; 3] = [40, 40, 220];
const WHITE: [u8; 3] = [240, 240, 240];

const HEIC: &[u8] = include_bytes!("samples/plain.heic");
const AVIF: &[u8] = include_bytes!("samples/plain.avif");
const ALPHA: &[u8] = include_bytes!("samples/alpha.heic");
const PQ: &[u8] = include_bytes!("samples/pq10.avif");

/// The property of a turn by quarters, anticlockwise.
fn irot(quarters: u8) -> Vec<u8> {
    boxed(b"irot", &[quarters])
}

/// The data of an overlay: what is below, in 16 bits a channel; its sides; the corners of its layers.
fn iovl(fill: [u16; 4], sides: (u16, u16), corners: &[(i16, i16)]) -> Vec<u8> {
    let mut data = vec![0, 0];
    data.extend(fill.map(u16::to_be_bytes).concat());
    data.extend([sides.0.to_be_bytes(), sides.1.to_be_bytes()].concat());
    data.extend(corners.iter().flat_map(|(x, y)| [x.to_be_bytes(), y.to_be_bytes()].concat()));
    data
}

fn pixel(picture: &Picture, x: u32, y: u32) -> &[u8] {
    let channels = picture.channels();
    &picture.pixels[(y * picture.width + x) as usize * channels..][..channels]
}

fn assert_near(found: &[u8], expected: &[u8], of: &str) {
    let is_near = found.iter().zip(expected).all(|(found, expected)| found.abs_diff(*expected) <= 3);
    assert!(is_near && found.len() == expected.len(), "{of}: {found:?} is not {expected:?}");
}

#[test]
fn a_view_is_turned_after_what_it_shows() {
    for (name, sample) in [("HEIC", HEIC), ("AVIF", AVIF)] {
        // The upper half, then a quarter turn, of which the lower half.
        let mut file = File::of(&Coded::of(sample), &[ispe(640, 480), clap(640, 240, 0, -240)]);
        let turned = file.add_derived(*b"iden", b"", &[1], &[ispe(240, 640), irot(1)]);
        file.primary = file.add_derived(*b"iden", b"", &[turned], &[ispe(240, 320), clap(240, 320, 0, 320)]);
        let picture = decode(&file.bytes(), (640, 480), MAX_PIXELS).unwrap();
        // Anticlockwise: what is below was at the left.
        assert_eq!((picture.sides, picture.orientation), ((320, 240), 8), "{name}");
        assert_eq!((picture.width, picture.height), (320, 240), "{name}");
        for (x, y) in [(20, 20), (300, 20), (20, 220), (300, 220)] {
            assert_near(pixel(&picture, x, y), &RED, name);
        }
    }
}

#[test]
fn a_view_has_the_alpha_channel_of_what_it_shows() {
    let mut file = File::of(&Coded::of(HEIC), &[ispe(640, 480)]);
    let urn = full_box(b"auxC", 0, b"urn:mpeg:hevc:2015:auxid:1\0");
    let alpha = file.add_coded(&grey(ALPHA), &[ispe(640, 480), urn]);
    file.primary = file.add_derived(*b"iden", b"", &[1], &[ispe(480, 640), irot(3)]);
    for of in [1, file.primary] {
        file.refer(*b"auxl", alpha, &[of]);
        let picture = decode(&file.bytes(), (640, 480), MAX_PIXELS).unwrap();
        assert_eq!(picture.orientation, 6);
        assert_near(pixel(&picture, 20, 20), &[220, 40, 40, 128], "a view");
    }
    let mut two = File::of(&Coded::of(HEIC), &[ispe(640, 480)]);
    two.primary = two.add_derived(*b"iden", b"", &[1, 1], &[ispe(640, 480)]);
    assert!(matches!(decode(&two.bytes(), (640, 480), MAX_PIXELS), Err(Error::Damaged(_))));
}

/// Red of half strength; on it a sample, and on that a second one on its side, which begins above the canvas.
fn overlay(sample: &[u8], more: &[Vec<u8>]) -> File {
    let mut file = File::of(&Coded::of(sample), &[ispe(640, 480)]);
    let side = file.add_coded(&Coded::of(sample), &[ispe(640, 480), irot(1)]);
    let data = iovl([0x8000, 0, 0, 0xffff], (1000, 700), &[(0, 0), (400, -20)]);
    file.primary = file.add_derived(*b"iovl", &data, &[1, side], &[&[ispe(1000, 700)], more].concat());
    file
}

#[test]
fn layers_lie_on_each_other_as_they_are_turned() {
    for (name, sample) in [("HEIC", HEIC), ("AVIF", AVIF)] {
        let file = overlay(sample, &[]).bytes();
        for factor in [1, 2, 4] {
            let picture = decode(&file, (700 / factor, 490 / factor), MAX_PIXELS).unwrap();
            assert_eq!((picture.width, picture.height), (1000 / factor, 700 / factor), "{name}");
            assert_eq!((picture.sides, picture.colour.clone()), ((1000, 700), Colour::Srgb), "{name}");
            assert!(!picture.has_alpha);
            for (x, y, expected) in [
                (40, 40, RED),
                (360, 40, GREEN),
                (40, 440, BLUE),
                (360, 440, WHITE),
                // On its side: right is above, and top is at the left.
                (440, 20, GREEN),
                (840, 20, WHITE),
                (440, 580, RED),
                (840, 580, BLUE),
                (40, 660, [128, 0, 0]),
                (960, 40, [128, 0, 0]),
            ] {
                let what = format!("{name} shrunk by {factor} at {x}, {y}");
                assert_near(pixel(&picture, x / factor, y / factor), &expected, &what);
            }
        }
    }
}

#[test]
fn an_overlay_is_cropped_and_turned_as_a_whole() {
    let picture =
        decode(&overlay(HEIC, &[clap(200, 100, 0, 0), irot(1)]).bytes(), (200, 100), MAX_PIXELS).unwrap();
    assert_eq!((picture.sides, picture.orientation), ((200, 100), 8));
    // From (400, 300) on.
    assert_near(pixel(&picture, 5, 50), &RED, "the layer on its side");
    assert_near(pixel(&picture, 190, 50), &RED, "the layer on its side");
}

#[test]
fn layers_are_seen_through_each_other() {
    let with_alpha = |fill: [u16; 4]| {
        let mut file = File::of(&Coded::of(HEIC), &[ispe(640, 480)]);
        let urn = full_box(b"auxC", 0, b"urn:mpeg:hevc:2015:auxid:1\0");
        let alpha = file.add_coded(&grey(ALPHA), &[ispe(640, 480), urn]);
        file.refer(*b"auxl", alpha, &[1]);
        let data = iovl(fill, (640, 480), &[(0, 0)]);
        file.primary = file.add_derived(*b"iovl", &data, &[1], &[ispe(640, 480)]);
        decode(&file.bytes(), (640, 480), MAX_PIXELS).unwrap()
    };
    assert_near(pixel(&with_alpha([0xffff; 4]), 40, 40), &[237, 147, 147], "on white");
    assert_near(pixel(&with_alpha([0; 4]), 40, 40), &[220, 40, 40, 128], "on nothing");
}

#[test]
fn layers_without_colours_stay_grey() {
    let mut file = File::of(&grey(ALPHA), &[ispe(640, 480)]);
    let data = iovl([0, 0, 0, 0xffff], (640, 480), &[(0, 0)]);
    file.primary = file.add_derived(*b"iovl", &data, &[1], &[ispe(640, 480), icc(b"a profile")]);
    let picture = decode(&file.bytes(), (640, 480), MAX_PIXELS).unwrap();
    assert_eq!(picture.colour, Colour::Icc(b"a profile".to_vec()));
    assert_near(pixel(&picture, 40, 40), &[128], "grey");
}

#[test]
fn layers_of_a_high_dynamic_range_are_neither_dark_nor_flat() {
    let coded = Coded::of(PQ);
    // The colours are those of the layer, or only of the overlay.
    for (of_layer, of_overlay) in [(vec![nclx(9, 16, 9)], vec![]), (vec![], vec![nclx(9, 16, 9)])] {
        let mut file = File::of(&coded, &[&[ispe(640, 480)], &of_layer[..]].concat());
        let alone = File::of(&coded, &[ispe(640, 480), nclx(9, 16, 9)]);
        let alone = decode(&alone.bytes(), (640, 480), MAX_PIXELS).unwrap();
        let data = iovl([0, 0, 0, 0xffff], (640, 480), &[(0, 0)]);
        file.primary =
            file.add_derived(*b"iovl", &data, &[1], &[&[ispe(640, 480)], &of_overlay[..]].concat());
        let picture = decode(&file.bytes(), (640, 480), MAX_PIXELS).unwrap();
        assert_eq!(picture.colour, Colour::Srgb);
        assert!(picture.pixels == alone.pixels, "the layer is shown as it would be alone");
        assert!(pixel(&picture, 600, 440).iter().all(|light| *light >= 250));
    }
}

#[test]
fn an_overlay_of_overlays_and_a_damaged_one_are_refused() {
    let mut nested = overlay(HEIC, &[]);
    let data = iovl([0; 4], (1000, 700), &[(0, 0)]);
    nested.primary = nested.add_derived(*b"iovl", &data, &[nested.primary], &[ispe(1000, 700)]);
    let answer = decode(&nested.bytes(), (640, 480), MAX_PIXELS);
    assert!(matches!(answer, Err(Error::Unsupported(Unsupported::Composition))), "{answer:?}");
    for (sides, corners) in [((640, 481), &[(0, 0)][..]), ((640, 480), &[])] {
        let mut file = File::of(&Coded::of(HEIC), &[ispe(640, 480)]);
        file.primary = file.add_derived(*b"iovl", &iovl([0; 4], sides, corners), &[1], &[ispe(640, 480)]);
        let answer = decode(&file.bytes(), (640, 480), MAX_PIXELS);
        assert!(matches!(answer, Err(Error::Damaged(_))), "{sides:?} {corners:?}: {answer:?}");
    }
    // Pixels of layers count.
    let answer = decode(&overlay(HEIC, &[]).bytes(), (640, 480), 1000 * 700 + 2 * 640 * 480 - 1);
    assert!(matches!(answer, Err(Error::TooMany("pixels"))), "{answer:?}");
}

#[test]
fn a_gain_map_beside_the_picture_changes_nothing() {
    for (name, sample, urn) in [
        ("HEIC", HEIC, &b"urn:com:apple:photo:2020:aux:hdrgainmap\0"[..]),
        ("AVIF", AVIF, b"urn:com:apple:photo:2020:aux:hdrgainmap\0"),
        ("a map of depths", HEIC, b"urn:mpeg:hevc:2015:auxid:2\0"),
    ] {
        let plain = decode(sample, (640, 480), MAX_PIXELS).unwrap();
        let mut file = File::of(&Coded::of(sample), &[ispe(640, 480)]);
        let map = file.add_coded(&grey(ALPHA), &[ispe(640, 480), full_box(b"auxC", 0, urn)]);
        file.refer(*b"auxl", map, &[1]);
        // As ISO 21496-1 has it: an alternative that is made of both.
        file.add_derived(*b"tmap", &[0; 62], &[1, map], &[ispe(640, 480)]);
        let picture = decode(&file.bytes(), (640, 480), MAX_PIXELS).unwrap();
        assert!(picture.pixels == plain.pixels && !picture.has_alpha, "{name}");
    }
}
