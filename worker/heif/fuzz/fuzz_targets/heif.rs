//! HEIC and AVIF of strangers: no panic, and buffers that hold the picture that they say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use thumbnail_heif::decode;

/// Small, so that an input costs milliseconds.
const MAX_PIXELS: u64 = 400_000;

fuzz_target!(|file: &[u8]| {
    let Ok(picture) = decode(file, (160, 120), MAX_PIXELS) else { return };
    let pixels = picture.width as usize * picture.height as usize;
    assert_eq!(picture.pixels.len(), pixels * picture.channels());
    let (width, height) = (f64::from(picture.width), f64::from(picture.height));
    let end = (picture.corner.0 + picture.extent.0, picture.corner.1 + picture.extent.1);
    assert!(end.0 <= width && width < end.0 + 1.0);
    assert!(end.1 <= height && height < end.1 + 1.0);
    assert!(picture.corner.0 < 1.0 && picture.corner.1 < 1.0);
    assert!((1..=8).contains(&picture.orientation));
});
