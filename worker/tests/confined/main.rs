//! The sandbox of decoders: its layers, crashed and compromised decoders, and decompression bombs.

#![expect(clippy::unwrap_used, reason = "an unwrap fails the test")]

mod bombs;
mod hostile;
mod layers;
mod making;
mod support;
