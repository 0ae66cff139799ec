//! The links of an upload.

use std::{convert::Infallible, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{id::UploadId, size::Size};

/// The links of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Links {
    /// The upload itself.
    #[serde(rename = "self")]
    pub this: String,
    /// The bytes as received.
    pub original: String,
    /// Its messages as server-sent events.
    pub events: String,
}

/// The prefix of every link: empty (links are paths from the root), or the public URL of the service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkBase(String);

impl LinkBase {
    /// The path or URL of an upload.
    #[must_use]
    pub fn upload(&self, id: UploadId) -> String {
        format!("{}/uploads/{id}", self.0)
    }

    /// The path or URL of a thumbnail.
    #[must_use]
    pub fn thumbnail(&self, id: UploadId, size: Size) -> String {
        format!("{}/uploads/{id}/{size}", self.0)
    }

    /// All links of an upload.
    #[must_use]
    pub fn links(&self, id: UploadId) -> Links {
        let this = self.upload(id);
        Links { original: format!("{this}/original"), events: format!("{this}/events"), this }
    }

    /// Whether links are full URLs rather than paths from the root.
    #[must_use]
    pub fn is_absolute(&self) -> bool {
        !self.0.is_empty()
    }
}

impl FromStr for LinkBase {
    type Err = Infallible;

    /// Takes a URL with or without a slash at its end. The settings check that it is a URL.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}
