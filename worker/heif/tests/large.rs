//! Large pictures in many tiles, as phones write them: each tile is shrunk at once, so that memory stays small.
#![cfg(feature = "heic")]

use std::fs;

use heifer_isobmff::{
    HeifFile,
    boxes::Property,
    writer::{HeifWriter, ImageSpec},
};
use thumbnail_heif::decode;

/// The sides of a tile of a phone.
const TILE: u32 = 512;

/// The sides that the large thumbnail needs.
const LEAST: (u32, u32) = (1024, 768);

/// Bytes for a picture, at most: planes and pixels of four times as many pixels as the large thumbnail has, and a tile,
/// are 28 MiB. The kernel may give twice as much, in huge pages. A hundred megapixels alone are 300 MB.
const MOST: u64 = 64 << 20;

/// A file of so many equal tiles.
fn tiled(columns: u16, rows: u16) -> Vec<u8> {
    let pixels: Vec<u8> = (0..TILE * TILE)
        .flat_map(|at| [at % TILE / 2, at / TILE / 2, 128])
        .map(|value| u8::try_from(value % 256).unwrap_or_default())
        .collect();
    let one = heifer::encode_rgb8(TILE, TILE, &pixels, &heifer::EncodeOptions::default())
        .expect("a tile can be encoded");
    let one = HeifFile::parse(&one).expect("an encoder writes what can be read");
    let id = one.primary_item().expect("it has a picture").id;
    let config =
        one.item_properties(id).expect("the picture has properties").find_map(|property| match property {
            Property::HevcConfig(config) => Some(config.clone()),
            _ => None,
        });
    let (config, data) = (config.expect("HEVC has a configuration"), one.item_data(id).expect("it has data"));
    let mut slices = Vec::new();
    let mut rest = &data[..];
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (slice, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        slices.push(slice.to_vec());
        rest = after;
    }
    let mut writer = HeifWriter::new();
    let mut tile = ImageSpec::new(TILE, TILE, config, &slices);
    tile.hidden = true;
    let ids: Vec<_> = (0..columns * rows).map(|_| writer.add_image(&tile)).collect();
    let (width, height) = (u32::from(columns) * TILE, u32::from(rows) * TILE);
    let grid = writer.add_grid(rows, columns, width, height, &ids, None, None);
    writer.set_primary(grid);
    writer.finish()
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
    let memory = memory_of(&tiled(8, 6), 100_000_000);
    println!("{:.1} MiB", memory as f64 / f64::from(1 << 20));
    assert!(memory < MOST, "{memory} bytes");
}

#[test]
fn the_memory_of_a_hundred_megapixels_has_the_same_bound() {
    let memory = memory_of(&tiled(19, 20), 100_000_000);
    println!("{:.1} MiB", memory as f64 / f64::from(1 << 20));
    assert!(memory < MOST, "{memory} bytes");
}
