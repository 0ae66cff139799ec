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
        let missing = StorageKey::probe(UploadId::new());
        if let Err(source) = self.store.get(missing.path()).await {
            match StorageError::sort(LOOK_FOR_MISSING, &missing, source) {
                StorageError::NotFound(_) => {}
                error => return Err(error),
            }
        }
        // The same object in each check of a process: one that breaks off leaves it to the next. Locked, because a
        // check at the same time would delete it.
        let probe = self.probe.lock().await;
        let key = StorageKey::probe(*probe);
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

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::time::timeout;

    use super::*;
    use crate::testing::{Fuse, InMemory, Logged};

    async fn objects(store: &InMemory) -> usize {
        store.list(None).try_collect::<Vec<_>>().await.unwrap().len()
    }

    #[tokio::test]
    async fn checks_that_break_off_leave_one_object_at_most_and_the_next_one_removes_it() {
        let (store, fuse) = (Arc::new(InMemory::new()), Fuse::after(3));
        let storage = Storage::over(Arc::new(Logged::new(Arc::clone(&store), fuse.clone())));
        for checks in 0..3 {
            // The probe is written and read, and then storage does not answer.
            assert!(timeout(Duration::from_millis(20), storage.check()).await.is_err());
            assert_eq!(objects(&store).await, 1, "{checks}");
            fuse.refill(3);
        }
        fuse.mend();
        storage.check().await.unwrap();
        assert_eq!(objects(&store).await, 0);
    }

    #[tokio::test]
    async fn checks_at_the_same_time_do_not_disturb_each_other() {
        let store = Logged::new(InMemory::new(), Fuse::never());
        let storage = Storage::over(Arc::new(store));
        let checks = (0..20).map(|_| {
            let storage = storage.clone();
            tokio::spawn(async move { storage.check().await })
        });
        for checked in futures::future::join_all(checks).await {
            checked.unwrap().unwrap();
        }
    }
}
