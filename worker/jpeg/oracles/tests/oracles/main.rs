//! The planes beside those of libjpeg-turbo, and beside the plainest transform of known coefficients.

#![expect(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "made-up pictures have small numbers, and a failure fails the test"
)]

mod pictures;
mod planes;
mod real_encoder;
mod refusals;
