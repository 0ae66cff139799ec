//! Forms and their file names: no bytes may make the server panic, every stored name fits in a header, and the result
//! does not depend on the pieces in which the form arrives.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// The boundary of the seeds.
const BOUNDARY: &str = "up";

fuzz_target!(|bytes: &[u8]| {
    let Some((piece, body)) = bytes.split_first() else { return };
    server::fuzzing::form(BOUNDARY, body, usize::from(*piece));
});
