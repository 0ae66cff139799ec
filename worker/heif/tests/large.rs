//! Large pictures in many tiles, as phones write them: each tile is shrunk at once, so that memory stays small.
#![cfg(feature = "heic")]

#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "other tests use the rest, and a test fails where it stands"
)]
#[path = "support/file.rs"]
mod file;

use std::{fs, process::Command};

use thumbnail_heif::decode;

use self::file::{Coded, File, clap, ispe};

/// The sides of a tile of a phone.
const TILE: u32 = 512;

/// The sides that the large thumbnail needs.
const LEAST: (u32, u32) = (1024, 768);

/// Bytes for a picture, at most: planes and pixels of four times as many pixels as the large thumbnail has, and a tile,
/// are 28 MiB. The kernel may give twice as much, in huge pages. A hundred megapixels alone are 300 MB.
const MOST: u64 = 64 << 20;

/// A file of so many equal tiles, with more properties of the whole.
fn tiled(columns: u8, rows: u8, more: &[Vec<u8>]) -> Vec<u8> {
    let pixels: Vec<u8> = (0..TILE * TILE)
        .flat_map(|at| [at % TILE / 2, at / TILE / 2, 128])
        .map(|value| u8::try_from(value % 256).unwrap_or_default())
        .collect();
    let one = heifer::encode_rgb8(TILE, TILE, &pixels, &heifer::EncodeOptions::default())
        .expect("a tile can be encoded");
    let tile = Coded::of(&one);
    let mut file = File::default();
    let count = u16::from(columns) * u16::from(rows);
    let ids: Vec<_> = (0..count).map(|_| file.add_coded(&tile, &[ispe(TILE, TILE)])).collect();
    let sides = (u32::from(columns) * TILE, u32::from(rows) * TILE);
    file.primary = file.add_grid(columns, rows, sides, &ids, more);
    file.bytes()
}

/// A value of this process's status in bytes.
fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux has this line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("it is a number") * 1024
}

/// The most memory that decoding takes on top of what there is, in bytes.
fn memory_of(file: &[u8], max_pixels: u64) -> u64 {
    fs::write("/proc/self/clear_refs", "5").expect("Linux has it");
    let before = status("VmRSS:");
    let picture = decode(file, LEAST, max_pixels).expect("the file is whole");
    assert!(picture.width >= LEAST.0 && picture.height >= LEAST.1);
    status("VmHWM:") - before
}

#[test]
fn the_memory_of_twelve_megapixels_is_bounded() {
    let memory = memory_of(&tiled(8, 6, &[]), 100_000_000);
    println!("{:.1} MiB", memory as f64 / f64::from(1 << 20));
    assert!(memory < MOST, "{memory} bytes");
}

#[test]
fn the_memory_of_a_hundred_megapixels_has_the_same_bound() {
    let memory = memory_of(&tiled(19, 20, &[]), 100_000_000);
    println!("{:.1} MiB", memory as f64 / f64::from(1 << 20));
    assert!(memory < MOST, "{memory} bytes");
}

#[test]
fn a_crop_at_an_odd_pixel_is_shrunk_as_well() {
    // All but the first pixel and the last two, across and down.
    let (width, height) = (19 * TILE - 3, 20 * TILE - 3);
    let file = tiled(19, 20, &[clap(width, height, -1, -1)]);
    let memory = memory_of(&file, 100_000_000);
    println!("{:.1} MiB", memory as f64 / f64::from(1 << 20));
    assert!(memory < MOST, "{memory} bytes");
}

#[cfg(feature = "avif")]
#[test]
fn deep_samples_of_an_avif_are_not_copied() {
    let folder = std::env::temp_dir().join(format!("up-heif-{}-deep", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let (width, height) = (4096, 4096);
    image::GrayImage::from_fn(width, height, |x, y| image::Luma([u8::from(x / 64 % 2 == y / 64 % 2) * 200]))
        .save(folder.join("in.png"))
        .expect("a PNG is written");
    let arguments = ["-s", "10", "-d", "10", "-y", "444", "in.png", "out.avif"];
    let encoder = Command::new("avifenc").args(arguments).current_dir(&folder).output();
    assert!(encoder.expect("make test installs avifenc").status.success());
    let file = fs::read(folder.join("out.avif")).expect("an AVIF is read");
    fs::remove_dir_all(&folder).expect("the folder is there");
    let memory = memory_of(&file, u64::from(width * height));
    // Three planes of two bytes a sample, once: 96 MiB. A copy would make it twice as much.
    println!("{:.1} MiB", memory as f64 / f64::from(1 << 20));
    assert!(memory < 150 << 20, "{memory} bytes");
}
