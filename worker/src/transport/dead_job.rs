//! Dead letters, as operators list them.

use std::fmt::Write;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::DeathReason;
use crate::contract::{id::UploadId, record::Lane};

/// The most dead letters that are listed at once, oldest first. The rest is listed after these are dropped or replayed.
pub const MAX_LISTED: usize = 1000;

/// Bytes of the digest that is the key of a message without an upload id.
const DIGEST_BYTES: usize = 6;

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadJob {
    /// The key of the dead letter: the id of its upload, or `x` and a digest of the message if it has none.
    pub key: String,
    /// The upload of the job, if it is known.
    pub id: Option<UploadId>,
    /// Why it is dead.
    pub reason: DeathReason,
    /// The number of failures.
    pub failures: u32,
    /// The lane of the job.
    pub lane: Lane,
    /// When the job was posted, if that is known.
    pub posted_at: Option<Timestamp>,
    /// The body of the message.
    pub body: Vec<u8>,
}

/// The key of a dead letter.
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
