//! The stored forms of a deleted upload and of one that is to be deleted.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    id::UploadId,
    ticket::{StoredShare, TicketId},
};

/// `gone/<id>`: an upload was deleted. It is created before anything else of the upload is removed, and kept for a day.
/// Its presence counts, so an unreadable one counts as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The upload.
    pub id: UploadId,
    /// The generation of the upload when it was deleted.
    #[serde(rename = "gen")]
    pub generation: u32,
    /// When it was deleted.
    pub gone_at: Timestamp,
    /// When it would have expired: names its entry of the expiry index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The name of its sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Bytes of its original: with `sender` they name its entry among the stored bytes of the sender.
    #[serde(default)]
    pub bytes: u64,
}

impl Tombstone {
    /// The tombstone of an upload whose record is not known.
    #[must_use]
    pub const fn without_record(id: UploadId, gone_at: Timestamp) -> Self {
        Self { id, generation: 1, gone_at, expires_at: None, sender: None, bytes: 0 }
    }

    /// The share of the upload in the stored bytes of its sender, if it has one.
    #[must_use]
    pub fn share(&self) -> Option<StoredShare> {
        let sender = TicketId::of_sender(self.sender.as_deref()?);
        Some(StoredShare { sender, id: self.id, bytes: self.bytes })
    }
}

/// `expiry/<hour>/<id>`: an upload is deleted by itself. Created before the commit of the upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpiryEntry {
    /// The upload.
    pub id: UploadId,
    /// When it is deleted.
    pub expires_at: Timestamp,
}
