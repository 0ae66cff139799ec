//! The whole path from bytes to three thumbnails. Panics of decoders are caught in production; this target looks for
//! memory errors and invalid thumbnails.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use worker::{
    Sizes, WebpSizes,
    config::PixelConfig,
    confinement::ConfinementMode,
    measure::Stages,
    probe::{self, Sniff},
};

/// Small, so that an input costs milliseconds.
const MAX_PIXELS: u64 = 1_000_000;

fuzz_target!(|bytes: &[u8]| {
    let Sniff::Format(format) = probe::sniff(bytes) else { return };
    let pixels = PixelConfig {
        max_pixels: MAX_PIXELS,
        job_timeout: Duration::from_secs(1),
        job_memory_bytes: 0,
        confinement: ConfinementMode::Off,
        sizes: "small=8,medium=24,large=64".parse().unwrap_or_else(|_| Sizes::default()),
        webp: WebpSizes::default(),
    };
    if let Ok(made) = Stages::default().make(bytes, format, &pixels, |_| {}) {
        for thumbnail in made.thumbnails {
            assert!(thumbnail.width > 0 && thumbnail.height > 0 && !thumbnail.bytes.is_empty());
            assert!(thumbnail.width <= 64 && thumbnail.height <= 64);
        }
    }
});
