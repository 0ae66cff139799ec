//! Pictures of four flat quarters, in the codings and turnings of HEIC and AVIF.

#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "other tests use the rest, and a test fails where it stands"
)]
#[path = "support/file.rs"]
mod file;

use thumbnail_heif::{Codec, Colour, Error, Picture, decode, describe};

/// Red, green, blue and white: top left, top right, bottom left, bottom right.
const UPRIGHT: [[u8; 3]; 4] = [[220, 40, 40], [40, 200, 40], [40, 40, 220], [240, 240, 240]];

/// How far a channel may be from its value: the pictures are coded with loss.
const TOLERANCE: u8 = 3;

/// Distance of a looked-at pixel from the corner, in pixels.
const INSET: u32 = 40;

const MAX_PIXELS: u64 = 1_000_000;

fn read(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/samples/{name}", env!("CARGO_MANIFEST_DIR"))).expect("a sample")
}

fn whole(name: &str) -> Picture {
    decode(&read(name), (640, 480), MAX_PIXELS).expect("a picture")
}

/// The pixels of the four corners, as stored.
fn corners(picture: &Picture) -> [Vec<u8>; 4] {
    let channels = picture.channels();
    let (right, bottom) = (picture.width - 1 - INSET, picture.height - 1 - INSET);
    [(INSET, INSET), (right, INSET), (INSET, bottom), (right, bottom)].map(|(x, y)| {
        let start = (y * picture.width + x) as usize * channels;
        picture.pixels[start..][..channels].to_vec()
    })
}

fn assert_near(found: &[u8], expected: &[u8], of: &str) {
    let is_near = found.iter().zip(expected).all(|(found, expected)| found.abs_diff(*expected) <= TOLERANCE);
    assert!(is_near, "{of}: {found:?} is not {expected:?}");
}

/// The boxes `ftyp` and `meta` of a file, without their headers.
fn boxes(file: &[u8]) -> [&[u8]; 2] {
    let mut rest = file;
    let mut found = [&[][..]; 2];
    while let Some((header, _)) = rest.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
        match &header[4..] {
            b"ftyp" => found[0] = &rest[8..length],
            b"meta" => found[1] = &rest[8..length],
            _ => {}
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    found
}

#[test]
fn every_coding_gives_the_colours_of_the_four_quarters() {
    for name in
        ["plain.heic", "c444.heic", "with-thumb.heic", "exif6-no-irot.heic", "plain.avif", "grid2x2.avif"]
    {
        let picture = whole(name);
        assert_eq!((picture.width, picture.height), (640, 480), "{name}");
        assert_eq!(picture.orientation, 1, "{name}: EXIF does not turn");
        assert_eq!(picture.colour, Colour::Srgb, "{name}");
        for (found, expected) in corners(&picture).iter().zip(UPRIGHT) {
            assert_near(found, &expected, name);
        }
    }
}

#[test]
fn transparency_is_kept_beside_the_colours() {
    let picture = whole("alpha.heic");
    assert!(picture.has_alpha);
    for (found, [red, green, blue]) in corners(&picture).iter().zip(UPRIGHT) {
        assert_near(found, &[red, green, blue, 128], "alpha.heic");
    }
}

#[test]
fn boxes_turn_and_mirror_the_picture() {
    for (name, sides, orientation) in [("irot1.avif", (480, 640), 8), ("imir0.avif", (640, 480), 4)] {
        let file = read(name);
        let [file_type, meta] = boxes(&file);
        let description = describe(file_type, meta).unwrap();
        assert_eq!((description.width, description.height), sides, "{name}");
        assert_eq!(description.orientation, orientation, "{name}");
        assert_eq!(description.codec, Codec::Av1, "{name}");
        let picture = whole(name);
        assert_eq!(picture.orientation, orientation, "{name}");
        // The stored pixels stand as they are.
        assert_near(&corners(&picture)[0], &UPRIGHT[0], name);
    }
}

#[test]
fn a_picture_of_high_dynamic_range_is_neither_dark_nor_flat() {
    let corners = corners(&whole("pq10.avif"));
    assert!(corners[3].iter().all(|light| *light >= 250), "{corners:?}");
    for (corner, strong) in corners.iter().zip(0..3) {
        let others = (0..3).filter(|channel| *channel != strong);
        assert!(others.map(|channel| corner[channel]).all(|weak| corner[strong] > weak + 60), "{corners:?}");
    }
}

/// The coded picture of `plain.heic` with these primaries, transfer and matrix in its parameter sets (VUI).
#[cfg(feature = "heic")]
fn with_codes(codes: [u8; 3]) -> file::Coded {
    let coded = file::Coded::of(&read("plain.heic"));
    let bits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:08b}")).collect::<String>();
    // Its encoder left both open, and named the matrix. The bit before says that all three are there.
    let (open, stated) = (format!("1{}", bits(&[2, 2, 6])), format!("1{}", bits(&codes)));
    let config = bits(&coded.config);
    assert_eq!(config.matches(&open).count(), 1);
    let config = config.replace(&open, &stated).into_bytes();
    let byte = |bits: &[u8]| bits.iter().fold(0, |byte, bit| byte << 1 | (bit - b'0'));
    file::Coded { config: config.chunks(8).map(byte).collect(), ..coded }
}

