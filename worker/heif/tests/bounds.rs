//! Counts and sizes that a file states, each above its bound: refused before memory is allocated.
#![cfg(feature = "heic")]

#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "other tests use the rest, and a test fails where it stands"
)]
#[path = "support/file.rs"]
mod file;

use thumbnail_heif::{Error, Unsupported, decode};

use self::file::{Coded, File, boxed, clap, full_box, ispe};

const MAX_PIXELS: u64 = 1_000_000;

fn plain() -> Coded {
    Coded::of(include_bytes!("samples/plain.heic"))
}

/// A sample of one picture.
fn one() -> File {
    File::of(&plain(), &[ispe(640, 480)])
}

/// The sample with boxes at the end of its description.
fn with(boxes: Vec<u8>) -> File {
    let mut file = one();
    file.more = boxes;
    file
}

fn assert_decodes(file: &File, what: &str) {
    let answer = decode(&file.bytes(), (160, 120), MAX_PIXELS);
    assert!(answer.is_ok(), "{what}: {answer:?}");
}

fn assert_too_many(file: &File, expected: &str) {
    match decode(&file.bytes(), (160, 120), MAX_PIXELS) {
        Err(Error::TooMany(found)) => assert_eq!(found, expected),
        answer => panic!("{expected}: {answer:?}"),
    }
}

/// A table of places (version 0): fields of these sizes, and entries of these bytes.
fn places(sizes: [u8; 2], count: u16, entries: &[u8]) -> Vec<u8> {
    full_box(b"iloc", 0, &[&sizes[..], &count.to_be_bytes(), entries].concat())
}

#[test]
fn a_table_of_places_does_not_grow_in_memory() {
    // The item, a file, 65,535 extents without fields: six bytes, and 1.5 MB of memory for each.
    let entry = |id: u16| [&id.to_be_bytes()[..], &[0, 0, 0xff, 0xff]].concat();
    let endless: Vec<u8> = (2..1002).flat_map(entry).collect();
    assert_too_many(&with(places([0, 0], 1000, &endless)), "extents");
    let few = [&2_u16.to_be_bytes()[..], &[0, 0, 0, 2]].concat();
    let answer = decode(&with(places([0, 0], 1, &few)).bytes(), (160, 120), MAX_PIXELS);
    assert!(matches!(&answer, Err(Error::Damaged(reason)) if reason.contains("places")), "{answer:?}");
    let cut = with(places([0x44, 0], 5, &[0; 30]));
    assert!(matches!(decode(&cut.bytes(), (160, 120), MAX_PIXELS), Err(Error::Damaged(_))));
    let many: Vec<u8> =
        (0..4097_u16).flat_map(|id| [&id.to_be_bytes()[..], &[0, 0, 0, 0]].concat()).collect();
    assert_too_many(&with(places([0, 0], 4097, &many)), "items with bytes");
}

#[test]
fn items_of_one_number_do_not_multiply_its_extents() {
    // An item with 8,000 extents, which two hundred items of the same number would copy.
    let extents = [&2_u16.to_be_bytes()[..], &[0, 0], &8000_u16.to_be_bytes(), &[0; 8000]].concat();
    let infos = |count: u16| {
        let info = full_box(b"infe", 2, &[&[0, 2, 0, 0][..], b"hvc1", &[0]].concat());
        full_box(b"iinf", 0, &[&count.to_be_bytes()[..], &info.repeat(count.into())].concat())
    };
    // Offsets of one byte.
    let table = places([0x10, 0], 1, &extents);
    assert_too_many(&with([table, infos(200)].concat()), "extents");
}

#[test]
fn a_configuration_is_not_copied_for_every_tile() {
    let mut file = one();
    file.add_unused(&boxed(b"hvcC", &[1; 16_385]), 1);
    assert_too_many(&file, "bytes in a configuration");
}

#[test]
fn one_picture_is_not_decoded_for_thousands_of_tiles() {
    let grid = |columns: u8, rows: u8| {
        let mut file = one();
        let ids = vec![1; usize::from(columns) * usize::from(rows)];
        let sides = (u32::from(columns) * 640, u32::from(rows) * 480);
        file.primary = file.add_grid(columns, rows, sides, &ids, &[]);
        file.bytes()
    };
    let answer = decode(&grid(255, 255), (160, 120), u64::MAX);
    assert!(matches!(answer, Err(Error::TooMany("tiles"))), "{answer:?}");
    // Nor for layers that are grids: sixteen of 2,000 tiles.
    let mut layers = one();
    let first = layers.add_grid(50, 40, (32_000, 19_200), &[1; 2000], &[]);
    let data = [&[0; 10][..], &[0, 16, 0, 16], &[0; 4 * 16]].concat();
    layers.primary = layers.add_derived(*b"iovl", &data, &[first; 16], &[ispe(16, 16)]);
    let answer = decode(&layers.bytes(), (160, 120), u64::MAX);
    assert!(matches!(answer, Err(Error::TooMany("tiles"))), "{answer:?}");
    assert!(decode(&grid(2, 2), (160, 120), 2_000_000).is_ok());
}

