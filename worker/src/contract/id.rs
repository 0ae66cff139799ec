//! The id of one upload. Anyone who knows the id may see the upload.

use std::{borrow::Cow, fmt, str::FromStr, time::SystemTime};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::{Uuid, Variant};

/// A UUID v7, made by the server only. Anyone who knows the id may see the upload, so ids are never listed.
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
    /// A new id of this millisecond with 74 random bits, so that ids of one millisecond cannot be guessed from each
    /// other.
    #[must_use]
    pub fn new() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::at(u64::try_from(since.as_millis()).unwrap_or(u64::MAX), &rand::random())
    }

    /// The id of a time in milliseconds since 1970. 74 of the 80 random bits become part of it; version and variant
    /// take the place of the other six.
    #[must_use]
    pub fn at(unix_ms: u64, random: &[u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(unix_ms, random).into_uuid())
    }

    /// The smallest id that could have been made at a time, given in milliseconds since 1970.
    #[must_use]
    pub fn floor_at(unix_ms: u64) -> Self {
        Self::at(unix_ms, &[0; 10])
    }

    /// When the id was made, in milliseconds since 1970.
    #[must_use]
    pub const fn unix_ms(self) -> u64 {
        // The first 48 bits (RFC 9562, section 5.7).
        let [a, b, c, d, e, f, ..] = *self.0.as_bytes();
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
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
            "description": "A UUID of version 7, in lower case. Anyone who knows it may see the upload.",
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
    fn ids_of_one_millisecond_share_only_the_time() {
        // Each of the 74 bits is set in about half of the ids; with a shared counter most bits would be equal.
        let ids: Vec<u128> = (0..256).map(|_| UploadId::at(1234, &rand::random()).0.as_u128()).collect();
        let random = |bit: &u32| !(62..64).contains(bit) && !(76..80).contains(bit);
        for bit in (0..80).filter(random) {
            let set = ids.iter().filter(|id| *id >> bit & 1 == 1).count();
            assert!((64..192).contains(&set), "bit {bit} is set in {set} of 256 ids");
        }
    }

    #[test]
    fn new_ids_differ_in_their_first_random_bits_too() {
        let ids: Vec<UploadId> = (0..1000).map(|_| UploadId::new()).collect();
        let alike = ids.windows(2).filter(|pair| {
            // The 12 bits behind the version, which a counter would fill.
            pair[0].unix_ms() == pair[1].unix_ms()
                && pair[1].0.as_u128() >> 64 == (pair[0].0.as_u128() >> 64) + 1
        });
        assert!(alike.count() < 10);
    }

    #[test]
    fn an_id_knows_its_time_and_sorts_by_it() {
        let id = UploadId::new();
        assert!(UploadId::floor_at(id.unix_ms()) <= id);
        assert!(UploadId::floor_at(id.unix_ms() + 1) > id);
        assert_eq!(UploadId::floor_at(1234).unix_ms(), 1234);
    }
}
