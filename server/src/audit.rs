//! The audit: each shard is listed once, a day after it closed, for what killed processes left in it.
//!
//! An original without a pending entry, a result or a failure belongs to no upload: its server died before the commit.
//! Nothing younger than a day is touched, while a body may last four hours at most; so no live writer's file is ever
//! removed. An orphan must be found twice, further apart than an upload may take from its original to its commit.

use std::time::Duration;

use jiff::Timestamp;
use rand::random_range;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use worker::{
    JobName, Storage, UploadId,
    contract::key::Shard,
    storage::{ShardListing, StorageError},
};

use crate::uploads::idempotency::KEY_COUNTS_FOR;

/// How long after its close a shard is audited, and how old a staged file must be: far longer than a body may last.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The pause before the first audit, so that a start costs nothing, and between two.
const FIRST_AUDIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(60 * 60);

/// Servers that share a storage draw their pauses, so that one of them audits a shard and the others find it done.
const JITTER: std::ops::Range<f64> = 0.5..1.5;

/// How long after it was first found an orphan is looked at again: longer than an upload may take to its commit.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Audits until the server drains.
pub(crate) async fn run(storage: Storage, draining: CancellationToken) {
    let auditing = async {
        let mut pause = FIRST_AUDIT;
        loop {
            sleep(pause.mul_f64(random_range(JITTER))).await;
            pause = PAUSE;
            if let Err(error) = audit(&storage, now_ms(), LOOK_AGAIN).await {
                warn!(error = &error as &dyn std::error::Error, "could not finish an audit");
            }
        }
    };
    draining.run_until_cancelled(auditing).await;
}

/// Audits every shard that closed more than a day ago, and removes old claims and staged files.
async fn audit(storage: &Storage, now_ms: u64, look_again: Duration) -> Result<(), StorageError> {
    let day_ms = u64::try_from(DAY.as_millis()).unwrap_or(u64::MAX);
    for shard in storage.shards_to_audit(now_ms.saturating_sub(day_ms)).await? {
        // Another server may have done it since the listing.
        if !storage.is_audited(shard).await? {
            audit_shard(storage, shard, look_again).await?;
            storage.mark_audited(shard).await?;
        }
    }
    let removed = storage.remove_old_claims(KEY_COUNTS_FOR).await?;
    debug!(removed, "removed claims of idempotency keys that count no longer");
    remove_staged(storage.clone(), None).await;
    Ok(())
}

async fn audit_shard(storage: &Storage, shard: Shard, look_again: Duration) -> Result<(), StorageError> {
    let uploads = storage.list_shard(shard).await?;
    let mut orphans = Vec::new();
    for ShardListing { id, has_ended, makings } in &uploads {
        if *has_ended {
            if *makings > 1
                && let Some(result) = storage.result(*id).await?
            {
                storage.remove_other_makings(*id, result.making).await?;
            }
        } else if is_orphan(storage, *id).await? {
            orphans.push(*id);
        }
    }
    if !orphans.is_empty() {
        sleep(look_again).await;
    }
    let mut removed = 0;
    for id in orphans {
        if is_orphan(storage, id).await? {
            storage.remove_everything(id).await?;
            removed += 1;
            info!(%id, "removed an original that belongs to no upload");
        }
    }
    let staged = remove_staged(storage.clone(), Some(shard)).await;
    info!(%shard, uploads = uploads.len(), removed, staged, "audited a shard");
    Ok(())
}

/// Whether nothing claims what lies of an upload.
async fn is_orphan(storage: &Storage, id: UploadId) -> Result<bool, StorageError> {
    use worker::UploadStatus::{Gone, Unknown};
    // A pending entry that cannot be read is still one: the sweeper heals it.
    let job = JobName { id, generation: 1 };
    Ok(!storage.has_pending(job).await? && matches!(storage.status(id).await?, Unknown | Gone))
}

/// Removes staged files of killed writers, of one shard or of the indexes.
async fn remove_staged(storage: Storage, shard: Option<Shard>) -> usize {
    let removing = tokio::task::spawn_blocking(move || match shard {
        Some(shard) => storage.remove_staged_of_shard(shard, DAY),
        None => storage.remove_staged_of_indexes(DAY),
    });
    removing.await.unwrap_or_else(|error| {
        warn!(%error, "could not remove staged files");
        0
    })
}

fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
