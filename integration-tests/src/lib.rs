//! Helpers of the tests: servers as real processes, pictures, sockets, and waiting for conditions.
//!
//! ```text
//! tests/transport.rs   the claims of the transport port, held to every adapter
//! tests/processes/     the guarantees, with real processes and real signals
//! tests/tidy/          rules about the sources and documents that a compiler cannot check
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
pub mod repository;
pub mod rivals;
pub mod s3;
pub mod server;
pub mod socket;
pub mod worker;
