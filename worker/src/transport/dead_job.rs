//! Dead letters as an operator sees them.

use std::fmt::Write;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::DeathReason;
use crate::contract::{id::UploadId, record::Lane};

/// Dead letters that are read at once, oldest first. An operator who has more drops or replays these first.
pub const MAX_LISTED: usize = 1000;

/// Bytes of a message's digest that name it where its upload cannot be told.
const DIGEST_BYTES: usize = 6;

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadJob {
    /// Names it: the upload's id, or where that cannot be told `x` and a digest of the message.
    pub key: String,
    /// Whose job it was.
    pub id: Option<UploadId>,
    /// Why it is dead.
    pub reason: DeathReason,
    /// How many times it had failed.
    pub failures: u32,
    /// The lane that it came by.
    pub lane: Lane,
    /// When it was posted, where that is known.
    pub posted_at: Option<Timestamp>,
    /// The message as it was.
    pub body: Vec<u8>,
}

/// What names a dead letter.
#[must_use]
pub(super) fn key(id: Option<UploadId>, body: &[u8]) -> String {
    if let Some(id) = id {
        return id.to_string();
    }
    let mut key = "x".to_owned();
    for byte in &Sha256::digest(body)[..DIGEST_BYTES] {
        write!(key, "{byte:02x}").expect("a string can be written to");
    }
    key
}
