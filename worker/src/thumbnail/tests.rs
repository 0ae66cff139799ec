//! Pictures made here, so that every pixel of the answer is known.

use image::{DynamicImage, GenericImageView, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

use super::*;

const RED: [u8; 3] = [220, 30, 30];
const GREEN: [u8; 3] = [30, 200, 30];
const BLUE: [u8; 3] = [30, 30, 220];
const WHITE: [u8; 3] = [240, 240, 240];

fn recipe(format: Format) -> Recipe {
    Recipe { format, sizes: Sizes::default(), max_pixels: 100_000_000 }
}

/// Red and green above, blue and white below.
fn corners(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb(match (x < width / 2, y < height / 2) {
            (true, true) => RED,
            (false, true) => GREEN,
            (true, false) => BLUE,
            (false, false) => WHITE,
        })
    })
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn decoded(thumbnail: &Thumbnail) -> DynamicImage {
    let image = image::load_from_memory(&thumbnail.bytes).unwrap();
    assert_eq!(image.dimensions(), (thumbnail.width, thumbnail.height));
    image
}

/// The colours of the four corners, reading order.
fn seen(image: &DynamicImage) -> [[u8; 3]; 4] {
    let (width, height) = image.dimensions();
    let nearest = |x, y| {
        let Rgba([r, g, b, _]) = image.get_pixel(x, y);
        let distance = |c: &[u8; 3]| c.iter().zip([r, g, b]).map(|(a, b)| a.abs_diff(b) as u32).sum::<u32>();
        [RED, GREEN, BLUE, WHITE].into_iter().min_by_key(distance).unwrap()
    };
    let (left, right, top, bottom) = (width / 8, width - 1 - width / 8, height / 8, height - 1 - height / 8);
    [nearest(left, top), nearest(right, top), nearest(left, bottom), nearest(right, bottom)]
}

/// A JPEG with an EXIF segment that says nothing but an orientation.
fn oriented_jpeg(image: &RgbImage, orientation: u8) -> Vec<u8> {
    let jpeg = encoded(&image.clone().into(), ImageFormat::Jpeg);
    let mut exif = b"\xff\xe1\0\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    assert_eq!(exif.len(), 0x24);
    [&jpeg[..2], &exif, &jpeg[2..]].concat()
}

#[test]
fn every_format_becomes_three_thumbnails() {
    for (format, image_format) in [
        (Format::Jpeg, ImageFormat::Jpeg),
        (Format::Png, ImageFormat::Png),
        (Format::Gif, ImageFormat::Gif),
        (Format::WebP, ImageFormat::WebP),
        (Format::Bmp, ImageFormat::Bmp),
        (Format::Tiff, ImageFormat::Tiff),
    ] {
        let made = make(&encoded(&corners(1200, 900).into(), image_format), &recipe(format)).unwrap();
        assert_eq!((made.width, made.height), (1200, 900), "{format}");
        let sides = made.thumbnails.each_ref().map(|thumbnail| (thumbnail.width, thumbnail.height));
        assert_eq!(sides, [(160, 120), (480, 360), (1024, 768)], "{format}");
        for thumbnail in &made.thumbnails {
            assert_eq!(thumbnail.encoding, Encoding::Jpeg, "{format}");
            assert_eq!(seen(&decoded(thumbnail)), [RED, GREEN, BLUE, WHITE], "{format}");
        }
        assert!(!made.thumbhash.is_empty());
    }
}

#[test]
fn every_orientation_is_turned_upright() {
    let image = corners(400, 200);
    for (orientation, corners) in [
        (1, [RED, GREEN, BLUE, WHITE]),
        (2, [GREEN, RED, WHITE, BLUE]),
        (3, [WHITE, BLUE, GREEN, RED]),
        (4, [BLUE, WHITE, RED, GREEN]),
        (5, [RED, BLUE, GREEN, WHITE]),
        (6, [BLUE, RED, WHITE, GREEN]),
        (7, [WHITE, GREEN, BLUE, RED]),
        (8, [GREEN, WHITE, RED, BLUE]),
        // No orientation at all.
        (0, [RED, GREEN, BLUE, WHITE]),
        (9, [RED, GREEN, BLUE, WHITE]),
    ] {
        let made = make(&oriented_jpeg(&image, orientation), &recipe(Format::Jpeg)).unwrap();
        let expected = if (5..=8).contains(&orientation) { (200, 400) } else { (400, 200) };
        assert_eq!((made.width, made.height), expected, "{orientation}");
        for thumbnail in &made.thumbnails {
            assert_eq!(seen(&decoded(thumbnail)), corners, "{orientation}");
        }
    }
}

