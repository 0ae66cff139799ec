//! What is stored of an upload beside its bytes: `upload.json`, written by the server, and `outcome.json`, written
//! last by the worker.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Encoding, Format, LinkBase, Size, UploadId,
    upload::{Failure, ThumbnailLink},
};

/// `upload.json`: what the server knew when it accepted the upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRecord {
    /// The id, again, so that a copied directory betrays itself.
    pub id: UploadId,
    /// How many times the upload has been sent round, from 1.
    #[serde(rename = "gen")]
    pub generation: u32,
    /// The name that the client gave.
    pub name: String,
    /// Size of the original in bytes.
    pub bytes: u64,
    /// Sniffed from the bytes.
    pub format: Format,
    /// Displayed width in pixels, from the header.
    pub width: u32,
    /// Displayed height in pixels, from the header.
    pub height: u32,
    /// Frames or pages, where the header tells cheaply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<u32>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// W3C trace context of the request, so that a job posted anew belongs to the same trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Whether it goes by the bulk lane.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bulk: bool,
}

/// `outcome.json`: how one generation ended. Written whole, after everything that it speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which generation ended; an outcome of an older one counts as none.
    #[serde(rename = "gen")]
    pub generation: u32,
    /// When.
    pub ended_at: Timestamp,
    /// How.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// How a generation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Verdict {
    /// Three thumbnails are stored.
    Ready {
        /// What they are, smallest first.
        thumbnails: Vec<ThumbnailFact>,
        /// A blurred impression, base64.
        thumbhash: String,
    },
    /// There will be none.
    Failed {
        /// Why.
        problem: Failure,
    },
}

/// What is known of a stored thumbnail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThumbnailFact {
    /// Which of the three.
    pub size: Size,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// What it is encoded as.
    pub content_type: Encoding,
    /// Size in bytes.
    pub bytes: u64,
    /// A digest of the bytes: the strong ETag, quotes not included.
    pub etag: String,
}

impl ThumbnailFact {
    pub(crate) fn link(&self, id: UploadId, base: &LinkBase) -> ThumbnailLink {
        ThumbnailLink {
            size: self.size,
            width: self.width,
            height: self.height,
            content_type: self.content_type,
            bytes: self.bytes,
            url: base.thumbnail(id, self.size),
        }
    }
}

/// The present, to the millisecond: what is finer is noise in an answer.
#[must_use]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

impl Outcome {
    /// What this outcome says of one thumbnail; nothing of a failed upload.
    #[must_use]
    pub fn thumbnail(&self, size: Size) -> Option<&ThumbnailFact> {
        match &self.verdict {
            Verdict::Ready { thumbnails, .. } => thumbnails.iter().find(|fact| fact.size == size),
            Verdict::Failed { .. } => None,
        }
    }
}
