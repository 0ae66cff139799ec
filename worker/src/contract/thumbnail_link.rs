//! The thumbnails of an upload as clients see them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    encoding::Encoding, id::UploadId, link::LinkBase, record::known_entries, result::ThumbnailFact,
    size::Size,
};

/// One thumbnail and its link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ThumbnailLink {
    /// One of the three sizes.
    pub size: Size,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// Its media type.
    pub content_type: Encoding,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its path or URL. A client that accepts WebP gets WebP from it, if there is one.
    pub url: String,
    /// The same thumbnail in other encodings.
    #[serde(default, deserialize_with = "known_entries", skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<AlternativeLink>,
}

/// A thumbnail in another encoding, and its link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlternativeLink {
    /// Its media type.
    pub content_type: Encoding,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its path or URL, which serves this encoding alone.
    pub url: String,
}

impl ThumbnailLink {
    /// The link of a stored thumbnail.
    pub(super) fn of(fact: &ThumbnailFact, id: UploadId, base: &LinkBase) -> Self {
        let alternatives = fact.alternatives.iter().map(|other| AlternativeLink {
            content_type: other.content_type,
            bytes: other.bytes,
            url: String::new(),
        });
        let mut link = Self {
            size: fact.size,
            width: fact.width,
            height: fact.height,
            content_type: fact.content_type,
            bytes: fact.bytes,
            url: String::new(),
            alternatives: alternatives.collect(),
        };
        link.relink(id, base);
        link
    }

    /// Replaces its URLs by those of another base.
    pub(super) fn relink(&mut self, id: UploadId, base: &LinkBase) {
        self.url = base.thumbnail(id, self.size);
        for other in &mut self.alternatives {
            other.url = format!("{}.{}", self.url, other.content_type.extension());
        }
    }
}
