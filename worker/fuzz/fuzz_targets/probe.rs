//! The web server probes untrusted input: no bytes may make it panic, hang or allocate without bound.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use worker::{
    Format,
    probe::{self, Sniff},
};

fuzz_target!(|bytes: &[u8]| {
    let formats = match probe::sniff(bytes) {
        Sniff::Format(format) => vec![format],
        _ => Format::ALL.to_vec(),
    };
    for format in formats {
        if let Ok(header) = probe::probe(Cursor::new(bytes), format) {
            assert!(header.width > 0 && header.height > 0);
            assert!(header.pixels >= u64::from(header.width) * u64::from(header.height));
        }
    }
});
