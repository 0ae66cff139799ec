//! Headers of pictures made here.

mod isobmff;

use std::io::Cursor;

use image::DynamicImage;
use proptest::prelude::*;

use super::*;
use crate::thumbnail::samples::{self, WRITTEN};

fn header(file: &[u8], format: Format) -> Result<Header, ProbeError> {
    probe(Cursor::new(file), format)
}

#[test]
fn every_format_is_sniffed_and_its_sides_are_read() {
    let picture = DynamicImage::from(samples::corners(123, 45));
    for format in WRITTEN {
        let bytes = samples::encode(format, &picture, None);
        assert_eq!(sniff(&bytes[..bytes.len().min(SNIFF_BYTES)]), Sniff::Format(format));
        let header = header(&bytes, format).unwrap();
        assert_eq!((header.width, header.height), (123, 45), "{format}");
    }
}

#[test]
fn a_header_behind_a_long_profile_is_found() {
    let jpeg = samples::encode(Format::Jpeg, &samples::corners(64, 32).into(), None);
    let segment = [&b"\xff\xe2\xff\xff"[..], &[7; 0xfffd]].concat();
    let long = [&jpeg[..2], &segment.repeat(40), &jpeg[2..]].concat();
    let header = header(&long, Format::Jpeg).unwrap();
    assert_eq!((header.width, header.height), (64, 32));
}

#[test]
fn the_orientation_is_found_in_every_format_that_has_one() {
    let picture = samples::corners(31, 17);
    for orientation in Orientation::ALL {
        for format in [Format::Jpeg, Format::Png, Format::WebP, Format::Tiff] {
            let file = samples::oriented(format, &picture, orientation);
            let header = header(&file, format).unwrap();
            assert_eq!(header.orientation, orientation, "{format}");
            assert_eq!((header.width, header.height), orientation.displayed(31, 17), "{format}");
            assert_eq!(header.stored(), (31, 17), "{format}");
        }
    }
}

#[test]
fn exif_behind_the_frame_header_counts() {
    let plain = samples::encode(Format::Jpeg, &samples::corners(31, 17).into(), None);
    let exif = [b"Exif\0\0", &samples::exif(Orientation::Clockwise)[..]].concat();
    let segment = [&[0xff, 0xe1, 0, u8::try_from(exif.len() + 2).unwrap()], &exif[..]].concat();
    let scan = plain.windows(2).position(|window| window == [0xff, 0xda]).unwrap();
    let late = [&plain[..scan], &segment, &plain[scan..]].concat();
    assert_eq!(header(&late, Format::Jpeg).unwrap().orientation, Orientation::Clockwise);
}

#[test]
fn broken_exif_counts_as_none() {
    let whole = samples::exif(Orientation::Clockwise);
    let mut unknown_value = whole.clone();
    unknown_value[19] = 9;
    let mut circular = whole.clone();
    circular[7] = 0;
    for broken in [whole[..12].to_vec(), Vec::new(), b"nonsense".to_vec(), unknown_value, circular] {
        let file = samples::encode(Format::Jpeg, &samples::corners(9, 5).into(), Some(broken.clone()));
        let header = header(&file, Format::Jpeg).unwrap();
        assert_eq!((header.width, header.orientation), (9, Orientation::Upright), "{broken:?}");
    }
}

#[test]
fn the_head_of_a_webp_does_not_pass_for_the_whole() {
    let file = samples::oriented(Format::WebP, &samples::corners(31, 17), Orientation::Clockwise);
    assert!(header(&file[..file.len() - 40], Format::WebP).is_err(), "its orientation is not there yet");
}

#[test]
fn a_header_of_endless_parts_is_refused() {
    let mut jpeg = vec![0xff, 0xd8];
    let mut webp = b"RIFF\xff\xff\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\0\0\0\0\0\0".to_vec();
    for _ in 0..20_000 {
        jpeg.extend([0xff, 0xfe, 0, 2]);
        webp.extend(b"ANMF\0\0\0\0");
    }
    assert!(matches!(header(&jpeg, Format::Jpeg), Err(ProbeError::TooManyParts)));
    let webp_bytes = u32::try_from(webp.len() - 8).unwrap();
    webp[4..8].copy_from_slice(&webp_bytes.to_le_bytes());
    assert_eq!(header(&webp, Format::WebP).unwrap().frames, None);
}

