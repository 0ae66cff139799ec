//! Made-up pictures as coefficients, and ways to write them.

use proptest::prelude::*;

use thumbnail_jpeg_oracles::encoder::{Coded, Component, Layout, Lengths, Scan, zigzag};

/// The tables of T.81, K.1, row by row.
const BRIGHTNESS: [u16; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17,
    22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78,
    87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
];

/// The tables at a quality of 1 to 100, as libjpeg scales them.
pub(crate) fn quantisers(quality: u32) -> [u16; 64] {
    let scale = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    BRIGHTNESS.map(|step| u16::try_from(((u32::from(step) * scale + 50) / 100).clamp(1, 255)).unwrap())
}

/// Samplings of brightness and of colour; one component is grey.
pub(crate) const SAMPLINGS: [&[(usize, usize)]; 12] = [
    &[(1, 1), (1, 1), (1, 1)],
    &[(2, 1), (1, 1), (1, 1)],
    &[(2, 2), (1, 1), (1, 1)],
    &[(1, 2), (1, 1), (1, 1)],
    &[(4, 1), (1, 1), (1, 1)],
    &[(1, 4), (1, 1), (1, 1)],
    &[(2, 2), (2, 1), (2, 1)],
    &[(2, 2), (1, 2), (1, 2)],
    &[(4, 2), (1, 1), (1, 1)],
    &[(2, 1), (2, 1), (2, 1)],
    &[(1, 1)],
    &[(2, 2)],
];

/// A picture: waves and noise, in frequencies.
pub(crate) fn coded(
    width: usize,
    height: usize,
    sampling: &[(usize, usize)],
    quality: u32,
    seed: u64,
) -> Coded {
    let most = sampling[0];
    let mcus = (width.div_ceil(8 * most.0), height.div_ceil(8 * most.1));
    let mut random = seed | 1;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 40) as f64 / f64::from(1 << 24) - 0.5
    };
    let components = (1..).zip(sampling).map(|(id, &(h, v))| {
        let padded = (mcus.0 * h, mcus.1 * v);
        let quantisers = quantisers(quality);
        let order = zigzag();
        let coefficients = (0..padded.0 * padded.1).map(|_| {
            // Some blocks are flat, some are busy.
            let busy = (next() + 0.5).powi(3);
            std::array::from_fn(|k| {
                let amplitude = if k == 0 { 1200.0 } else { busy * 900.0 / (k as f64 + 1.0) };
                (next() * amplitude / f64::from(quantisers[order[k]])).round() as i16
            })
        });
        let blocks = ((width * h).div_ceil(8 * most.0), (height * v).div_ceil(8 * most.1));
        Component { id, h, v, quantisers, padded, blocks, coefficients: coefficients.collect() }
    });
    Coded { width, height, components: components.collect() }
}

pub(crate) fn scan(components: &[usize], from: usize, to: usize, high: u8, low: u8) -> Scan {
    Scan { components: components.to_vec(), from, to, high, low }
}

/// One scan of everything.
pub(crate) fn sequential(coded: &Coded) -> Layout {
    let all: Vec<_> = (0..coded.components.len()).collect();
    Layout {
        is_progressive: false,
        scans: vec![scan(&all, 0, 63, 0, 0)],
        restarts: vec![0],
        lengths: Lengths::Skewed,
        extra: Vec::new(),
    }
}

/// Names of orders of scans.
pub(crate) const SCRIPTS: usize = 6;

/// An order of scans: 0 is sequential, 1 sequential with a scan for each component, the others are progressive.
pub(crate) fn layout(coded: &Coded, script: usize, restarts: Vec<u16>, lengths: Lengths) -> Layout {
    let count = coded.components.len();
    let all: Vec<_> = (0..count).collect();
    let each = |from, to, high, low| all.iter().map(move |one| scan(&[*one], from, to, high, low));
    let (is_progressive, scans) = match script {
        0 => (false, vec![scan(&all, 0, 63, 0, 0)]),
        1 => (false, each(0, 63, 0, 0).collect()),
        // No refinement.
        2 => (
            true,
            [scan(&all, 0, 0, 0, 0)].into_iter().chain(each(1, 5, 0, 0)).chain(each(6, 63, 0, 0)).collect(),
        ),
        // As libjpeg does.
        3 => {
            let mut scans = vec![scan(&all, 0, 0, 0, 1)];
            scans.extend(each(1, 5, 0, 2));
            scans.extend(each(6, 63, 0, 2));
            scans.extend(each(1, 63, 2, 1));
            scans.push(scan(&all, 0, 0, 1, 0));
            scans.extend(each(1, 63, 1, 0));
            (true, scans)
        }
        // Many bits, bands that split later, DC by component.
        4 => {
            let mut scans: Vec<_> = each(0, 0, 0, 3).chain(each(1, 63, 0, 3)).collect();
            for low in (0..3).rev() {
                scans.extend(each(1, 2, low + 1, low));
                scans.extend(each(0, 0, low + 1, low));
                scans.extend(each(3, 20, low + 1, low));
                scans.extend(each(21, 63, low + 1, low));
            }
            (true, scans)
        }
        // Bands of different precision.
        _ => {
            let mut scans: Vec<_> = vec![scan(&all, 0, 0, 0, 0)];
            scans.extend(each(1, 8, 0, 0));
            scans.extend(each(9, 30, 0, 1));
            scans.extend(each(31, 63, 0, 2));
            scans.extend(each(31, 63, 2, 1));
            scans.extend(each(9, 63, 1, 0));
            (true, scans)
        }
    };
    Layout { is_progressive, scans, restarts, lengths, extra: Vec::new() }
}

/// Any picture, and how to write it.
pub(crate) fn any_picture() -> impl Strategy<Value = (Coded, Layout)> {
    let sides = (1_usize..130, 1_usize..90);
    let restarts =
        prop::collection::vec(prop_oneof![2 => Just(0_u16), 2 => 1_u16..12, 1 => 40_u16..90], 1..4);
    let lengths = prop_oneof![Just(Lengths::Flat), Just(Lengths::Skewed)];
    (sides, 0..SAMPLINGS.len(), 20_u32..=100, any::<u64>(), 0..SCRIPTS, restarts, lengths).prop_map(
        |((width, height), sampling, quality, seed, script, restarts, lengths)| {
            let coded = coded(width, height, SAMPLINGS[sampling], quality, seed);
            let layout = layout(&coded, script, restarts, lengths);
            (coded, layout)
        },
    )
}
