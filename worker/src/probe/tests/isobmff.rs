//! HEIC and AVIF, and files that begin like them.

use thumbnail_heif::Unsupported;

use super::*;
use crate::testing::heif_file::{Coded, File, boxed, clap, ispe};

const HEIC: &[u8] = include_bytes!("../../../heif/tests/samples/plain.heic");
const AVIF: &[u8] = include_bytes!("../../../heif/tests/samples/plain.avif");
const TURNED: &[u8] = include_bytes!("../../../heif/tests/samples/irot1.avif");
const WITH_EXIF: &[u8] = include_bytes!("../../../heif/tests/samples/exif6-no-irot.heic");

/// The boxes of a file, headers included.
fn boxes(mut file: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while let Some(header) = file.first_chunk::<4>() {
        let (first, rest) = file.split_at(u32::from_be_bytes(*header) as usize);
        found.push(first.to_vec());
        file = rest;
    }
    found
}

fn kind(error: ProbeError) -> Unsupported {
    match error {
        ProbeError::Unsupported(UnsupportedKind::Heif(kind)) => kind,
        error => panic!("{error:?}"),
    }
}

#[test]
fn brands_tell_pictures_from_films() {
    let heic = [
        &b"\0\0\0\x18ftypheic....mif1heic"[..],
        b"\0\0\0\x18ftypmif1....heic....",
        b"\0\0\0\x10ftypmsf1....",
        b"\0\0\0\x18ftypheix....",
        // The last brand lies outside of the box.
        b"\0\0\0\x14ftypmif1....heicavif",
    ];
    for file in heic {
        assert_eq!(sniff(file), Sniff::Format(Format::Heic), "{}", file.escape_ascii());
    }
    for file in [&b"\0\0\0\x18ftypavif...."[..], b"\0\0\0\x18ftypmif1....avif....", b"\0\0\0\x18ftypavis...."]
    {
        assert_eq!(sniff(file), Sniff::Format(Format::Avif), "{}", file.escape_ascii());
    }
    assert_eq!(sniff(b"\0\0\0\x18ftypmp42....isommp42"), Sniff::Other("a video"));
    assert_eq!(sniff(b"\0\0\0\x14ftypqt  ...."), Sniff::Other("a video"));
}

#[test]
fn the_primary_picture_tells_the_format() {
    for asked in [Format::Heic, Format::Avif] {
        let found = header(HEIC, asked).unwrap();
        assert_eq!((found.format, found.width, found.height), (Format::Heic, 640, 480));
        let found = header(AVIF, asked).unwrap();
        assert_eq!((found.format, found.width, found.height), (Format::Avif, 640, 480));
    }
}

#[test]
fn boxes_turn_a_picture_and_exif_does_not() {
    let turned = header(TURNED, Format::Avif).unwrap();
    assert_eq!((turned.width, turned.height, turned.orientation), (480, 640, Orientation::Anticlockwise));
    let upright = header(WITH_EXIF, Format::Heic).unwrap();
    assert_eq!((upright.width, upright.height, upright.orientation), (640, 480, Orientation::Upright));
}

#[test]
fn the_description_may_lie_behind_the_pixels() {
    let [brands, meta, data] = <[_; 3]>::try_from(boxes(AVIF)).unwrap();
    for pixels in
        [data.clone(), [&[0, 0, 0, 1][..], b"mdat", &20_000_016_u64.to_be_bytes(), &[7; 20_000_000]].concat()]
    {
        let file = [&brands[..], &pixels, &meta].concat();
        assert_eq!(header(&file, Format::Heic).unwrap().width, 640);
    }
    let endless = [&brands[..], &[0, 0, 0, 0], b"mdat", &meta].concat();
    assert!(matches!(header(&endless, Format::Avif), Err(ProbeError::Damaged(_))));
    let last = [&brands[..], &data, &[0, 0, 0, 0], &meta[4..]].concat();
    assert_eq!(header(&last, Format::Avif).unwrap().width, 640, "a box without a length");
}

