//! The encodings of thumbnails.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The encoding of a thumbnail, written as its media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Encoding {
    /// For opaque pictures.
    #[serde(rename = "image/jpeg")]
    Jpeg,
    /// For pictures with transparency, and for drawings.
    #[serde(rename = "image/png")]
    Png,
    /// For clients that ask for it, beside one of the others.
    #[serde(rename = "image/webp")]
    WebP,
}

impl Encoding {
    /// The media type that a thumbnail is served with.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Encoding::Jpeg => "image/jpeg",
            Encoding::Png => "image/png",
            Encoding::WebP => "image/webp",
        }
    }

    /// The extension of a thumbnail's file in storage.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Encoding::Jpeg => "jpg",
            Encoding::Png => "png",
            Encoding::WebP => "webp",
        }
    }

    /// Every encoding.
    pub const ALL: [Encoding; 3] = [Encoding::Jpeg, Encoding::Png, Encoding::WebP];

    /// The encoding with this extension.
    #[must_use]
    pub fn of_extension(extension: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| encoding.extension() == extension)
    }
}