#[test]
fn a_picture_is_never_enlarged_and_no_side_vanishes() {
    for (width, height, sides) in [
        (1, 1, [(1, 1), (1, 1), (1, 1)]),
        (200, 100, [(160, 80), (200, 100), (200, 100)]),
        (65_535, 1, [(160, 1), (480, 1), (1024, 1)]),
        (1, 3000, [(1, 160), (1, 480), (1, 1024)]),
    ] {
        let png = encoded(&RgbImage::new(width, height).into(), ImageFormat::Png);
        let made = make(&png, &recipe(Format::Png)).unwrap();
        let made = made.thumbnails.each_ref().map(|thumbnail| (thumbnail.width, thumbnail.height));
        assert_eq!(made, sides, "{width} × {height}");
    }
}

#[test]
fn transparency_stays_and_hidden_colour_does_not() {
    // A green disc on what is red and fully transparent.
    let image = RgbaImage::from_fn(600, 600, |x, y| {
        let (dx, dy) = (x.abs_diff(300), y.abs_diff(300));
        if dx * dx + dy * dy < 200 * 200 { Rgba([0, 200, 0, 255]) } else { Rgba([255, 0, 0, 0]) }
    });
    let made = make(&encoded(&image.into(), ImageFormat::Png), &recipe(Format::Png)).unwrap();
    for thumbnail in &made.thumbnails {
        assert_eq!(thumbnail.encoding, Encoding::Png);
        let image = decoded(thumbnail).into_rgba8();
        assert_eq!(image.get_pixel(0, 0), &Rgba([0, 0, 0, 0]));
        assert!(
            image.pixels().all(|Rgba([red, _, _, alpha])| *alpha == 0 || *red < 20),
            "red shines through"
        );
        assert!(
            image.pixels().all(|Rgba([_, green, _, alpha])| *alpha < 40 || *green > 150),
            "a dark fringe"
        );
    }
}

#[test]
fn alpha_that_hides_nothing_becomes_jpeg() {
    let opaque = DynamicImage::from(corners(50, 50)).into_rgba8();
    let made = make(&encoded(&opaque.into(), ImageFormat::Png), &recipe(Format::Png)).unwrap();
    assert!(made.thumbnails.iter().all(|thumbnail| thumbnail.encoding == Encoding::Jpeg));
}

#[test]
fn sixteen_bits_and_grey_are_seen_as_they_are() {
    let deep = DynamicImage::from(corners(300, 300)).into_rgb16();
    let made = make(&encoded(&deep.into(), ImageFormat::Png), &recipe(Format::Png)).unwrap();
    assert_eq!(seen(&decoded(&made.thumbnails[0])), [RED, GREEN, BLUE, WHITE]);
    let grey = DynamicImage::from(image::GrayImage::from_pixel(300, 300, image::Luma([77])));
    let made = make(&encoded(&grey, ImageFormat::Png), &recipe(Format::Png)).unwrap();
    let Rgba([r, g, b, _]) = decoded(&made.thumbnails[0]).get_pixel(80, 80);
    assert!([r, g, b].iter().all(|channel| channel.abs_diff(77) <= 2));
}

#[test]
fn limits_hold_before_a_pixel_is_decoded() {
    let png = encoded(&RgbImage::new(1000, 1000).into(), ImageFormat::Png);
    let small = Recipe { max_pixels: 999_999, ..recipe(Format::Png) };
    let error = make(&png, &small).unwrap_err();
    assert_eq!(error.code(), "too-many-pixels");
    assert_eq!(error.to_string(), "1000000 pixels are too many. The limit is 999999 pixels.");
}

#[test]
fn damaged_pictures_are_refused_and_never_panic() {
    for (format, image_format) in [
        (Format::Jpeg, ImageFormat::Jpeg),
        (Format::Png, ImageFormat::Png),
        (Format::WebP, ImageFormat::WebP),
    ] {
        let whole = encoded(&corners(64, 64).into(), image_format);
        for length in 0..whole.len() {
            let _ = make(&whole[..length], &recipe(format));
        }
        let error = make(&whole[..whole.len() / 4], &recipe(format)).unwrap_err();
        assert_eq!(error.code(), "cannot-be-decoded", "{format}");
    }
}

#[test]
fn thumbnails_carry_no_metadata() {
    let made = make(&oriented_jpeg(&corners(400, 200), 6), &recipe(Format::Jpeg)).unwrap();
    for thumbnail in &made.thumbnails {
        assert!(!thumbnail.bytes.windows(4).any(|window| window == b"Exif"));
    }
}