#[test]
fn frames_and_pages_are_counted_where_that_is_cheap() {
    let frame = || image::Frame::new(DynamicImage::from(samples::corners(9, 5)).into_rgba8());
    let mut gif = Vec::new();
    image::codecs::gif::GifEncoder::new(&mut gif).encode_frames((0..3).map(|_| frame())).unwrap();
    assert_eq!(header(&gif, Format::Gif).unwrap().frames, Some(3));
    assert_eq!(header(&gif[..gif.len() - 1], Format::Gif).unwrap().frames, None, "it is not whole");

    let mut tiff = samples::tiff(&samples::corners(9, 5), Orientation::Upright);
    assert_eq!(header(&tiff, Format::Tiff).unwrap().frames, Some(1));
    // A ring.
    let first: [u8; 4] = tiff[4..8].try_into().unwrap();
    let end = tiff.len() - 4;
    tiff[end..].copy_from_slice(&first);
    assert_eq!(header(&tiff, Format::Tiff).unwrap().frames, None);

    let mut webp = b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\x08\0\0\x04\0\0".to_vec();
    webp.extend(b"ANMF\0\0\0\0");
    assert_eq!(header(&webp, Format::WebP).unwrap().frames, Some(1));
}

#[test]
fn a_picture_without_a_side_is_damaged() {
    let mut file = samples::encode(Format::Gif, &samples::corners(9, 5).into(), None);
    file[6] = 0;
    let sides = header(&file, Format::Gif).map(|header| (header.width, header.height)).unwrap();
    assert_eq!(sides, (9, 5), "a GIF without a screen has the sides of its first frame");
    assert!(matches!(header(&file[..20], Format::Gif), Err(ProbeError::Damaged(_))));
    let mut file = samples::encode(Format::Bmp, &samples::corners(9, 5).into(), None);
    file[18] = 0;
    assert!(matches!(header(&file, Format::Bmp), Err(ProbeError::Damaged(_))));
}

#[test]
fn other_kinds_of_files_are_named() {
    for (bytes, what) in [
        (&b"%PDF-1.7 ..."[..], "a PDF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG"),
        (b"<?xml version='1.0'?>\n<svg/>", "an SVG"),
        (b"<!DOCTYPE html><title>x</title>", "a web page"),
        (b"hello, world", "text"),
        (b"PK\x03\x04....", "a ZIP archive"),
        (b"\0\0\0\x18ftypisom....", "a video"),
        (b"\0\0\0\x18ftypcrx ....", "a camera raw file (CR3)"),
        (b"II*\0\x10\0\0\0CR\x02\0", "a camera raw file (CR2)"),
        (b"FUJIFILMCCD-RAW 0201", "a camera raw file (RAF)"),
        (b"IIU\0\x18\0\0\0", "a camera raw file (RW2)"),
        (b"IIRO\x08\0\0\0", "a camera raw file (ORF)"),
        (b"BM is how this text begins", "text"),
    ] {
        assert_eq!(sniff(bytes), Sniff::Other(what));
    }
    assert_eq!(sniff(b""), Sniff::Empty);
    assert_eq!(sniff(b"\x01\x02\x03\xf0\xf1"), Sniff::Unknown);
}

#[test]
fn a_tiny_file_that_asks_for_a_huge_picture_is_over_the_limit() {
    // 34 bytes of WebP.
    let webp = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\xff\xff\xff\x0f\0\0\0\0\0\0\0\0";
    let header = probe(Cursor::new(webp), Format::WebP).unwrap();
    assert_eq!((header.width, header.height), (16_384, 16_384));
    let error = header.check(100_000_000).unwrap_err();
    // 16,384 times 16,384 are 268.4 megapixels.
    assert_eq!(error.to_string(), "Too big: 269 megapixels. The limit is 100 megapixels.");
    let just_above = TooManyPixels { pixels: 100_000_001, limit: 100_000_000 };
    assert_eq!(just_above.to_string(), "Too big: 101 megapixels. The limit is 100 megapixels.");
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), which in 0usize..6) {
        let format = WRITTEN[which];
        let _ = probe(Cursor::new(&bytes), format);
        // A real beginning gets further.
        let mut damaged = samples::encode(format, &samples::corners(8, 8).into(), None);
        for (at, byte) in bytes.iter().enumerate() {
            let length = damaged.len();
            damaged[(at * 7 + usize::from(*byte)) % length] ^= byte;
        }
        let _ = sniff(&damaged);
        let _ = probe(Cursor::new(&damaged), format);
    }
}
