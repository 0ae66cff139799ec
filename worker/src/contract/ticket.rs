//! What a ticket allows, one use of it, and the share that an upload has in the stored bytes of its sender.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::id::UploadId;

/// The id of a ticket: 64 random bits, written as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TicketId(pub u64);

impl TicketId {
    /// The id under which the bytes of a sender are counted: the first 64 bits of the SHA-256 of its name.
    #[must_use]
    pub fn of_sender(name: &str) -> Self {
        let digest = Sha256::digest(name);
        let (first, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
        Self(u64::from_be_bytes(*first))
    }
}

/// The text is not an id of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 16 hexadecimal digits")]
pub struct NotATicketId;

impl fmt::Display for TicketId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl FromStr for TicketId {
    type Err = NotATicketId;

    fn from_str(text: &str) -> Result<Self, NotATicketId> {
        let id = Self(u64::from_str_radix(text, 16).map_err(|_| NotATicketId)?);
        if id.to_string() == text { Ok(id) } else { Err(NotATicketId) }
    }
}

/// The limits of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TicketLimits {
    /// The ticket.
    pub id: TicketId,
    /// When it ends.
    pub until: Timestamp,
    /// Uploads in all.
    pub files: u32,
    /// Bytes of all originals together.
    pub bytes: u64,
}

/// `tickets/<hour>/<id>/<n>`: the n-th upload of a ticket. Created once, so that of two uploads that race for the n-th
/// use one gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TicketUse {
    /// The upload.
    pub(crate) id: UploadId,
    /// Bytes of all uploads so far, this one included.
    pub(crate) total: u64,
}

/// `stored/<sender>/<upload>.<bytes>`: an upload counts against the stored bytes of its sender. Its name says everything,
/// so that one listing gives the sum. Created before the commit of the upload, and removed with the upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredShare {
    /// The sender.
    pub sender: TicketId,
    /// The upload.
    pub id: UploadId,
    /// Bytes of its original.
    pub bytes: u64,
}
