//! The sandbox of decoders: its layers, crashed and compromised decoders, and decompression bombs.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod bombs;
mod hostile;
mod layers;
mod making;
mod support;
