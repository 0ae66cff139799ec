//! The record of an accepted upload.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};

use super::{format::Format, id::UploadId};

/// The version of stored JSON and of messages that this build writes, and the newest that it reads.
pub(crate) const VERSION: u32 = 2;

/// The queue that a job waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Display, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Lane {
    /// A client waits for the thumbnails.
    #[default]
    Interactive,
    /// Part of a large run. It delays an interactive job by one picture at most.
    Bulk,
}

impl Lane {
    /// Both lanes.
    pub const ALL: [Self; 2] = [Self::Interactive, Self::Bulk];

    /// The name in answers and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The record of one generation of an upload. It lies in `pending/` until the generation ends, travels in the job, and
/// is copied into the result or failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UploadRecord {
    /// The upload. Repeated in each object, so that an object under another upload's key is recognised.
    pub id: UploadId,
    /// The generation, from 1; a retry or a replay adds one.
    #[serde(rename = "gen")]
    pub generation: u32,
    /// The file name that the client gave.
    pub name: String,
    /// Size of the original in bytes.
    pub bytes: u64,
    /// The format, detected from the bytes.
    pub format: Format,
    /// Displayed width in pixels, from the header.
    pub width: u32,
    /// Displayed height in pixels, from the header.
    pub height: u32,
    /// The number of frames or pages, if the header contains it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<u32>,
    /// When the upload was accepted.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: Timestamp,
    /// When the upload is deleted by itself; never without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub expires_at: Option<Timestamp>,
    /// W3C trace context of the request, so that a job posted again belongs to the same trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Who sent it: `key:alice`, `user:carol` or `ticket:0123456789abcdef (wedding)`. Clients do not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Whether the job goes by the bulk lane.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bulk: bool,
}

impl UploadRecord {
    /// The lane that the job goes by.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        if self.bulk { Lane::Bulk } else { Lane::Interactive }
    }

    /// The record of the next generation.
    #[must_use]
    pub(crate) fn next_generation(self) -> Self {
        Self { generation: self.generation.saturating_add(1), ..self }
    }

    /// Names the job of this record.
    #[must_use]
    pub const fn job(&self) -> JobName {
        JobName { id: self.id, generation: self.generation }
    }
}

/// Names one job: the upload and the generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobName {
    /// The upload.
    pub id: UploadId,
    /// The generation, from 1.
    pub generation: u32,
}

/// Reads a list without the entries that this build does not know: sizes or encodings of a newer build.
pub(super) fn known_entries<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::de::DeserializeOwned,
{
    let entries = Vec::<serde_json::Value>::deserialize(deserializer)?;
    Ok(entries.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect())
}
