//! Forms and file names: no bytes may make the server panic, every stored name can be sent as a header, and the result
//! does not depend on the pieces in which a form is received.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// The boundary of the seeds.
const BOUNDARY: &str = "up";

fuzz_target!(|bytes: &[u8]| {
    let Some((piece, body)) = bytes.split_first() else { return };
    server::fuzzing::form(BOUNDARY, body, usize::from(*piece));
});
