//! Tombstones: a deleted upload stays deleted, even if a slow worker or a late retry still writes.

use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use jiff::Timestamp;
use object_store::ObjectStore;

use super::{
    Storage, StorageError,
    json::{Read, parse, to_json},
};
use crate::contract::{id::UploadId, key::StorageKey, record::JobName, tombstone::Tombstone};

impl Storage {
    /// Creates the tombstone of an upload, unless there is one. Returns whether this call did.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn create_tombstone(&self, tombstone: &Tombstone) -> Result<bool, StorageError> {
        self.create(&StorageKey::gone(tombstone.id), to_json(tombstone)).await
    }

    /// Whether an upload was deleted.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub async fn is_gone(&self, id: UploadId) -> Result<bool, StorageError> {
        self.exists(&StorageKey::gone(id)).await
    }

    /// The tombstone of an upload, if it was deleted. An unreadable tombstone counts, at generation 1.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub async fn tombstone(&self, id: UploadId) -> Result<Option<Tombstone>, StorageError> {
        let key = StorageKey::gone(id);
        let unreadable = || Tombstone::without_record(id, crate::clock::now());
        Ok(match self.read_json(&key).await? {
            Read::Absent => None,
            Read::Unreadable => Some(unreadable()),
            Read::Fact(bytes) => match parse::<Tombstone>(&bytes) {
                Ok(tombstone) if tombstone.id == id => Some(tombstone),
                Ok(_) => Some(unreadable()),
                Err(reason) => {
                    self.log_unreadable(&key, &reason);
                    Some(unreadable())
                }
            },
        })
    }

    /// Lists the tombstones, each with the time at which it was written.
    pub fn list_tombstones(&self) -> BoxStream<'static, Result<(UploadId, Timestamp), StorageError>> {
        let prefix = StorageKey::all_gone();
        let entries = self.store.list(Some(&prefix));
        entries
            .map_err(move |source| StorageError::sort("list", &prefix, source))
            .try_filter_map(async |entry| {
                let written =
                    Timestamp::from_second(entry.last_modified.timestamp()).unwrap_or(Timestamp::MAX);
                Ok(StorageKey::parse_id(&entry.location).map(|id| (id, written)))
            })
            .boxed()
    }

    /// Removes a tombstone.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub async fn remove_tombstone(&self, id: UploadId) -> Result<(), StorageError> {
        self.delete(&StorageKey::gone(id)).await
    }

    /// Removes the state of a deleted upload: its result, its pending entries, its failures. `generation`: the one that
    /// was current. From then on the tombstone is its state.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub(crate) async fn remove_state(&self, id: UploadId, generation: u32) -> Result<(), StorageError> {
        let (failed, _) = self.ends(id).await?;
        self.delete_even_a_directory(&StorageKey::result(id)).await?;
        // A retry may have begun the generation after the last failure.
        let later = failed.iter().map(|failed| failed.saturating_add(1));
        let mut generations: Vec<_> =
            [1, generation, generation.saturating_add(1)].into_iter().chain(later).collect();
        generations.sort_unstable();
        generations.dedup();
        for generation in generations {
            self.remove_pending(JobName { id, generation }).await?;
        }
        for generation in failed {
            self.delete_even_a_directory(&StorageKey::failure(JobName { id, generation })).await?;
        }
        Ok(())
    }

    /// Whether anything is stored below the prefix of an upload.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub(crate) async fn has_anything(&self, id: UploadId) -> Result<bool, StorageError> {
        let prefix = StorageKey::upload(id);
        let first = self.store.list(Some(&prefix)).try_next().await;
        let has_objects = first.map_err(|source| StorageError::sort("list", &prefix, source))?.is_some();
        Ok(has_objects || self.in_directory(move |local| local.has_upload(id)).await)
    }
}
