//! The expiry index: which uploads are deleted by themselves, hour by hour.

use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::ObjectStore;

use super::{
    Storage, StorageError,
    json::{Read, parse, to_json},
};
use crate::contract::{hour::Hour, id::UploadId, key::StorageKey, tombstone::ExpiryEntry};

impl Storage {
    /// Creates the entry of an upload. Call it before the commit, so that an accepted upload always expires.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn create_expiry(&self, entry: &ExpiryEntry) -> Result<(), StorageError> {
        self.create(&StorageKey::expiry(Hour::of(entry.expires_at), entry.id), to_json(entry)).await.map(drop)
    }

    /// Removes the entry of an upload.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub async fn remove_expiry(&self, hour: Hour, id: UploadId) -> Result<(), StorageError> {
        self.delete(&StorageKey::expiry(hour, id)).await
    }

    /// The hours that have entries, oldest first. Costs one request for each thousand hours.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn expiry_hours(&self) -> Result<Vec<Hour>, StorageError> {
        let prefix = StorageKey::all_expiry();
        let listed = self.store.list_with_delimiter(Some(&prefix)).await;
        let listed = match listed.map_err(|source| StorageError::sort("list", &prefix, source)) {
            Ok(listed) => listed,
            // A local directory that was never written to.
            Err(StorageError::NotFound(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut hours: Vec<_> = listed.common_prefixes.iter().filter_map(StorageKey::parse_hour).collect();
        hours.sort_unstable();
        Ok(hours)
    }

    /// Lists the uploads of one hour.
    pub fn list_expiry(&self, hour: Hour) -> BoxStream<'static, Result<UploadId, StorageError>> {
        let prefix = StorageKey::expiry_hour(hour);
        let entries = self.store.list(Some(&prefix));
        entries
            .map_err(move |source| StorageError::sort("list", &prefix, source))
            .try_filter_map(async |entry| Ok(StorageKey::parse_id(&entry.location)))
            .boxed()
    }

    /// The entry of an upload; `None` if it is absent or unreadable.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub async fn expiry(&self, hour: Hour, id: UploadId) -> Result<Option<ExpiryEntry>, StorageError> {
        let key = StorageKey::expiry(hour, id);
        let Read::Fact(bytes) = self.read_json(&key).await? else { return Ok(None) };
        Ok(parse(&bytes).inspect_err(|reason| self.log_unreadable(&key, reason)).ok())
    }
}
