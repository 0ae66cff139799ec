//! The check of storage, for readiness and for `up-server check`.

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};

use super::{JSON_TYPE, Storage, StorageError, cause::LOOK_FOR_MISSING};
use crate::contract::{id::UploadId, key::StorageKey};

impl Storage {
    /// Checks that storage writes, reads, lists and deletes an object, and answers for a missing one that it is missing: of
    /// S3 this needs the right to list. Takes [`CHECK_REQUESTS`](Self::CHECK_REQUESTS) requests.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn check(&self) -> Result<(), StorageError> {
        let key = StorageKey::probe(UploadId::new());
        if let Err(source) = self.store.get(key.path()).await {
            match StorageError::sort(LOOK_FOR_MISSING, &key, source) {
                StorageError::NotFound(_) => {}
                error => return Err(error),
            }
        }
        self.put(&key, Bytes::from_static(b"up!"), JSON_TYPE, PutMode::Overwrite).await?;
        self.read(&key).await?;
        let prefix = StorageKey::probes();
        let listed = self.store.list(Some(&prefix)).try_next().await;
        listed.map_err(|source| StorageError::sort("list", &prefix, source))?;
        let deleted = self.store.delete(key.path()).await;
        deleted.map_err(|source| StorageError::sort("delete", &key, source))
    }

    /// The requests of a [`check`](Self::check), one after the other.
    pub const CHECK_REQUESTS: u32 = 5;
}
