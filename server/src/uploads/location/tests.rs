use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{
    exif::{ENTRY_BYTES, GPS_DIRECTORY},
    *,
};

/// Values of the location in the samples: 48° 12′, and a name of a property.
const LATITUDE: [u8; 16] = [48, 0, 0, 0, 1, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0];
const NAMED: &[u8] = b"<x:xmpmeta exif:GPSLatitude=\"48,12N\" dc:title=\"A cat\"/>";
const TITLED: &[u8] = b"<x:xmpmeta dc:title=\"A cat\"/>";

/// Compressed pixels, more or less.
const PIXELS: &[u8] = b"\x9c\0\0\x01pixels\xfe\0";

/// An EXIF block with an orientation, a camera and a location.
fn exif(is_big_endian: bool) -> Vec<u8> {
    let u16 = |value: u16| if is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let u32 = |value: u32| if is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let entry = |tag, kind, count, value: [u8; 4]| [&u16(tag)[..], &u16(kind), &u32(count), &value].concat();
    let short = |value: u16| [u16(value), [0, 0]].concat().try_into().unwrap();
    let (gps, camera, latitude) = (50 + 4, 50 + 4 + 30, 50 + 4 + 30 + 6);
    [
        if is_big_endian { &b"MM\0*"[..] } else { b"II*\0" },
        &u32(8),
        &u16(3),
        &entry(0x010F, 2, 6, u32(camera)),
        &entry(0x0112, 3, 1, short(6)),
        &entry(GPS_DIRECTORY, 4, 1, u32(gps)),
        // No further directory, and a gap.
        &u32(0),
        &[0xAA; 4],
        &u16(2),
        &entry(1, 2, 2, *b"N\0\0\0"),
        &entry(2, 5, 2, u32(latitude)),
        &u32(0),
        b"Canon\0",
        &LATITUDE,
        b"the end",
    ]
    .concat()
}

fn segment(marker: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = u16::try_from(2 + parts.concat().len()).unwrap();
    [&[0xFF, marker][..], &length.to_be_bytes(), &parts.concat()].concat()
}

fn jpeg(metadata: &[Vec<u8>]) -> Vec<u8> {
    let picture: &[Vec<u8>] = &[
        segment(0xDB, &[&[1; 65]]),
        segment(0xDA, &[&[0; 10]]),
        vec![1, 2, 0xFF, 0, 3, 0xFF, 0xD0, 0xFF, 0xFF, 0xD9],
    ];
    [&[vec![0xFF, 0xD8]], metadata, picture].concat().concat()
}

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap();
    let checksum = crc32fast::hash(&[&name[..], data].concat());
    [&length.to_be_bytes()[..], name, data, &checksum.to_be_bytes()].concat()
}

fn png(metadata: &[Vec<u8>]) -> Vec<u8> {
    let begin = [b"\x89PNG\r\n\x1A\n".to_vec(), chunk(b"IHDR", &[0; 13])].concat();
    let end = [chunk(b"IDAT", &[7; 100]), chunk(b"IEND", b""), b"after the end".to_vec()].concat();
    [&[begin], metadata, &[end]].concat().concat()
}

fn webp_chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap();
    [&name[..], &length.to_le_bytes(), data, &[0][..data.len() % 2]].concat()
}

fn webp(metadata: &[Vec<u8>]) -> Vec<u8> {
    let body = [&[webp_chunk(b"VP8X", &[0; 10]), webp_chunk(b"VP8 ", &[9; 31])], metadata].concat().concat();
    let length = u32::try_from(body.len() + 4).unwrap();
    [&b"RIFF"[..], &length.to_le_bytes(), b"WEBP", &body].concat()
}

/// A file through the filter, in pieces of these lengths.
fn filtered(format: Format, file: &[u8], pieces: &[usize]) -> Vec<u8> {
    let mut filter = LocationFilter::of(format).unwrap();
    let (mut output, mut rest, mut lengths) = (Vec::new(), file, pieces.iter().cycle());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(*lengths.next().unwrap()));
        output.extend(filter.pass(Bytes::copy_from_slice(piece)));
        assert!(filter.held.len() <= MAX_BLOCK_BYTES + PNG_KEYWORD_BYTES);
        rest = after;
    }
    output.extend(filter.end());
    output
}

fn whole(format: Format, file: &[u8]) -> Vec<u8> {
    filtered(format, file, &[usize::MAX])
}

fn contains(file: &[u8], bytes: &[u8]) -> bool {
    memmem::find(file, bytes).is_some()
}