#[test]
fn films_and_rare_codings_are_named() {
    let brands = boxed(b"ftyp", b"msf1....hevc");
    let film = [&brands[..], &boxed(b"moov", &[0; 40]), &boxed(b"mdat", &[0; 40])].concat();
    assert_eq!(kind(header(&film, Format::Heic).unwrap_err()), Unsupported::Sequence);
    let short = [&brands[..], &boxed(b"mini", &[0; 40])].concat();
    assert_eq!(kind(header(&short, Format::Heic).unwrap_err()), Unsupported::Mini);
    let named = |coding: &[u8; 4]| {
        let at = AVIF.windows(4).position(|bytes| bytes == b"av01").unwrap();
        let mut file = AVIF.to_vec();
        // Brands come before items.
        let at = if at < 40 {
            at + 4 + AVIF[at + 4..].windows(4).position(|bytes| bytes == b"av01").unwrap()
        } else {
            at
        };
        file[at..at + 4].copy_from_slice(coding);
        kind(header(&file, Format::Avif).unwrap_err())
    };
    assert_eq!(named(b"jpeg"), Unsupported::Jpeg);
    assert_eq!(named(b"unci"), Unsupported::Uncompressed);
    assert_eq!(named(b"avc1"), Unsupported::H264);
    assert_eq!(named(b"zzzz"), Unsupported::Coding);
    assert_eq!(
        UnsupportedKind::from(Unsupported::Jpeg).to_string(),
        "A JPEG inside a HEIF file is not supported."
    );
}

#[test]
fn the_largest_sides_are_too_many_pixels() {
    for (file, format) in [(HEIC, Format::Heic), (AVIF, Format::Avif)] {
        let sides = file.windows(4).position(|bytes| bytes == b"ispe").unwrap() + 8;
        let mut file = file.to_vec();
        file[sides..sides + 8].fill(u8::MAX);
        let header = header(&file, format).unwrap();
        assert_eq!((header.width, header.height), (u32::MAX, u32::MAX));
        assert_eq!(header.check(100_000_000).unwrap_err().pixels, 18_446_744_065_119_617_025);
    }
}

#[test]
fn pixels_that_a_crop_leaves_out_are_decoded_and_count() {
    let cropped = |stored: (u32, u32), shown: (u32, u32)| {
        let properties = [ispe(stored.0, stored.1), clap(shown.0, shown.1, 0, 0)];
        header(&File::of(&Coded::of(HEIC), &properties).bytes(), Format::Heic).unwrap()
    };
    let large = cropped((20_000, 20_000), (5_000, 5_000));
    assert_eq!((large.width, large.height), (5_000, 5_000));
    assert_eq!(large.check(100_000_000).unwrap_err().pixels, 400_000_000);
    let honest = cropped((8_000, 6_000), (80, 60));
    assert_eq!((honest.width, honest.height), (80, 60));
    honest.check(48_000_000).unwrap();
    assert!(honest.check(47_999_999).is_err());
}

#[test]
fn a_film_may_have_its_cover_at_its_end() {
    let [brands, meta, data] = <[_; 3]>::try_from(boxes(AVIF)).unwrap();
    // Pixels stay where the description says that they are.
    let begin = brands.len() + meta.len();
    let film = [boxed(b"moov", &[0; 40]), boxed(b"free", &vec![0; meta.len() - 56])].concat();
    let file = [&brands[..], &film, &data, &boxed(b"mdat", &[0; 300_000]), &meta].concat();
    assert_eq!(file[begin..begin + data.len()], data);
    let beginning = header(&file[..100_000], Format::Avif).unwrap_err();
    assert!(!beginning.is_final(), "{beginning:?}");
    assert_eq!(kind(beginning), Unsupported::Sequence);
    assert_eq!(header(&file, Format::Avif).unwrap().width, 640);
    let short = header(&[&brands[..], &boxed(b"mini", &[0; 40])].concat(), Format::Avif).unwrap_err();
    assert!(short.is_final(), "{short:?}");
}

#[test]
fn endless_and_cut_files_end() {
    let brands = &boxes(AVIF)[0];
    let many = [&brands[..], &boxed(b"free", &[]).repeat(100_000)].concat();
    assert!(matches!(header(&many, Format::Avif), Err(ProbeError::TooManyParts)));
    let large = [&brands[..], &[0xff, 0xff, 0xff, 0xff], b"meta", &[0; 64]].concat();
    assert!(matches!(header(&large, Format::Avif), Err(ProbeError::TooManyParts)));
    for length in 0..AVIF.len() {
        let cut = header(&AVIF[..length], Format::Avif);
        let described = boxes(AVIF)[..2].concat().len();
        assert_eq!(cut.is_ok(), length >= described, "{length}: {cut:?}");
    }
}

proptest! {
    #[test]
    fn a_changed_byte_never_panics(at in 0usize..400, byte in any::<u8>(), which in 0usize..4) {
        let mut file = [HEIC, AVIF, TURNED, WITH_EXIF][which].to_vec();
        file[at] = byte;
        let _ = header(&file, Format::Heic);
    }
}
