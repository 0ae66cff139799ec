//! Pictures: made here, or photographs from Debian's packages.

use std::{
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};

use image::{DynamicImage, GrayImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

/// The directories of Debian's packages of photographs.
pub const PHOTOGRAPHS: &str = "/usr/share/backgrounds";

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

/// JPEGs below a directory, spread over the sizes that there are: the largest, and from there down in equal steps of rank,
/// `many` of them.
#[must_use]
pub fn spread_below(directory: &Path, many: usize) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    walk(directory, &mut paths);
    paths.sort_by_key(|path| fs::metadata(path).map_or(0, |data| data.len()));
    let step = (paths.len() / many).max(1);
    paths.into_iter().rev().step_by(step).take(many).collect()
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "jpg" || extension == "jpeg") {
            found.push(path);
        }
    }
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
