//! Messages are untrusted input: anybody with access to the queue can write them. No bytes may make a reader panic, and
//! a decoded message must survive encoding and decoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use worker::{Changed, ResizeJob};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(job) = ResizeJob::decode(bytes) {
        let again = ResizeJob::decode(&job.encode());
        assert!(again.is_ok_and(|again| again == job));
    }
    if let Ok(changed) = Changed::decode(bytes) {
        let again = Changed::decode(&changed.encode());
        assert!(again.is_ok_and(|again| again == changed));
    }
});
