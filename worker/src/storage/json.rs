//! The stored form of facts: JSON with a version, read tolerantly.

use std::{fmt, sync::PoisonError};

use bytes::Bytes;
use object_store::ObjectStoreExt;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Storage, StorageError};
use crate::contract::{
    failure::UploadFailure,
    id::UploadId,
    key::StorageKey,
    record::{UploadRecord, VERSION},
    result::UploadResult,
};

/// The longest stored JSON that is read, in bytes. Written JSON stays below a tenth of it.
const MAX_JSON_BYTES: u64 = 256 * 1024;

/// The most unreadable objects that are remembered as logged, about 100 bytes each. Beyond it, objects are logged
/// again.
const MAX_LOGGED: usize = 1000;

/// The outcome of reading a stored object.
pub(super) enum Read<T> {
    Absent,
    Unreadable,
    Fact(T),
}

impl<T> Read<T> {
    pub(super) fn fact(self) -> Option<T> {
        match self {
            Self::Fact(fact) => Some(fact),
            Self::Absent | Self::Unreadable => None,
        }
    }
}

/// A stored fact carries the record of its upload.
pub(super) trait Fact: Serialize + DeserializeOwned {
    fn record(&self) -> &UploadRecord;
}

impl Fact for UploadRecord {
    fn record(&self) -> &UploadRecord {
        self
    }
}

impl Fact for UploadResult {
    fn record(&self) -> &UploadRecord {
        &self.record
    }
}

impl Fact for UploadFailure {
    fn record(&self) -> &UploadRecord {
        &self.record
    }
}

impl Storage {
    /// Logs an unreadable object once per process.
    pub(super) fn log_unreadable(&self, key: &StorageKey, reason: &dyn fmt::Display) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.len() >= MAX_LOGGED {
            logged.clear();
        }
        if logged.insert(key.clone()) {
            tracing::warn!(%key, %reason, "an object in storage cannot be read and counts as absent");
        }
    }

    /// Reads a fact of an upload, or of one generation if that is part of the key.
    pub(super) async fn read_fact<T: Fact>(
        &self,
        key: &StorageKey,
        id: UploadId,
        generation: Option<u32>,
    ) -> Result<Read<T>, StorageError> {
        let bytes = match self.read_json(key).await? {
            Read::Fact(bytes) => bytes,
            Read::Absent => return Ok(Read::Absent),
            Read::Unreadable => return Ok(Read::Unreadable),
        };
        match parse::<T>(&bytes) {
            Ok(fact) if fact.record().id != id => {
                self.log_unreadable(key, &"it belongs to another upload");
                Ok(Read::Unreadable)
            }
            Ok(fact) if generation.is_some_and(|generation| fact.record().generation != generation) => {
                self.log_unreadable(key, &"it belongs to another generation");
                Ok(Read::Unreadable)
            }
            Ok(fact) => Ok(Read::Fact(fact)),
            Err(reason) => {
                self.log_unreadable(key, &reason);
                Ok(Read::Unreadable)
            }
        }
    }

    pub(super) async fn read_json(&self, key: &StorageKey) -> Result<Read<Bytes>, StorageError> {
        let sort = |source| StorageError::sort("read", key, source);
        let found = match self.store.get(key.path()).await.map_err(sort) {
            Ok(found) => found,
            Err(StorageError::NotFound(_)) => {
                let is_directory = self.local.as_ref().is_some_and(|local| local.is_directory(key.path()));
                if is_directory {
                    self.log_unreadable(key, &"it is a directory");
                }
                return Ok(if is_directory { Read::Unreadable } else { Read::Absent });
            }
            Err(error) => return Err(error),
        };
        if found.meta.size > MAX_JSON_BYTES {
            self.log_unreadable(key, &format_args!("it has {} bytes", found.meta.size));
            return Ok(Read::Unreadable);
        }
        self.store.read_rest(found).await.map(Read::Fact).map_err(sort)
    }

    /// Reads other stored JSON; an unreadable object counts as absent.
    pub(super) async fn read_plain<T: DeserializeOwned>(
        &self,
        key: &StorageKey,
    ) -> Result<Option<T>, StorageError> {
        let Read::Fact(bytes) = self.read_json(key).await? else { return Ok(None) };
        Ok(serde_json::from_slice(&bytes).inspect_err(|reason| self.log_unreadable(key, reason)).ok())
    }
}

/// Reads a fact of a version that this build knows.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    #[derive(Deserialize)]
    struct StoredVersion {
        v: u32,
    }
    let StoredVersion { v } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if v != VERSION {
        return Err(format!("it has version {v}; this build reads version {VERSION}"));
    }
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

/// The stored form of a fact: the version, then its fields.
pub(super) fn to_json<T: Serialize>(fact: &T) -> Bytes {
    #[derive(Serialize)]
    struct VersionedFact<'a, T> {
        v: u32,
        #[serde(flatten)]
        fact: &'a T,
    }
    plain_json(&VersionedFact { v: VERSION, fact })
}

/// JSON that ends with a newline.
pub(super) fn plain_json<T: Serialize>(value: &T) -> Bytes {
    let mut bytes =
        serde_json::to_vec(value).expect("stored values have only string keys and finite numbers");
    bytes.push(b'\n');
    bytes.into()
}
