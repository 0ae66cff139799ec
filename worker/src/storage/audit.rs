//! Storage for the audit: shards, orphaned originals, and leftovers of killed processes.

use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};

use super::{Storage, StorageError, json::plain_json};
use crate::contract::{
    id::UploadId,
    key::{Shard, StorageKey, StoredPart},
    record::VERSION,
    result::Making,
};

/// The objects of one upload in a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardListing {
    /// The upload.
    pub id: UploadId,
    /// Whether a result or a failure is there.
    pub has_ended: bool,
    /// The number of makings: more than one after a worker died.
    pub makings: usize,
}

/// The parts of one upload, added as they are listed.
struct Grouped {
    listing: ShardListing,
    last_making: Option<Making>,
}

impl Grouped {
    fn new(id: UploadId) -> Self {
        Self { listing: ShardListing { id, has_ended: false, makings: 0 }, last_making: None }
    }

    fn add(&mut self, part: StoredPart) {
        match part {
            StoredPart::Result | StoredPart::Failure(_) => self.listing.has_ended = true,
            // A store lists the files of one making one after the other.
            StoredPart::Thumbnail(making) if self.last_making != Some(making) => {
                self.last_making = Some(making);
                self.listing.makings += 1;
            }
            StoredPart::Original | StoredPart::Thumbnail(_) | StoredPart::Other => {}
        }
    }
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
    /// See [`StorageError`].
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
    /// See [`StorageError`]; never `NotFound`.
    pub async fn is_audited(&self, shard: Shard) -> Result<bool, StorageError> {
        self.exists(&StorageKey::audit(shard)).await
    }

    /// Marks a shard as audited, for every server.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn mark_audited(&self, shard: Shard) -> Result<(), StorageError> {
        let mark = Audited { v: VERSION, audited_at: crate::clock::now() };
        self.create(&StorageKey::audit(shard), plain_json(&mark)).await.map(drop)
    }

    /// Lists the uploads of a shard one by one. A store lists the objects of one upload together.
    pub fn list_shard(&self, shard: Shard) -> BoxStream<'static, Result<ShardListing, StorageError>> {
        let prefix = StorageKey::shard(shard);
        let objects = self.store.list(Some(&prefix));
        let parts = objects
            .map_err(move |source| StorageError::sort("list", &prefix, source))
            .try_filter_map(async |object| Ok(StorageKey::parse_part(&object.location)));
        // The upload whose parts are being listed; A final `None` ends the last group.
        let parts = parts.map_ok(Some).chain(stream::iter([Ok(None)]));
        let group = |current: &mut Option<Grouped>, part: Option<(UploadId, StoredPart)>| match part {
            None => current.take(),
            Some((id, part)) => {
                let ended = current.take_if(|grouped| grouped.listing.id != id);
                current.get_or_insert_with(|| Grouped::new(id)).add(part);
                ended
            }
        };
        parts
            .scan(None, move |current, part| {
                let grouped = part.map(|part| group(current, part).map(|ended| ended.listing));
                std::future::ready(Some(grouped))
            })
            .try_filter_map(async |listing| Ok(listing))
            .boxed()
    }

    /// Removes staged files of killed writers that were last written before `before` from a shard, and then empty
    /// directories. Returns the number of removed files; zero unless storage is local.
    pub async fn remove_staged_of_shard(&self, shard: Shard, before: Timestamp) -> usize {
        self.in_directory(move |local| local.remove_staged_of_shard(shard, before)).await
    }

    /// The same for the indexes.
    pub async fn remove_staged_of_indexes(&self, before: Timestamp) -> usize {
        self.in_directory(move |local| local.remove_staged_of_indexes(before)).await
    }
}
