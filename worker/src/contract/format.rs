//! The accepted picture formats: an allow-list.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use strum::{EnumString, IntoStaticStr};

/// A format of originals, known from the bytes and never from a name or a declared type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema, EnumString, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Format {
    /// JFIF or EXIF, baseline or progressive.
    Jpeg,
    /// With or without transparency.
    Png,
    /// The first frame counts.
    Gif,
    /// Lossy, lossless or animated.
    WebP,
    /// Windows bitmap.
    Bmp,
    /// The first page counts.
    Tiff,
    /// A format that a newer build accepted and this one does not know. Never accepted here.
    Unknown,
}

impl Format {
    /// Every accepted format.
    pub const ALL: [Format; 6] =
        [Format::Jpeg, Format::Png, Format::Gif, Format::WebP, Format::Bmp, Format::Tiff];

    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The media type that an original of this format is served with.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Jpeg => "image/jpeg",
            Format::Png => "image/png",
            Format::Gif => "image/gif",
            Format::WebP => "image/webp",
            Format::Bmp => "image/bmp",
            Format::Tiff => "image/tiff",
            Format::Unknown => "application/octet-stream",
        }
    }
}

/// An unknown name reads as [`Format::Unknown`]: during an upgrade, two builds share one storage.
impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(name.parse().unwrap_or(Self::Unknown))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::WebP => "WebP",
            Format::Jpeg => "JPEG",
            Format::Png => "PNG",
            Format::Gif => "GIF",
            Format::Bmp => "BMP",
            Format::Tiff => "TIFF",
            Format::Unknown => "unknown format",
        })
    }
}
