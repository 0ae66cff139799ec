//! The sweep of tombstones: a deletion that was not finished is finished, and old tombstones are removed.
//!
//! A tombstone is looked at twice, and a last time before it is removed. The first look finishes the deletion of a
//! process that died. The second one removes what a slow worker wrote and, because it died, could not remove itself.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{info, warn};
use worker::{Storage, UploadId, delete::finish_deletion, storage::StorageError, transport::Announcer};

use crate::telemetry;

/// How long after its first sighting a tombstone is looked at. The first pause is longer than a deletion takes; the
/// second one is longer than a job with its retries in one process.
const LOOKS: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(10 * 60)];

/// How long a tombstone is kept: as long as an idempotency key of the upload counts.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Tombstones that are looked at together.
const LOOKS_AT_ONCE: usize = 16;

/// The tombstones that this server has seen: about 50 bytes for each.
#[derive(Default)]
pub(crate) struct Tombstones(Mutex<HashMap<UploadId, Seen>>);

/// One tombstone.
#[derive(Clone, Copy)]
struct Seen {
    since: Instant,
    /// The looks that were taken.
    looks: usize,
    /// Whether it was in the present listing.
    is_listed: bool,
}

impl Tombstones {
    /// Whether a tombstone of the upload was in the last listing.
    pub(crate) fn contains(&self, id: UploadId) -> bool {
        self.seen().contains_key(&id)
    }

    /// Lists all tombstones and looks at those that are due. Returns those that were listed for the first time. `now`
    /// measures pauses, `wall` the age of tombstones.
    pub(crate) async fn sweep(
        &self,
        storage: &Storage,
        announcer: &dyn Announcer,
        now: Instant,
        wall: Timestamp,
    ) -> Result<Vec<UploadId>, StorageError> {
        self.seen().values_mut().for_each(|seen| seen.is_listed = false);
        let (mut due, mut first) = (Vec::new(), Vec::new());
        let mut listed = storage.list_tombstones();
        while let Some((id, written)) = listed.try_next().await? {
            let is_old = wall.duration_since(written) >= KEPT_FOR.try_into().unwrap_or_default();
            let mut seen = self.seen();
            let seen = seen.entry(id).or_insert_with(|| {
                first.push(id);
                Seen { since: now, looks: 0, is_listed: true }
            });
            seen.is_listed = true;
            let is_due = LOOKS.get(seen.looks).is_some_and(|after| now.duration_since(seen.since) >= *after);
            if is_old || is_due {
                due.push((id, is_old));
            }
        }
        self.seen().retain(|_, seen| seen.is_listed);
        stream::iter(due)
            .for_each_concurrent(LOOKS_AT_ONCE, async |(id, is_old)| {
                if let Err(error) = self.look(storage, announcer, id, is_old).await {
                    let error = &error as &dyn std::error::Error;
                    warn!(%id, error, "could not finish a deletion; the next sweep tries again");
                }
            })
            .await;
        Ok(first)
    }

    async fn look(
        &self,
        storage: &Storage,
        announcer: &dyn Announcer,
        id: UploadId,
        is_old: bool,
    ) -> Result<(), StorageError> {
        if finish_deletion(storage, announcer, id).await? {
            info!(%id, "finished the deletion of an upload");
            telemetry::deleted("finished");
        }
        if is_old {
            storage.remove_tombstone(id).await?;
            self.seen().remove(&id);
        } else if let Some(seen) = self.seen().get_mut(&id) {
            seen.looks += 1;
        }
        Ok(())
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<UploadId, Seen>> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use worker::{
        UploadStatus,
        delete::delete,
        testing::{self, Fuse, InMemory, Logged, Script},
    };

    use super::*;

    async fn deleted(storage: &Storage, script: &Script) -> UploadId {
        let record = testing::record_of(UploadId::new());
        testing::store_original(storage, record.id, b"original").await;
        storage.create_pending(&record).await.unwrap();
        delete(storage, script, record.id).await.unwrap();
        record.id
    }

    #[tokio::test]
    async fn a_finished_tombstone_costs_two_looks_and_is_removed_after_a_day() {
        let store = Logged::new(InMemory::new(), Fuse::never());
        let log = store.log();
        let (storage, script) = (Storage::over(Arc::new(store)), Script::counting());
        let id = deleted(&storage, &script).await;
        let (tombstones, start, wall) = (Tombstones::default(), Instant::now(), Timestamp::now());
        let _ = log.take();
        for minutes in 0..60 {
            let now = start + Duration::from_secs(60) * minutes;
            tombstones.sweep(&storage, &script, now, wall).await.unwrap();
        }
        let lines = log.take();
        let looks = lines.iter().filter(|line| line.contains(&id.to_string())).count();
        assert_eq!((lines.len(), looks), (62, 2), "{lines:?}");
        assert!(tombstones.contains(id));
        let after = wall + KEPT_FOR - Duration::from_secs(60);
        tombstones.sweep(&storage, &script, start, after).await.unwrap();
        assert!(storage.is_gone(id).await.unwrap());
        tombstones.sweep(&storage, &script, start, wall + KEPT_FOR + Duration::from_secs(60)).await.unwrap();
        assert!(!storage.is_gone(id).await.unwrap() && !tombstones.contains(id));
    }

    #[tokio::test]
    async fn what_a_dead_worker_wrote_after_the_deletion_is_removed() {
        let (storage, script) = (Storage::over(Arc::new(InMemory::new())), Script::counting());
        let id = deleted(&storage, &script).await;
        let (tombstones, start, wall) = (Tombstones::default(), Instant::now(), Timestamp::now());
        tombstones.sweep(&storage, &script, start, wall).await.unwrap();
        tombstones.sweep(&storage, &script, start + LOOKS[0], wall).await.unwrap();
        storage.store_result(&testing::result_of(testing::record_of(id))).await.unwrap();
        assert!(matches!(storage.status(id).await.unwrap(), UploadStatus::Ready(_)));
        tombstones.sweep(&storage, &script, start + LOOKS[1], wall).await.unwrap();
        assert_eq!(storage.status(id).await.unwrap(), UploadStatus::Gone(1));
    }
}
