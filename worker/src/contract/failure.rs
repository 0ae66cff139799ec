//! The stored form of a failed upload, and the reason that clients receive.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::UploadRecord;

/// Why an upload failed: the RFC 9457 members that travel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// A path under `/problems/` that names the kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// The reason in plain words, for people.
    pub title: String,
}

/// `failure.<gen>.json`: one generation failed. Created once per generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadFailure {
    /// The record of the generation that failed.
    pub record: UploadRecord,
    /// When the failure was stored.
    pub ended_at: Timestamp,
    /// The reason.
    pub problem: Failure,
}
