//! What the audit sees of storage: shards, originals without a fact, and what killed processes left.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use jiff::Timestamp;
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};

use super::{Storage, StorageError, json::plain_json};
use crate::contract::{
    id::UploadId,
    key::{Part, Shard, StorageKey},
    record::VERSION,
};

/// What lies in a shard of one upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardListing {
    /// The upload.
    pub id: UploadId,
    /// Whether a result or a failure is there.
    pub has_ended: bool,
    /// Makings that are there: more than one after a worker died.
    pub makings: usize,
}

/// `audits/<shard>.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Audited {
    v: u32,
    audited_at: Timestamp,
}

impl Storage {
    /// The shards that exist and closed before a time in milliseconds since 1970, oldest first, without those that
    /// were audited.
    ///
    /// # Errors
    /// As [`StorageError`] says.
    pub async fn shards_to_audit(&self, closed_before_ms: u64) -> Result<Vec<Shard>, StorageError> {
        let prefix = StorageKey::shards();
        let listed = self.store.list_with_delimiter(Some(&prefix)).await;
        let listed = listed.map_err(|source| StorageError::sort("list", &prefix, source))?;
        let mut shards: Vec<_> = listed.common_prefixes.iter().filter_map(StorageKey::parse_shard).collect();
        shards.retain(|shard| shard.closes_at_ms() <= closed_before_ms);
        if shards.is_empty() {
            return Ok(shards);
        }
        let audits = StorageKey::audits();
        let mut audited: Vec<_> = self
            .store
            .list(Some(&audits))
            .try_filter_map(async |mark| Ok(StorageKey::parse_shard(&mark.location)))
            .try_collect()
            .await
            .map_err(|source| StorageError::sort("list", &audits, source))?;
        audited.sort_unstable();
        shards.retain(|shard| audited.binary_search(shard).is_err());
        shards.sort_unstable();
        Ok(shards)
    }

    /// Whether a shard was audited.
    ///
    /// # Errors
    /// As [`StorageError`] says, `NotFound` excepted.
    pub async fn is_audited(&self, shard: Shard) -> Result<bool, StorageError> {
        self.exists(&StorageKey::audit(shard)).await
    }

    /// Marks a shard as audited, for every server.
    ///
    /// # Errors
    /// As [`StorageError`] says.
    pub async fn mark_audited(&self, shard: Shard) -> Result<(), StorageError> {
        let mark = Audited { v: VERSION, audited_at: crate::clock::now() };
        self.create(&StorageKey::audit(shard), plain_json(&mark)).await.map(drop)
    }

    /// Lists the uploads of a shard. Holds one entry of a few bytes for each: a shard covers 4.7 hours.
    ///
    /// # Errors
    /// As [`StorageError`] says.
    pub async fn list_shard(&self, shard: Shard) -> Result<Vec<ShardListing>, StorageError> {
        #[derive(Default)]
        struct Seen {
            has_ended: bool,
            last: Option<crate::contract::result::Making>,
            makings: usize,
        }
        let prefix = StorageKey::shard(shard);
        let mut objects: BoxStream<'static, _> = self.store.list(Some(&prefix)).boxed();
        let mut uploads: BTreeMap<UploadId, Seen> = BTreeMap::new();
        while let Some(object) =
            objects.try_next().await.map_err(|source| StorageError::sort("list", &prefix, source))?
        {
            let Some((id, part)) = StorageKey::parse_part(&object.location) else { continue };
            let seen = uploads.entry(id).or_default();
            match part {
                Part::Result | Part::Failure(_) => seen.has_ended = true,
                // A store lists the files of one making one after the other.
                Part::Thumbnail(making) if seen.last != Some(making) => {
                    seen.last = Some(making);
                    seen.makings += 1;
                }
                Part::Original | Part::Thumbnail(_) | Part::Other => {}
            }
        }
        let listing = |(id, seen): (UploadId, Seen)| ShardListing {
            id,
            has_ended: seen.has_ended,
            makings: seen.makings,
        };
        Ok(uploads.into_iter().map(listing).collect())
    }

    /// Removes staged files that killed writers left in a shard, if they are older than `age`, and directories that are
    /// empty then. Blocks. Answers how many files were removed; nothing to do where storage is not local.
    pub fn remove_staged_of_shard(&self, shard: Shard, age: Duration) -> usize {
        self.local.as_ref().map_or(0, |local| local.remove_staged_of_shard(shard, age))
    }

    /// The same for the indexes.
    pub fn remove_staged_of_indexes(&self, age: Duration) -> usize {
        self.local.as_ref().map_or(0, |local| local.remove_staged_of_indexes(age))
    }
}
