//! Client messages on the socket: no text may make the server panic, and each id has exactly one spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| server::fuzzing::socket(text));
