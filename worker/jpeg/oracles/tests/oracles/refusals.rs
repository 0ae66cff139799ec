//! Files that are left to a complete decoder, and damage.

use proptest::prelude::*;
use thumbnail_jpeg::{Decoder, Error, Options, Scale};

use thumbnail_jpeg_oracles::{
    encoder::{Coded, Layout, Lengths, Scan, segment},
    reference::{difference, turbo},
};

use crate::pictures::{SAMPLINGS, any_picture, coded, layout, scan};

fn decode(file: &[u8]) -> Result<(), Error> {
    Decoder::default().decode(file, &Options::default()).map(drop)
}

fn ordinary() -> (Coded, Layout) {
    let coded = coded(70, 50, SAMPLINGS[2], 90, 7);
    let layout = layout(&coded, 0, vec![3], Lengths::Skewed);
    (coded, layout)
}

fn replaced(file: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = file.windows(from.len()).position(|window| window == from).expect("it is there");
    [&file[..at], to, &file[at + from.len()..]].concat()
}

#[test]
fn bytes_between_segments_are_refused_and_fill_bytes_are_not() {
    let (coded, layout) = ordinary();
    let file = coded.write(&layout);
    assert_eq!(decode(&file), Ok(()));
    assert_eq!(decode(&replaced(&file, &[0xFF, 0xC1], &[0xFF, 0xFF, 0xFF, 0xC1])), Ok(()));
    assert_eq!(decode(&replaced(&file, &[0xFF, 0xD9], &[0xFF, 0xFF, 0xD9])), Ok(()));
    assert!(matches!(decode(&replaced(&file, &[0xFF, 0xC1], &[7, 0xFF, 0xC1])), Err(Error::Damaged(_))));
    assert!(matches!(
        decode(&replaced(&file, &[0xFF, 0xC1], &[0xFF, 1, 0xFF, 0xC1])),
        Err(Error::Damaged(_))
    ));
}

#[test]
fn other_kinds_of_frames_are_left_to_another_decoder() {
    let (coded, layout) = ordinary();
    let file = coded.write(&layout);
    for kind in [0xC3, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF, 0xDC, 0xF0] {
        let other = replaced(&file, &[0xFF, 0xC1], &[0xFF, kind]);
        assert!(matches!(decode(&other), Err(Error::Unsupported(_))), "{kind:x}");
    }
    let deep = replaced(&file, &[0xFF, 0xC1, 0, 17, 8], &[0xFF, 0xC1, 0, 17, 12]);
    assert!(matches!(decode(&deep), Err(Error::Unsupported(_))));
}