/// A file with a location, and the bytes of its metadata that must stay.
type Sample = (Format, Vec<u8>, &'static [&'static [u8]]);

fn samples() -> Vec<Sample> {
    let (intel, motorola) = (exif(false), exif(true));
    let in_jpeg = |metadata: &[u8]| segment(0xE1, &[EXIF, metadata]);
    let text = |flags: &[u8], text: &[u8]| [PNG_KEYWORDS[0], &[0], flags, b"\0\0", text].concat();
    let kept: &[&[u8]] = &[b"Canon\0", b"the end"];
    vec![
        (Format::Jpeg, jpeg(&[segment(0xE0, &[b"JFIF\0"]), in_jpeg(&intel)]), kept),
        (Format::Jpeg, jpeg(&[in_jpeg(&motorola), segment(0xE1, &[XMP, NAMED])]), kept),
        (
            Format::Jpeg,
            jpeg(&[segment(0xE1, &[EXTENDED_XMP, NAMED]), segment(0xE1, &[XMP, TITLED])]),
            &[TITLED],
        ),
        // A second picture after the first, as phones append previews.
        (Format::Jpeg, [jpeg(&[]), jpeg(&[in_jpeg(&intel)])].concat(), kept),
        (
            Format::Png,
            png(&[chunk(b"eXIf", &intel), chunk(b"tEXt", b"Title\0A cat")]),
            &[b"A cat", b"Canon\0"],
        ),
        (Format::Png, png(&[chunk(b"iTXt", &text(b"\0\0", NAMED))]), &[]),
        (Format::Png, png(&[chunk(b"iTXt", &text(b"\0\0", TITLED))]), &[TITLED]),
        (Format::Png, png(&[chunk(b"zTXt", &[PNG_KEYWORDS[1], b"\0\0GPS"].concat())]), &[]),
        (Format::Png, png(&[chunk(b"tEXt", &[PNG_KEYWORDS[2], b"\0", &[b'G'; 100_000]].concat())]), &[]),
        (
            Format::WebP,
            webp(&[webp_chunk(b"EXIF", &motorola), webp_chunk(b"XMP ", TITLED)]),
            &[b"Canon\0", TITLED],
        ),
        (
            Format::WebP,
            webp(&[webp_chunk(b"EXIF", &[EXIF, &intel].concat()), webp_chunk(b"XMP ", NAMED)]),
            kept,
        ),
        (Format::WebP, webp(&[webp_chunk(b"XMP ", &[b'G'; 100_001])]), &[]),
        // Items, each with pixels before and behind.
        (
            Format::Heic,
            [
                PIXELS,
                b"\0\0\0\x06Exif\0\0",
                &intel,
                PIXELS,
                b"<x:xmpmeta exif:GPSLatitude=\"48,12N\"></x:xmpmeta>",
                PIXELS,
            ]
            .concat(),
            &[b"Canon\0", b"the end", PIXELS],
        ),
        (
            Format::Avif,
            [b"<x:xmpmeta dc:title=\"A cat\"></x:xmpmeta>\0\0\0\0", &motorola[..], &PIXELS.repeat(10_000)]
                .concat(),
            &[b"A cat", b"Canon\0", b"the end", PIXELS],
        ),
        (
            Format::Heic,
            [&PIXELS.repeat(5_000)[..], b"<x:xmpmeta ", &[b'G'; 100_000][..], b"</x:xmpmeta>", PIXELS]
                .concat(),
            &[PIXELS],
        ),
    ]
}

#[test]
fn the_location_goes_and_everything_else_stays_where_it_was() {
    for (number, (format, file, kept)) in samples().into_iter().enumerate() {
        let output = whole(format, &file);
        assert_eq!(output.len(), file.len(), "{number}");
        for gone in [&LATITUDE[..], b"GPS", b"48,12N", b"GGGG"] {
            assert!(!contains(&output, gone), "{number} {gone:?}");
        }
        for kept in kept {
            assert!(contains(&output, kept), "{number} {kept:?}");
        }
        let begin = file.iter().zip(&output).take_while(|(one, other)| one == other).count();
        assert!(begin > 2, "{number}");
        assert_eq!(whole(format, &output), output, "{number}: a second pass changes nothing");
    }
}

#[test]
fn the_orientation_stays() {
    for is_big_endian in [false, true] {
        let mut block = exif(is_big_endian);
        wipe_gps(&mut block);
        // Everything before the entry of the location.
        assert_eq!(block[..8 + 2 + 24], exif(is_big_endian)[..8 + 2 + 24]);
        let file = jpeg(&[segment(0xE1, &[EXIF, &block])]);
        assert!(!contains(&file, &LATITUDE));
    }
}

