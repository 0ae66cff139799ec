//! Deletes an upload: for its sender, at its expiry, and when a killed process left a deletion unfinished.
//!
//! The tombstone comes first, so everybody who writes afterwards finds it: a worker after its result or failure, a retry
//! after its pending entry. Then the state goes, the deletion is announced, and the bytes go last. A process that dies
//! in between leaves a tombstone and something below the upload's prefix, by which the sweeper finds it.

use tracing::{info, warn};

use crate::{
    clock,
    contract::{
        hour::Hour,
        id::UploadId,
        message::Changed,
        record::{Lane, UploadRecord},
        tombstone::Tombstone,
        upload::Upload,
    },
    failpoint,
    storage::{Storage, StorageError, UploadStatus},
    transport::Announcer,
};

/// A deleted upload.
#[derive(Debug)]
pub struct Deleted {
    /// Its last state.
    pub upload: Upload,
    /// Whether this call deleted it; otherwise it was deleted before.
    pub is_new: bool,
}

/// Deletes an upload. `None` if nothing of it is stored. A deletion may be repeated, and several may run at once.
///
/// # Errors
/// See [`StorageError`]. The upload may be deleted all the same; a repetition or the sweeper finishes it. Bytes that
/// cannot be removed are no error: the sweeper removes them.
pub async fn delete(
    storage: &Storage,
    announcer: &dyn Announcer,
    id: UploadId,
) -> Result<Option<Deleted>, StorageError> {
    let new = |record: &UploadRecord| Tombstone {
        id,
        generation: record.generation,
        gone_at: clock::now(),
        expires_at: record.expires_at,
        sender: record.sender.clone(),
        bytes: record.bytes,
    };
    let tombstone = match storage.status(id).await? {
        UploadStatus::Ready(result) => new(&result.record),
        UploadStatus::Pending(record) => new(&record),
        UploadStatus::Failed(failure) => new(&failure.record),
        UploadStatus::Gone(_) => match storage.tombstone(id).await? {
            Some(tombstone) => tombstone,
            None => return Ok(None),
        },
        // Its server may be about to commit it.
        UploadStatus::Unknown if storage.has_original(id).await? => {
            Tombstone::without_record(id, clock::now())
        }
        UploadStatus::Unknown => return Ok(None),
    };
    let is_new = storage.create_tombstone(&tombstone).await?;
    failpoint::hit("delete-marked", "").await;
    let (upload, removed) = finish(storage, announcer, &tombstone).await?;
    match removed {
        Ok(()) => info!(%id, generation = tombstone.generation, "an upload is deleted"),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            warn!(%id, error, "could not remove all files of a deleted upload; the sweeper removes them");
        }
    }
    Ok(Some(Deleted { upload, is_new }))
}

/// Finishes the deletion of an upload that has a tombstone, if anything of it is left. Returns whether there was.
///
/// # Errors
/// See [`StorageError`]; never `NotFound`. Then something may be left.
pub async fn finish_deletion(
    storage: &Storage,
    announcer: &dyn Announcer,
    id: UploadId,
) -> Result<bool, StorageError> {
    if !storage.has_anything(id).await? {
        return Ok(false);
    }
    let Some(tombstone) = storage.tombstone(id).await? else { return Ok(false) };
    let (_, removed) = finish(storage, announcer, &tombstone).await?;
    removed.map(|()| true)
}

/// Removes the state, announces, and removes the rest. Returns the last state, and whether everything is removed.
async fn finish(
    storage: &Storage,
    announcer: &dyn Announcer,
    tombstone: &Tombstone,
) -> Result<(Upload, Result<(), StorageError>), StorageError> {
    let Tombstone { id, generation, expires_at, .. } = *tombstone;
    storage.remove_state(id, generation).await?;
    failpoint::hit("delete-unlisted", "").await;
    let upload = Upload::gone(id, generation);
    let changed = Changed::new(upload, Lane::Interactive);
    if let Err(error) = announcer.announce(&changed, None).await {
        let error = &error as &dyn std::error::Error;
        warn!(%id, error, "could not announce a deleted upload; servers find it in storage");
    }
    failpoint::hit("delete-announced", "").await;
    let removed = async {
        if let Some(at) = expires_at {
            storage.remove_expiry(Hour::of(at), id).await?;
        }
        if let Some(share) = tombstone.share() {
            storage.remove_share(share).await?;
        }
        storage.remove_everything(id).await
    };
    Ok((changed.upload, removed.await))
}

#[cfg(test)]
mod tests;
