//! The encodings of thumbnails.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The encoding of a thumbnail, written as its media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Encoding {
    /// For opaque pictures.
    #[serde(rename = "image/jpeg")]
    Jpeg,
    /// For pictures with transparency.
    #[serde(rename = "image/png")]
    Png,
}

impl Encoding {
    /// The media type that a thumbnail is served with.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Encoding::Jpeg => "image/jpeg",
            Encoding::Png => "image/png",
        }
    }

    /// The extension of a thumbnail's file in storage.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Encoding::Jpeg => "jpg",
            Encoding::Png => "png",
        }
    }

    /// Every encoding.
    pub const ALL: [Encoding; 2] = [Encoding::Jpeg, Encoding::Png];
}
