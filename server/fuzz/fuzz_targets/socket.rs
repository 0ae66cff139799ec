//! Messages of a socket: no text may make the server panic, and every id has one spelling only.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| server::fuzzing::socket(text));
