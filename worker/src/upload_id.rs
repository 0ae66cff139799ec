//! The name of one upload, and the only right to see it.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::{Uuid, Variant};

/// A UUID v7, made by the server and by nobody else. Whoever knows it may see the upload, so ids are never listed.
///
/// Its one text form is lower case with hyphens; anything else does not parse, so that one upload has one path,
/// one storage key and one message id. Ids made later sort later, to the millisecond.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(Uuid);

/// The text is not an upload id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an upload id (a lower-case UUID of version 7)")]
pub struct NotAnUploadId;

impl UploadId {
    /// The length of the text form in bytes.
    pub const TEXT_LEN: usize = 36;

    /// A new id, later than every other that this process has made.
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The smallest id that could have been made at a time, given in milliseconds since 1970.
    #[must_use]
    pub fn floor_at(unix_ms: u64) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(unix_ms, &[0; 10]).into_uuid())
    }

    /// When the id was made, in milliseconds since 1970.
    #[must_use]
    pub fn unix_ms(self) -> u64 {
        self.0.get_timestamp().map_or(0, |at| {
            let (seconds, nanos) = at.to_unix();
            seconds.saturating_mul(1000) + u64::from(nanos / 1_000_000)
        })
    }
}

impl Default for UploadId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for UploadId {
    type Err = NotAnUploadId;

    fn from_str(text: &str) -> Result<Self, NotAnUploadId> {
        let uuid = Uuid::try_parse(text).map_err(|_| NotAnUploadId)?;
        let id = Self(uuid);
        let strict =
            uuid.get_version_num() == 7 && uuid.get_variant() == Variant::RFC4122 && id.to_string() == text;
        if strict { Ok(id) } else { Err(NotAnUploadId) }
    }
}

impl Serialize for UploadId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UploadId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for UploadId {
    fn schema_name() -> Cow<'static, str> {
        "UploadId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "uuid",
            "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
            "description": "A UUID of version 7, in lower case. Whoever knows it may see the upload.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_text_form_is_an_id() {
        let id = UploadId::new();
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in [
            "",
            "../../etc/passwd",
            "0199f3c2-7d7a-4c1e-9a55-3b0f6a2c9d10",
            "0199F3C2-7D7A-7C1E-9A55-3B0F6A2C9D10",
            "0199f3c27d7a7c1e9a553b0f6a2c9d10",
            "{0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10}",
            "urn:uuid:0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10",
            "0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10 ",
            "0199f3c2-7d7a-7c1e-ca55-3b0f6a2c9d10",
        ] {
            assert_eq!(text.parse::<UploadId>(), Err(NotAnUploadId), "{text}");
        }
    }

    #[test]
    fn an_id_knows_its_time_and_sorts_by_it() {
        let id = UploadId::new();
        assert!(UploadId::floor_at(id.unix_ms()) <= id);
        assert!(UploadId::floor_at(id.unix_ms() + 1) > id);
        assert_eq!(UploadId::floor_at(1234).unix_ms(), 1234);
    }
}