#[test]
fn the_checksums_of_png_are_right() {
    for (format, file, _) in samples() {
        if format != Format::Png {
            continue;
        }
        let output = whole(format, &file);
        let mut rest = &output[8..];
        while rest.len() > 13 {
            let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
            let (checked, after) = rest[4..].split_at(4 + length);
            assert_eq!(crc32fast::hash(checked).to_be_bytes(), after[..4], "{:?}", &checked[..4]);
            rest = &after[4..];
        }
    }
}

#[test]
fn a_block_that_cannot_be_read_or_is_cut_off_is_overwritten() {
    let mut broken = exif(false);
    // The directory of the location lies outside of the block.
    let pointer = 8 + 2 + 2 * ENTRY_BYTES + 8;
    broken[pointer..pointer + 4].copy_from_slice(&[0xFF; 4]);
    let file = jpeg(&[segment(0xE1, &[EXIF, &broken])]);
    assert!(!contains(&whole(Format::Jpeg, &file), &LATITUDE));
    let circular =
        [&b"II*\0"[..], &8u32.to_le_bytes(), &0u16.to_le_bytes(), &8u32.to_le_bytes(), &LATITUDE].concat();
    let file = jpeg(&[segment(0xE1, &[EXIF, &circular])]);
    assert!(!contains(&whole(Format::Jpeg, &file), &LATITUDE));
    let file = jpeg(&[segment(0xE1, &[EXIF, &exif(false)])]);
    let at = memmem::find(&file, &LATITUDE).unwrap() + LATITUDE.len() + 2;
    let cut = whole(Format::Jpeg, &file[..at]);
    assert!(cut.len() == at && !contains(&cut, &LATITUDE));
}

#[test]
fn the_work_grows_with_the_file_and_not_with_its_square() {
    const SMALL: usize = 128 * 1024;
    const TIMES: u32 = 8;
    let time = |repeated: &[u8], bytes: usize| {
        let file = [b"\0\0\0\x18ftypheic", &repeated.repeat(bytes / repeated.len())[..]].concat();
        let once = || {
            let begun = Instant::now();
            assert_eq!(whole(Format::Heic, &file).len(), file.len());
            begun.elapsed()
        };
        (0..3).map(|_| once()).min().unwrap()
    };
    for repeated in
        [&b"\0\0\0\0II*\0xx"[..], b"Exif\0\0MM\0*", b"<x:xmpmeta ", b"<x:xmpmeta></x:xmpmeta>", b"<*", b"\0"]
    {
        let (small, large) = (time(repeated, SMALL), time(repeated, SMALL * TIMES as usize));
        // The square is 64 times as much.
        let most = small * TIMES * 3 + Duration::from_millis(20);
        assert!(large < most, "{}: {small:?}, then {large:?}", repeated.escape_ascii());
    }
}

#[test]
fn values_that_lie_above_each_other_are_not_read() {
    // A directory with a location of two values of three quarters of the block each.
    let mut block = [
        &b"II*\0"[..],
        &8u32.to_le_bytes(),
        &[1, 0],
        &[0x25, 0x88, 4, 0, 1, 0, 0, 0, 26, 0, 0, 0],
        &[0; 4],
        &[2, 0],
        &[1, 0, 7, 0, 0, 3, 0, 0, 54, 0, 0, 0],
        &[2, 0, 7, 0, 0, 3, 0, 0, 54, 0, 0, 0],
    ]
    .concat();
    block.resize(1024, 7);
    assert_eq!(exif::wipe_gps_directory(&mut block.clone()), None);
    wipe_gps(&mut block);
    assert!(block.iter().all(|byte| *byte == 0), "it cannot be read, so all of it is overwritten");
}

#[test]
fn other_formats_are_not_filtered() {
    assert!(LocationFilter::of(Format::Tiff).is_none() && LocationFilter::of(Format::Gif).is_none());
}

proptest! {
    #[test]
    fn the_output_does_not_depend_on_the_pieces(number in 0..15usize, pieces in prop::collection::vec(1..300usize, 1..40)) {
        let (format, file, _) = samples().swap_remove(number);
        prop_assert_eq!(filtered(format, &file, &pieces), whole(format, &file));
    }

    #[test]
    fn no_bytes_make_it_panic_or_change_their_number(
        number in 0..15usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
        pieces in prop::collection::vec(1..3000usize, 1..5),
    ) {
        let (format, mut file, _) = samples().swap_remove(number);
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        prop_assert_eq!(filtered(format, &file, &pieces).len(), file.len());
    }
}
