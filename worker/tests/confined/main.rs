//! Confined processes: what they cannot do, what happens to those that break, and what bombs come to.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod bombs;
mod hostile;
mod layers;
mod making;
mod support;
