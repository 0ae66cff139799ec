//! Pictures: made here, or photographs from Debian's packages.

use std::{fs, io::Cursor, path::PathBuf};

use image::{DynamicImage, GrayImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

/// The directories of Debian's packages of photographs.
const PHOTOGRAPHS: &str = "/usr/share/backgrounds";

/// A small opaque PNG, different for every seed.
#[must_use]
pub fn tiny(seed: u32) -> Vec<u8> {
    #[expect(clippy::cast_possible_truncation, reason = "any colour will do")]
    let colour = |x: u32, y: u32| Rgb([(seed * 7 + x) as u8, (seed / 3 + y) as u8, (seed / 256) as u8]);
    encode(RgbImage::from_fn(24, 16, colour), ImageFormat::Png)
}

/// A PNG of a hundred million black pixels: a small file that takes a worker about a second.
#[must_use]
pub fn slow() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let black = GrayImage::new(10_000, 10_000);
    black.write_to(&mut bytes, ImageFormat::Png).expect("a picture of one colour can be encoded");
    bytes.into_inner()
}

/// A PNG whose header is right and whose pixels are not.
///
/// # Panics
/// When the encoder fails.
#[must_use]
pub fn damaged() -> Vec<u8> {
    let mut png = tiny(0);
    let data = png.windows(4).position(|name| name == b"IDAT").expect("a PNG has data") + 4;
    png[data..data + 8].fill(0xFF);
    png
}

/// A JPEG of these sides that does not compress to nothing.
#[must_use]
pub fn jpeg(width: u32, height: u32) -> Vec<u8> {
    #[expect(clippy::cast_possible_truncation, reason = "any colour will do")]
    let colour = |x: u32, y: u32| Rgb([(x ^ y) as u8, (x * y / 64) as u8, (x + y) as u8]);
    encode(RgbImage::from_fn(width, height, colour), ImageFormat::Jpeg)
}

/// A PNG whose transparency fades from left to right.
#[must_use]
pub fn glass(width: u32, height: u32) -> Vec<u8> {
    #[expect(clippy::cast_possible_truncation, reason = "any colour will do")]
    let colour =
        |x: u32, y: u32| Rgba([(x ^ y) as u8, (x * y / 64) as u8, (x + y) as u8, (x * 255 / width) as u8]);
    let mut bytes = Cursor::new(Vec::new());
    let picture = DynamicImage::from(RgbaImage::from_fn(width, height, colour));
    picture.write_to(&mut bytes, ImageFormat::Png).expect("a small picture can be encoded");
    bytes.into_inner()
}

fn encode(image: RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(image).write_to(&mut bytes, format).expect("a small picture can be encoded");
    bytes.into_inner()
}

/// A photograph that no test made: where it is, its bytes and its sides, at least `megapixels` of them.
///
/// # Panics
/// When there is none: `make test` installs them.
#[must_use]
pub fn photograph(megapixels: u64) -> (PathBuf, Vec<u8>, (u32, u32)) {
    let mut paths: Vec<PathBuf> = fs::read_dir(PHOTOGRAPHS)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "jpg"))
        .collect();
    paths.sort();
    for path in paths {
        let Ok(sides) = image::image_dimensions(&path) else { continue };
        if u64::from(sides.0) * u64::from(sides.1) >= megapixels * 1_000_000 {
            let bytes = fs::read(&path).expect("a file that was listed can be read");
            return (path, bytes, sides);
        }
    }
    panic!(
        "no photograph of {megapixels} megapixels in {PHOTOGRAPHS}: install lomiri-wallpapers-20.04 (make test does)"
    );
}