/// The same property of a picture, of a tile and of an alpha channel.
fn with_essential(property: &[u8]) -> [File; 3] {
    let mut picture = one();
    picture.add_essential(1, property);
    let mut grid = one();
    grid.add_essential(1, property);
    grid.primary = grid.add_grid(1, 1, (640, 480), &[1], &[]);
    let mut alpha = one();
    let urn = full_box(b"auxC", 0, b"urn:mpeg:hevc:2015:auxid:1\0");
    let id = alpha.add_coded(&plain(), &[ispe(640, 480), urn]);
    alpha.refer(*b"auxl", id, &[1]);
    alpha.add_essential(id, property);
    [picture, grid, alpha]
}

#[test]
fn what_a_picture_must_not_be_shown_without_is_named() {
    for (property, expected) in [
        (boxed(b"zzzz", &[]), Some(Unsupported::Property)),
        // The second operating point, the first and the second layer: `decode` shows the best of all.
        (boxed(b"a1op", &[1]), Some(Unsupported::Layer)),
        (boxed(b"a1op", &[]), Some(Unsupported::Layer)),
        (boxed(b"lsel", &[0, 0]), Some(Unsupported::Layer)),
        (boxed(b"lsel", &[0, 1]), Some(Unsupported::Layer)),
        (boxed(b"a1op", &[0]), None),
        (boxed(b"lsel", &[0xff, 0xff]), None),
        (boxed(b"pasp", &[0, 0, 0, 1, 0, 0, 0, 1]), None),
    ] {
        for file in with_essential(&property) {
            let what = property.escape_ascii();
            match (decode(&file.bytes(), (160, 120), MAX_PIXELS), expected) {
                (Ok(_), None) => {}
                (Err(Error::Unsupported(found)), Some(expected)) => assert_eq!(found, expected, "{what}"),
                (answer, _) => panic!("{what}: {answer:?}"),
            }
        }
    }
}

#[test]
fn counts_at_their_bounds_are_taken_and_above_refused() {
    // Items without a picture, properties that nothing has, boxes that nobody reads.
    let with_items = |count: usize| {
        let mut file = one();
        for _ in 1..count {
            file.add(*b"Exif", b"", &[]);
        }
        file
    };
    assert_decodes(&with_items(4096), "items");
    assert_too_many(&with_items(4097), "items with bytes");
    let with_infos = |count: u16| {
        let info = |id: u16| {
            let kind = if id == 1 { b"hvc1" } else { b"Exif" };
            full_box(b"infe", 2, &[&id.to_be_bytes()[..], &[0, 0], kind, &[0]].concat())
        };
        let infos: Vec<u8> = (1..=count).flat_map(info).collect();
        with(full_box(b"iinf", 0, &[&count.to_be_bytes()[..], &infos].concat()))
    };
    assert_decodes(&with_infos(4096), "entries of items");
    assert_too_many(&with_infos(4097), "items");
    let with_properties = |count: usize| {
        let mut file = one();
        // A coded picture has two.
        file.add_unused(&boxed(b"free", &[]), count - 2);
        file
    };
    assert_decodes(&with_properties(1024), "properties");
    assert_too_many(&with_properties(1025), "properties");
    let with_boxes = |count: usize| with(boxed(b"free", &[]).repeat(count - 6));
    assert_decodes(&with_boxes(4096), "boxes");
    assert_too_many(&with_boxes(4097), "boxes");
    let with_references = |count: usize| {
        let mut file = one();
        for _ in 0..count {
            file.refer(*b"cdsc", 1, &[1]);
        }
        file
    };
    assert_decodes(&with_references(4096), "references");
    assert_too_many(&with_references(4097), "references");
}

#[test]
fn depth_layers_and_sides_have_bounds() {
    let views = |count: u16| {
        let mut file = one();
        for _ in 0..count {
            file.primary = file.add_derived(*b"iden", b"", &[file.primary], &[ispe(640, 480)]);
        }
        file
    };
    assert_decodes(&views(4), "views");
    assert_too_many(&views(5), "pictures within pictures");
    let mut endless = one();
    endless.primary = endless.add_derived(*b"iden", b"", &[2], &[ispe(640, 480)]);
    assert_too_many(&endless, "pictures within pictures");

    let layered = |count: usize| {
        let mut file = File::of(&plain(), &[ispe(640, 480), clap(16, 16, 0, 0)]);
        // Transparent black, 16 × 16 pixels, and all layers in the corner.
        let data = [&[0; 10][..], &[0, 16, 0, 16], &vec![0; 4 * count]].concat();
        file.primary = file.add_derived(*b"iovl", &data, &vec![1; count], &[ispe(16, 16)]);
        decode(&file.bytes(), (16, 16), 100_000_000)
    };
    assert!(layered(16).is_ok());
    assert!(matches!(layered(17), Err(Error::TooMany("layers"))));

    let wide = |side: u32| {
        let mut file = File::of(&plain(), &[ispe(side, 480)]);
        file.primary = file.add_grid(1, 1, (side, 480), &[1], &[]);
        decode(&file.bytes(), (160, 120), 100_000_000)
    };
    assert!(matches!(wide(8192), Err(Error::Damaged(_))), "the coded picture has other sides");
    assert!(matches!(wide(8193), Err(Error::TooMany("pixels in a tile"))));
}
