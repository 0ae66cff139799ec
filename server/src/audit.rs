//! The audit: each shard is listed once, a day after it closed, to remove leftovers of killed processes.
//!
//! An original without a pending entry, a result or a failure belongs to no upload: its server died before the commit.
//! Nothing younger than a day is removed, and a body may last four hours at most; so no live writer's file is ever
//! removed. Ages are measured by a clock that does not jump when the wall clock is set forward. An orphan must be found
//! twice, further apart than an upload may take from its original to its commit.
//!
//! A failed upload keeps the thumbnails of a worker that died: a worker that was only suspended may still store its
//! result.

use std::time::Duration;

use futures::TryStreamExt;
use jiff::Timestamp;
use rand::random_range;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use worker::{
    JobName, Storage, UploadId,
    clock::AgeClock,
    contract::{hour::Hour, key::Shard},
    storage::{ShardListing, StorageError},
};

use crate::{telemetry, uploads::idempotency::KEY_COUNTS_FOR};

/// How long after its close a shard is audited, and how old a staged file must be: far longer than a body may last.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The pause before the first audit, which keeps the start cheap, and the pause between two audits.
const FIRST_AUDIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(60 * 60);

/// The random factor of a pause. Servers that share a storage so rarely audit at the same time: one audits a shard, the
/// others find it marked as audited.
const JITTER: std::ops::Range<f64> = 0.5..1.5;

/// The time between the two checks of an orphan: longer than an upload may take from its original to its commit.
const CHECK_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Orphans of a shard that are checked again together: 16 bytes each. A shard with more is audited in batches.
const ORPHANS_PER_BATCH: usize = 10_000;

/// Audits until the server drains.
pub(crate) async fn run(storage: Storage, draining: CancellationToken) {
    let clock = AgeClock::start();
    let auditing = async {
        let mut pause = FIRST_AUDIT;
        loop {
            sleep(pause.mul_f64(random_range(JITTER))).await;
            pause = PAUSE;
            let audited = audit(&storage, clock.now(), CHECK_AGAIN_AFTER).await;
            telemetry::audited(audited.is_ok());
            if let Err(error) = audited {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "could not finish the audit; it is tried again"
                );
            }
        }
    };
    draining.run_until_cancelled(auditing).await;
}

/// Audits every shard that closed more than a day ago, and removes old claims and staged files.
async fn audit(storage: &Storage, now: Timestamp, check_again_after: Duration) -> Result<(), StorageError> {
    let a_day_ago = now - DAY;
    let closed_before_ms = u64::try_from(a_day_ago.as_millisecond()).unwrap_or(0);
    for shard in storage.shards_to_audit(closed_before_ms).await? {
        // Another server may have audited it since the listing.
        if !storage.is_audited(shard).await? {
            audit_shard(storage, shard, a_day_ago, check_again_after).await?;
            storage.mark_audited(shard).await?;
        }
    }
    let removed = storage.remove_old_claims(now - KEY_COUNTS_FOR).await?;
    debug!(removed, "removed expired claims of idempotency keys");
    let removed = storage.remove_ticket_uses(Hour::of(a_day_ago)).await?;
    debug!(removed, "removed the uses of ended tickets");
    storage.remove_staged_of_indexes(a_day_ago).await;
    Ok(())
}

async fn audit_shard(
    storage: &Storage,
    shard: Shard,
    a_day_ago: Timestamp,
    check_again_after: Duration,
) -> Result<(), StorageError> {
    let mut listed = storage.list_shard(shard);
    let (mut uploads, mut removed, mut orphans) = (0, 0, Vec::new());
    while let Some(ShardListing { id, has_ended, makings }) = listed.try_next().await? {
        uploads += 1;
        if has_ended {
            if makings > 1
                && let Some(result) = storage.result(id).await?
            {
                storage.remove_other_makings(id, result.making).await?;
            }
        } else if is_orphan(storage, id).await? {
            orphans.push(id);
            if orphans.len() == ORPHANS_PER_BATCH {
                removed += remove_orphans(storage, std::mem::take(&mut orphans), check_again_after).await?;
            }
        }
    }
    removed += remove_orphans(storage, orphans, check_again_after).await?;
    let staged = storage.remove_staged_of_shard(shard, a_day_ago).await;
    info!(%shard, uploads, removed, staged, "audited a shard");
    Ok(())
}

/// Checks orphans again, and removes each that still is one.
async fn remove_orphans(
    storage: &Storage,
    orphans: Vec<UploadId>,
    check_again_after: Duration,
) -> Result<usize, StorageError> {
    let mut removed = 0;
    if !orphans.is_empty() {
        sleep(check_again_after).await;
    }
    for id in orphans {
        if is_orphan(storage, id).await? {
            storage.remove_everything(id).await?;
            removed += 1;
            info!(%id, "removed an original that belongs to no upload");
        }
    }
    Ok(removed)
}

/// Whether no pending entry, result or failure belongs to the files of an upload.
async fn is_orphan(storage: &Storage, id: UploadId) -> Result<bool, StorageError> {
    use worker::UploadStatus::{Gone, Unknown};
    // A pending entry that cannot be read counts: the sweeper restores it.
    let job = JobName { id, generation: 1 };
    Ok(!storage.has_pending(job).await? && matches!(storage.status(id).await?, Unknown | Gone(_)))
}

#[cfg(test)]
mod tests;
