//! The sandbox of decoders: its layers, crashed and compromised decoders, and decompression bombs.

#![expect(clippy::unwrap_used, reason = "an unwrap fails the test")]

mod bombs;
#[cfg(feature = "failpoints")]
mod drill;
mod hostile;
mod making;
mod support;
