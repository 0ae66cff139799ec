//! The stored forms of a deleted upload and of one that is to be deleted.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::UploadId;

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
}

/// `expiry/<hour>/<id>`: an upload is deleted by itself. Created before the commit of the upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpiryEntry {
    /// The upload.
    pub id: UploadId,
    /// When it is deleted.
    pub expires_at: Timestamp,
}
