//! Helpers of the tests: servers as real processes, pictures, sockets, and waiting for conditions.
//!
//! ```text
//! tests/transport.rs   the claims of the transport port, held to every adapter
//! tests/processes.rs   the guarantees, with real processes and real signals
//! tests/tidy.rs        what a compiler cannot see about the source
//! ```

pub mod brown_out;
pub mod clock;
pub mod descendants;
pub mod fleet;
pub mod patience;
pub mod pictures;
pub mod proxy;
pub mod rabbit;
pub mod raw;
pub mod rivals;
pub mod s3;
pub mod server;
pub mod socket;
pub mod worker;