#[test]
fn colours_other_than_ycbcr_are_left_to_another_decoder() {
    let adobe = |transform| segment(0xEE, &[b"Adobe\0\x64\0\0\0\0", &[transform][..]].concat());
    let jfif = segment(0xE0, b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0");
    let ids = |ids: [u8; 3], extra: &[u8]| {
        let (mut coded, mut layout) = ordinary();
        coded.components.iter_mut().zip(ids).for_each(|(component, id)| component.id = id);
        layout.extra = extra.to_vec();
        coded.write(&layout)
    };
    for (ids_of_file, extra, is_ycbcr) in [
        ([1, 2, 3], vec![], true),
        ([0, 1, 2], vec![], true),
        (*b"RGB", vec![], false),
        (*b"RGB", jfif.clone(), true),
        (*b"RGB", adobe(1), true),
        ([1, 2, 3], adobe(0), false),
        ([1, 2, 3], adobe(1), true),
        ([1, 2, 3], adobe(2), false),
        ([1, 2, 3], [adobe(0), jfif.clone()].concat(), true),
    ] {
        let file = ids(ids_of_file, &extra);
        assert_eq!(decode(&file).is_ok(), is_ycbcr, "{ids_of_file:?} {extra:?}");
        let header = turbojpeg::read_header(&file);
        let theirs = header.is_ok_and(|header| header.colorspace == turbojpeg::Colorspace::YCbCr);
        assert!(theirs || !is_ycbcr, "libjpeg-turbo sees no YCbCr: {ids_of_file:?} {extra:?}");
    }
}

#[test]
fn a_restart_marker_that_is_missing_or_out_of_turn_is_refused() {
    let (coded, layout) = ordinary();
    let file = coded.write(&layout);
    assert!(matches!(decode(&replaced(&file, &[0xFF, 0xD1], &[])), Err(Error::Damaged(_))));
    assert!(matches!(decode(&replaced(&file, &[0xFF, 0xD1], &[0xFF, 0xD2])), Err(Error::Damaged(_))));
}

#[test]
fn quantisers_of_the_first_scan_count() {
    let coded = coded(70, 50, SAMPLINGS[0], 90, 7);
    for script in [1, 3] {
        let file = coded.write(&layout(&coded, script, vec![0], Lengths::Flat));
        // New quantisers for everything, after the first scan of the first component.
        let tables: Vec<u8> =
            (0..3).flat_map(|table| segment(0xDB, &[&[table][..], &[4; 64]].concat())).collect();
        let scans: Vec<_> = (0..file.len() - 1).filter(|at| file[*at..][..2] == [0xFF, 0xDA]).collect();
        let data = &file[scans[0]..];
        let end = (14..data.len()).find(|at| data[*at] == 0xFF && data[at + 1] != 0).unwrap();
        let at = scans[0] + end;
        let changed = [&file[..at], &tables, &file[at..]].concat();
        let picture = Decoder::default().decode(&changed, &Options::default()).unwrap();
        let expected = turbo(&changed).unwrap();
        assert!(difference(&picture.brightness, &expected[0]) <= 1, "{script}");
        let colour = picture.colour.unwrap();
        assert!(difference(&colour[0], &expected[1]) <= 1, "{script}");
        let whole = Decoder::default().decode(&file, &Options::default()).unwrap();
        assert_eq!(whole.brightness, picture.brightness, "{script}");
        assert_eq!(whole.colour.unwrap() == colour, script == 3, "{script}");
    }
}

#[test]
fn scans_out_of_order_or_missing_are_refused() {
    let coded = coded(40, 40, SAMPLINGS[2], 90, 7);
    let all = [0, 1, 2];
    let each = |from, to, high, low| all.map(|one| scan(&[one], from, to, high, low));
    let refused = |scans: Vec<Scan>| {
        let layout =
            Layout { is_progressive: true, scans, restarts: vec![0], lengths: Lengths::Flat, extra: vec![] };
        decode(&coded.write(&layout)).unwrap_err()
    };
    let dc = || vec![scan(&all, 0, 0, 0, 0)];
    refused([dc(), each(1, 5, 0, 0).into()].concat());
    refused([dc(), each(1, 63, 0, 1).into()].concat());
    refused([dc(), each(1, 63, 0, 2).into(), each(1, 63, 1, 0).into()].concat());
    refused([dc(), each(1, 63, 0, 0).into(), each(1, 63, 0, 0).into()].concat());
    refused([dc(), each(1, 63, 0, 0).into(), dc()].concat());
    refused([each(1, 63, 0, 0).into(), dc()].concat());
    refused([dc(), each(1, 5, 0, 1).into(), each(6, 63, 0, 0).into(), each(1, 63, 1, 0).into()].concat());
}

#[test]
fn more_scans_than_encoders_write_are_refused() {
    let coded = coded(8, 8, SAMPLINGS[10], 90, 7);
    let mut scans = vec![scan(&[0], 0, 0, 0, 0)];
    scans.extend((1..=63).map(|k| scan(&[0], k, k, 0, 1)));
    scans.extend((1..=37).map(|k| scan(&[0], k, k, 1, 0)));
    let layout =
        Layout { is_progressive: true, scans, restarts: vec![0], lengths: Lengths::Flat, extra: vec![] };
    assert_eq!(decode(&coded.write(&layout)), Err(Error::Unsupported("more than 100 scans")));
}

#[test]
fn memory_is_bounded_before_anything_is_allocated() {
    let (coded, layout) = ordinary();
    let file = coded.write(&layout);
    let header = file.windows(2).position(|window| window == [0xFF, 0xC1]).unwrap();
    let mut huge = file.clone();
    huge[header + 5..header + 9].copy_from_slice(&[0xFF, 0xDC, 0xFF, 0xDC]);
    assert_eq!(decode(&huge), Err(Error::NeedsTooMuchMemory));
    let tight = Options { max_bytes: 70 * 50, ..Options::default() };
    assert_eq!(Decoder::default().decode(&file, &tight).unwrap_err(), Error::NeedsTooMuchMemory);
}

#[test]
fn a_colour_profile_after_the_first_scan_is_left_to_another_decoder() {
    let coded = coded(40, 40, SAMPLINGS[2], 90, 7);
    let file = coded.write(&layout(&coded, 1, vec![0], Lengths::Flat));
    let profile = segment(0xE2, b"ICC_PROFILE\0\x01\x01profile");
    let last = file.len() - 2;
    let late = [&file[..last], &profile, &file[last..]].concat();
    assert!(matches!(decode(&late), Err(Error::Unsupported(_))));
    let early = [&file[..2], &profile, &file[2..]].concat();
    assert_eq!(decode(&early), Ok(()));
}

proptest! {
    #[test]
    fn a_truncated_file_is_never_decoded((coded, layout) in any_picture(), part in 0.0..1.0) {
        let file = coded.write(&layout);
        let length = (file.len() as f64 * part) as usize;
        prop_assert!(decode(&file[..length.min(file.len() - 1)]).is_err());
    }

    #[test]
    fn damage_never_panics(
        (coded, layout) in any_picture(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        scale in 0..Scale::ALL.len(),
    ) {
        let mut file = coded.write(&layout);
        for (place, byte) in changes {
            let place = place.index(file.len());
            file[place] = byte;
        }
        // The frame may have become a large one.
        let options = Options { scale: Scale::ALL[scale], max_bytes: 1 << 24, ..Options::default() };
        let found = Decoder::default().decode(&file, &options);
        prop_assert_eq!(found, Decoder::portable().decode(&file, &options));
    }
}

#[test]
fn the_example_of_the_documentation_is_an_ordinary_file() {
    let file = include_bytes!("../../../src/ordinary.jpg");
    assert_eq!(decode(file), Ok(()));
    assert_eq!(decode(&file[..file.len() - 2]), Err(Error::Damaged("it ends before the end of the image")));
}
