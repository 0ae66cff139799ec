//! Headers of pictures made here.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage};
use proptest::prelude::*;

use super::*;

const FORMATS: [(Format, ImageFormat); 6] = [
    (Format::Jpeg, ImageFormat::Jpeg),
    (Format::Png, ImageFormat::Png),
    (Format::Gif, ImageFormat::Gif),
    (Format::WebP, ImageFormat::WebP),
    (Format::Bmp, ImageFormat::Bmp),
    (Format::Tiff, ImageFormat::Tiff),
];

fn encoded(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(RgbImage::new(width, height)).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn every_format_is_sniffed_and_its_sides_are_read() {
    for (format, image_format) in FORMATS {
        let bytes = encoded(123, 45, image_format);
        assert_eq!(sniff(&bytes[..bytes.len().min(SNIFF_BYTES)]), Sniff::Format(format));
        let header = probe(Cursor::new(&bytes), format).unwrap();
        assert_eq!((header.width, header.height), (123, 45), "{format}");
    }
}

#[test]
fn a_header_behind_a_long_profile_is_found() {
    let jpeg = encoded(64, 32, ImageFormat::Jpeg);
    let segment = [&b"\xff\xe2\xff\xff"[..], &[7; 0xfffd]].concat();
    let long = [&jpeg[..2], &segment.repeat(40), &jpeg[2..]].concat();
    let header = probe(Cursor::new(&long), Format::Jpeg).unwrap();
    assert_eq!((header.width, header.height), (64, 32));
}

#[test]
fn what_is_no_picture_is_named() {
    for (bytes, what) in [
        (&b"%PDF-1.7 ..."[..], "a PDF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG"),
        (b"<?xml version='1.0'?>\n<svg/>", "an SVG"),
        (b"<!DOCTYPE html><title>x</title>", "a web page"),
        (b"hello, world", "text"),
        (b"PK\x03\x04....", "a ZIP archive"),
        (b"\0\0\0\x18ftypheic....", "a HEIC picture"),
        (b"\0\0\0\x18ftypavif....", "an AVIF picture"),
        (b"\0\0\0\x18ftypisom....", "a video"),
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
    assert_eq!(error.to_string(), "268 megapixels are too many. The limit is 100 megapixels.");
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), which in 0usize..6) {
        let (format, image_format) = FORMATS[which];
        let _ = probe(Cursor::new(&bytes), format);
        // A real beginning gets further.
        let mut damaged = encoded(8, 8, image_format);
        for (at, byte) in bytes.iter().enumerate() {
            let length = damaged.len();
            damaged[(at * 7 + usize::from(*byte)) % length] ^= byte;
        }
        let _ = sniff(&damaged);
        let _ = probe(Cursor::new(&damaged), format);
    }
}
