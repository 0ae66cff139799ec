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

/// The side of a tile of a phone.
const TILE: u32 = 512;

/// The side of a tile that no factor divides: coded pictures have even sides.
const ODD_TILE: u32 = 510;

/// The sides that the large thumbnail needs.
const LEAST: (u32, u32) = (1024, 768);

/// Bytes for a picture, at most: planes and pixels of four times as many pixels as the large thumbnail has, and a tile,
/// are 28 MiB. The kernel may give twice as much, in huge pages. A hundred megapixels alone are 300 MB.
const MOST: u64 = 64 << 20;

/// A file of so many equal tiles, with more properties of the whole.
fn tiled(columns: u8, rows: u8, more: &[Vec<u8>]) -> Vec<u8> {
    tiled_by(TILE, columns, rows, more)
}

fn tiled_by(side: u32, columns: u8, rows: u8, more: &[Vec<u8>]) -> Vec<u8> {
    let pixels: Vec<u8> = (0..side * side)
        .flat_map(|at| [at % side / 2, at / side / 2, 128])
        .map(|value| u8::try_from(value % 256).unwrap_or_default())
        .collect();
    let one = heifer::encode_rgb8(side, side, &pixels, &heifer::EncodeOptions::default())
        .expect("a tile can be encoded");
    let tile = Coded::of(&one);
    let mut file = File::default();
    let count = u16::from(columns) * u16::from(rows);
    let ids: Vec<_> = (0..count).map(|_| file.add_coded(&tile, &[ispe(side, side)])).collect();
    let sides = (u32::from(columns) * side, u32::from(rows) * side);
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
fn the_memory_of_two_hundred_megapixels_has_the_same_bound() {
    let (columns, rows) = (28, 28);
    assert!(u32::from(columns) * u32::from(rows) * TILE * TILE > 200_000_000);
    let memory = memory_of(&tiled(columns, rows, &[]), 210_000_000);
    println!("{:.1} MiB", memory as f64 / f64::from(1 << 20));
    assert!(memory < MOST, "{memory} bytes");
}

#[test]
fn tiles_of_a_side_that_no_factor_divides_are_shrunk_as_well() {
    // 99.9 megapixels.
    let memory = memory_of(&tiled_by(ODD_TILE, 24, 16, &[]), 100_000_000);
    println!("{:.1} MiB", memory as f64 / f64::from(1 << 20));
    assert!(memory < MOST, "{memory} bytes");
}

#[test]
fn a_small_part_of_a_large_picture_takes_only_its_own_memory() {
    let file = tiled(19, 20, &[clap(1024, 768, 1001, 2003)]);
    let memory = memory_of(&file, 100_000_000);
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
