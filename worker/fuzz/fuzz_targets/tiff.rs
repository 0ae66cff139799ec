//! TIFF, which is the only format that is read by code of the project's own: no panic, no memory beyond the bounds.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use worker::{Format, Sizes, WebpSizes, config::PixelConfig, confinement::ConfinementMode, measure::Stages};

/// Small, so that an input costs milliseconds.
const MAX_PIXELS: u64 = 1_000_000;

fuzz_target!(|bytes: &[u8]| {
    let pixels = PixelConfig {
        max_pixels: MAX_PIXELS,
        job_timeout: Duration::from_secs(1),
        job_memory_bytes: 0,
        confinement: ConfinementMode::Off,
        sizes: "small=8,medium=24,large=64".parse().unwrap_or_else(|_| Sizes::default()),
        webp: WebpSizes::NONE,
    };
    if let Ok(made) = Stages::default().make(bytes, Format::Tiff, &pixels, |_| {}) {
        for thumbnail in made.thumbnails {
            assert!(thumbnail.width > 0 && thumbnail.height > 0 && !thumbnail.bytes.is_empty());
            assert!(thumbnail.width <= 64 && thumbnail.height <= 64);
        }
    }
});
