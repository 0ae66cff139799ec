//! The stored form of a ready upload: its thumbnails and their making.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    encoding::Encoding,
    record::{UploadRecord, known_entries},
    size::Size,
    warning::Warning,
};

/// One making of three thumbnails: a random token that is a path segment in storage. Two workers that make the same
/// upload write under different tokens, so neither touches the other's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Making(u64);

/// The text is not a making token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a making token (16 lower-case hexadecimal digits)")]
pub struct NotAMaking;

impl Making {
    /// Hexadecimal digits of the text form.
    const DIGITS: usize = 16;

    /// A token from 64 random bits.
    #[must_use]
    pub const fn new(random: u64) -> Self {
        Self(random)
    }
}

impl fmt::Display for Making {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Making {
    type Err = NotAMaking;

    fn from_str(text: &str) -> Result<Self, NotAMaking> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != Self::DIGITS || !text.bytes().all(is_digit) {
            return Err(NotAMaking);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| NotAMaking)
    }
}

impl Serialize for Making {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Making {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// `result.json`: three thumbnails are stored. Created once, after all files that it names; the first worker to create
/// it wins. Only its generation may grow afterwards, see [`UploadResult::raised_to`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadResult {
    /// The record of the generation that became ready.
    pub record: UploadRecord,
    /// The making that won: its token is part of every thumbnail's key.
    pub making: Making,
    /// When the result was stored.
    pub ended_at: Timestamp,
    /// The thumbnails, smallest first.
    #[serde(deserialize_with = "known_entries")]
    pub thumbnails: Vec<ThumbnailFact>,
    /// A blurred impression of the picture, base64.
    pub thumbhash: String,
    /// The shortcomings of the thumbnails; empty as a rule.
    #[serde(default, deserialize_with = "known_entries", skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

impl UploadResult {
    /// The facts of one thumbnail.
    #[must_use]
    pub fn thumbnail(&self, size: Size) -> Option<&ThumbnailFact> {
        self.thumbnails.iter().find(|fact| fact.size == size)
    }

    /// The same result for a later generation. A paused worker can store the result of generation 1 after clients saw
    /// generation 2 queued. They accept only a report of generation 2 or later.
    #[must_use]
    pub(crate) fn raised_to(mut self, generation: u32) -> Self {
        self.record.generation = self.record.generation.max(generation);
        self
    }
}

/// The facts of a stored thumbnail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThumbnailFact {
    /// One of the three sizes.
    pub size: Size,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The encoding, which also gives the file its extension.
    pub content_type: Encoding,
    /// Size in bytes.
    pub bytes: u64,
    /// A digest of the bytes: the strong ETag without its quotes.
    pub etag: String,
    /// The same thumbnail in other encodings.
    #[serde(default, deserialize_with = "known_entries", skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<AlternativeFact>,
}

/// The facts of a thumbnail in another encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlternativeFact {
    /// The encoding, which also gives the file its extension.
    pub content_type: Encoding,
    /// Size in bytes.
    pub bytes: u64,
    /// A digest of the bytes: the strong ETag without its quotes.
    pub etag: String,
}

impl ThumbnailFact {
    /// The ETag of the thumbnail in an encoding, without its quotes; `None` if there is none in it.
    #[must_use]
    pub fn etag_in(&self, encoding: Encoding) -> Option<&str> {
        if encoding == self.content_type {
            return Some(&self.etag);
        }
        let other = self.alternatives.iter().find(|other| other.content_type == encoding);
        other.map(|other| other.etag.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_making_has_one_text_form() {
        let making = Making::new(0xab);
        assert_eq!(making.to_string(), "00000000000000ab");
        assert_eq!(making.to_string().parse(), Ok(making));
        for text in ["", "ab", "00000000000000AB", "../../../../../x", "00000000000000ab0"] {
            assert_eq!(text.parse::<Making>(), Err(NotAMaking), "{text}");
        }
    }

    #[test]
    fn a_thumbnail_of_an_unknown_encoding_is_left_out() {
        let mut stored = serde_json::to_value(testing::result()).unwrap();
        stored["thumbnails"][0]["content_type"] = "image/jxl".into();
        let read: UploadResult = serde_json::from_value(stored).unwrap();
        assert_eq!(read.thumbnails.len(), 2);
        assert_eq!(read.thumbnail(Size::Small), None);
    }

    #[test]
    fn a_generation_only_grows() {
        assert_eq!(testing::result().raised_to(3).raised_to(2).record.generation, 3);
    }
}
