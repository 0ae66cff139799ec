//! Damaged files: no panic, in bounded time.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng};
use thumbnail_heif::decode;

/// Mutations of each run. `UP_TEST_MUTATIONS=10000` makes more.
const MUTATIONS: u64 = 1_000;

/// The time for one file, many times what a whole one takes.
const MOST: Duration = Duration::from_secs(5);

const SAMPLES: [&[u8]; 8] = [
    include_bytes!("samples/plain.heic"),
    include_bytes!("samples/alpha.heic"),
    include_bytes!("samples/c444.heic"),
    include_bytes!("samples/with-thumb.heic"),
    include_bytes!("samples/plain.avif"),
    include_bytes!("samples/grid2x2.avif"),
    include_bytes!("samples/irot1.avif"),
    include_bytes!("samples/pq10.avif"),
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

#[test]
fn no_damage_makes_a_decoder_panic_or_stand_still() {
    let count =
        std::env::var("UP_TEST_MUTATIONS").ok().map_or(MUTATIONS, |count| count.parse().expect("a number"));
    let mut decoded = 0;
    for seed in 0..count {
        let file = mutated(&mut StdRng::seed_from_u64(seed));
        let begun = Instant::now();
        decoded += u64::from(decode(&file, (160, 120), 1_000_000).is_ok());
        assert!(begun.elapsed() < MOST, "seed {seed} took {:?}", begun.elapsed());
    }
    assert!(decoded > count / 20, "only {decoded} of {count} were decoded: the mutations are too coarse");
}
