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
    assert!(picture.extent.0 <= width && width < picture.extent.0 + 1.0);
    assert!(picture.extent.1 <= height && height < picture.extent.1 + 1.0);
    assert!((1..=8).contains(&picture.orientation));
});
