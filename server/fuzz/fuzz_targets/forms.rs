//! Forms and the names of their files: no bytes may make the server panic, every name it keeps can be sent as a
//! header, and what a form says does not depend on the pieces in which it comes.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// As the seeds have it.
const BOUNDARY: &str = "up";

fuzz_target!(|bytes: &[u8]| {
    let Some((piece, body)) = bytes.split_first() else { return };
    server::fuzzing::form(BOUNDARY, body, usize::from(*piece));
});
