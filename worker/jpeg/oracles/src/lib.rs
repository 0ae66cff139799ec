//! Oracles for `thumbnail-jpeg`: an encoder of known coefficients, the plainest transform, and libjpeg-turbo.

#![expect(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "only tests use it, and a file that cannot be written fails the test"
)]

pub mod encoder;
pub mod reference;
mod writer;
