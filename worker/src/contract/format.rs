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
    /// A HEIF file whose primary picture is coded as HEVC, or as several of them.
    Heic,
    /// A HEIF file whose primary picture is coded as AV1, or as several of them.
    Avif,
    /// A format that a newer build accepted and this one does not know. Never accepted here.
    Unknown,
}

impl Format {
    /// Every format that may be accepted.
    pub const ALL: [Format; 8] = [
        Format::Jpeg,
        Format::Png,
        Format::Gif,
        Format::WebP,
        Format::Bmp,
        Format::Tiff,
        Format::Heic,
        Format::Avif,
    ];

    /// Whether this build can decode the format.
    #[must_use]
    pub const fn is_built_in(self) -> bool {
        let is_left_out = matches!(self, Format::Heic) && !cfg!(feature = "heic")
            || matches!(self, Format::Avif) && !cfg!(feature = "avif");
        !is_left_out && !matches!(self, Format::Unknown)
    }

    /// The kind of file, as text for people: "a JPEG picture".
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Format::Jpeg => "a JPEG picture",
            Format::Png => "a PNG picture",
            Format::Gif => "a GIF picture",
            Format::WebP => "a WebP picture",
            Format::Bmp => "a BMP picture",
            Format::Tiff => "a TIFF picture",
            Format::Heic => "a HEIC picture",
            Format::Avif => "an AVIF picture",
            Format::Unknown => "a file of an unknown format",
        }
    }

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
            Format::Heic => "image/heic",
            Format::Avif => "image/avif",
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
            Format::Heic => "HEIC",
            Format::Avif => "AVIF",
            Format::Unknown => "unknown format",
        })
    }
}