#[cfg(feature = "heic")]
#[test]
fn colours_are_read_from_the_coded_picture_where_boxes_leave_them_out() {
    let shown = |coded: &file::Coded, properties: &[Vec<u8>]| {
        let properties = [&[file::ispe(640, 480)], properties].concat();
        decode(&file::File::of(coded, &properties).bytes(), (640, 480), MAX_PIXELS).unwrap()
    };
    let plain = file::Coded::of(&read("plain.heic"));
    // PQ and HLG are tone-mapped: only of them are the pixels themselves others.
    for codes in [[9, 16, 9], [9, 18, 9], [12, 13, 6], [1, 13, 6]] {
        let [primaries, transfer, matrix] = codes.map(u16::from);
        let expected = shown(&plain, &[file::nclx(primaries, transfer, matrix)]);
        let found = shown(&with_codes(codes), &[]);
        assert!(found.pixels == expected.pixels && found.colour == expected.colour, "{codes:?}");
        assert_eq!(found.pixels == shown(&plain, &[]).pixels, transfer == 13, "{codes:?}");
        // The boxes come first.
        let stated = shown(&with_codes(codes), &[file::nclx(1, 13, 6)]);
        assert!(stated.pixels == shown(&plain, &[]).pixels && stated.colour == Colour::Srgb, "{codes:?}");
    }
    assert_eq!(shown(&with_codes([12, 13, 6]), &[]).colour, Colour::Coded(12, 13));
}

#[test]
fn a_picture_is_shrunk_where_less_is_asked_for() {
    for name in ["plain.heic", "plain.avif", "grid2x2.avif", "alpha.heic"] {
        let picture = decode(&read(name), (160, 120), MAX_PIXELS).unwrap();
        assert_eq!((picture.width, picture.height), (320, 240), "{name}: the margin stays");
        assert_eq!(picture.extent, (320.0, 240.0), "{name}");
        for (found, expected) in corners(&picture).iter().zip(UPRIGHT) {
            assert_near(&found[..3], &expected, name);
        }
    }
}

#[test]
fn a_crop_may_begin_within_a_pixel_of_the_shrunk_picture() {
    for name in ["plain.heic", "plain.avif"] {
        // 601 × 451 pixels from the one at (3, 5) on.
        let properties = [file::ispe(640, 480), file::clap(601, 451, -33, -19)];
        let made = file::File::of(&file::Coded::of(&read(name)), &properties).bytes();
        let picture = decode(&made, (100, 75), MAX_PIXELS).unwrap();
        assert_eq!(picture.sides, (601, 451), "{name}");
        assert_eq!((picture.corner, picture.extent), ((0.75, 0.25), (150.25, 112.75)), "{name}");
        assert_eq!((picture.width, picture.height), (151, 113), "{name}");
        let whole = decode(&made, (601, 451), MAX_PIXELS).unwrap();
        assert_eq!((whole.corner, whole.extent, whole.width), ((0.0, 0.0), (601.0, 451.0), 601), "{name}");
    }
}

#[test]
fn a_file_that_is_cut_short_is_damaged() {
    for name in ["half.heic", "cut60.heic"] {
        let answer = decode(&read(name), (160, 120), MAX_PIXELS);
        assert!(matches!(answer, Err(Error::Damaged(_))), "{name}: {answer:?}");
    }
    for name in ["plain.heic", "plain.avif", "grid2x2.avif", "alpha.heic", "pq10.avif"] {
        let file = read(name);
        for length in (0..file.len()).step_by(7) {
            drop(decode(&file[..length], (160, 120), MAX_PIXELS));
        }
    }
}

#[test]
fn bytes_and_boxes_behind_the_picture_change_nothing() {
    for name in ["plain.heic", "alpha.heic", "plain.avif", "grid2x2.avif"] {
        let plain = read(name);
        let expected = whole(name).pixels;
        for (what, behind) in [
            ("a line feed", b"\n".to_vec()),
            ("a header that is cut", b"\0\0\0\x08fre".to_vec()),
            ("a box that is cut", b"\0\0\xff\xfffree.".to_vec()),
            ("a box shorter than its header", b"\0\0\0\x04free".to_vec()),
            ("a second description", file::boxed(b"meta", b"none")),
            ("the description of another picture", {
                let other = read("irot1.avif");
                let [_, meta] = boxes(&other);
                file::boxed(b"meta", meta)
            }),
            ("second brands", file::boxed(b"ftyp", b"")),
        ] {
            let picture = decode(&[&plain[..], &behind].concat(), (640, 480), MAX_PIXELS);
            let picture = picture.unwrap_or_else(|error| panic!("{name} and {what}: {error}"));
            assert!(picture.pixels == expected && picture.orientation == 1, "{name} and {what}");
        }
    }
}

#[test]
fn the_first_of_two_items_of_one_number_counts() {
    let mut made = file::File::of(&file::Coded::of(&read("plain.heic")), &[file::ispe(640, 480)]);
    let other = made.add(*b"av01", b"", &[]);
    let mut twice = made.bytes();
    // The entry of the second item: its type stands behind its number and two zeros.
    let at = twice.windows(4).position(|bytes| bytes == b"av01").expect("an item") - 4;
    assert_eq!(twice[at..at + 2], other.to_be_bytes());
    twice[at..at + 2].copy_from_slice(&1_u16.to_be_bytes());
    let [file_type, meta] = boxes(&twice);
    assert_eq!(describe(file_type, meta).unwrap().codec, Codec::Hevc);
    assert!(decode(&twice, (640, 480), MAX_PIXELS).is_ok());
}

#[test]
fn more_pixels_than_the_limit_are_refused_before_they_are_decoded() {
    for name in ["plain.heic", "plain.avif", "grid2x2.avif"] {
        let answer = decode(&read(name), (160, 120), 640 * 480 - 1);
        assert!(matches!(answer, Err(Error::TooMany("pixels"))), "{name}: {answer:?}");
    }
}
