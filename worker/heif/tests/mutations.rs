//! Damaged files: no panic, in bounded time.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use thumbnail_heif::{decode, describe};

/// Mutations of each run, on all processors. `UP_TEST_MUTATIONS=100000` makes more.
const MUTATIONS: u64 = 10_000;

/// The time for one file, many times what a whole one takes.
const MOST: Duration = Duration::from_secs(5);

const SAMPLES: [&[u8]; 12] = [
    include_bytes!("samples/plain.heic"),
    include_bytes!("samples/alpha.heic"),
    include_bytes!("samples/c444.heic"),
    include_bytes!("samples/with-thumb.heic"),
    include_bytes!("samples/plain.avif"),
    include_bytes!("samples/grid2x2.avif"),
    include_bytes!("samples/irot1.avif"),
    include_bytes!("samples/pq10.avif"),
    include_bytes!("samples/imir0.avif"),
    include_bytes!("samples/exif6-no-irot.heic"),
    include_bytes!("samples/half.heic"),
    include_bytes!("samples/cut60.heic"),
];

/// A sample that was cut, whose bits were flipped, or in which numbers were replaced.
fn mutated(random: &mut StdRng) -> Vec<u8> {
    let mut file = SAMPLES[random.random_range(0..SAMPLES.len())].to_vec();
    for _ in 0..random.random_range(1..3) {
        let at = random.random_range(0..file.len());
        match random.random_range(0..10) {
            0 => file.truncate(at.max(1)),
            1..=4 => file[at] ^= 1 << random.random_range(0..8),
            5..=7 => file[at] = random.random(),
            _ => {
                let end = (at + 4).min(file.len());
                file[at..end].fill(if random.random() { 0 } else { u8::MAX });
            }
        }
    }
    file
}

/// The bodies of `ftyp` and of `meta`, as far as they are there.
fn parts(mut file: &[u8]) -> [&[u8]; 2] {
    let mut found = [&[][..]; 2];
    while let Some((header, rest)) = file.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let (body, rest) = rest.split_at(length.saturating_sub(8).min(rest.len()));
        match &header[4..] {
            b"ftyp" => found[0] = body,
            b"meta" => found[1] = body,
            _ => {}
        }
        file = rest;
    }
    found
}

#[test]
fn no_damage_makes_a_decoder_panic_or_stand_still() {
    let count =
        std::env::var("UP_TEST_MUTATIONS").ok().map_or(MUTATIONS, |count| count.parse().expect("a number"));
    let (next, decoded, described) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let run = || {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= count {
                break;
            }
            let file = mutated(&mut StdRng::seed_from_u64(seed));
            let begun = Instant::now();
            let [file_type, meta] = parts(&file);
            described.fetch_add(describe(file_type, meta).is_ok().into(), Relaxed);
            decoded.fetch_add(decode(&file, (160, 120), 1_000_000).is_ok().into(), Relaxed);
            assert!(begun.elapsed() < MOST, "seed {seed} took {:?}", begun.elapsed());
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(run);
        }
    });
    let (decoded, described) = (decoded.into_inner(), described.into_inner());
    println!("{described} of {count} were described, {decoded} decoded");
    assert!(decoded > count / 20, "only {decoded} of {count} were decoded: the mutations are too coarse");
}
