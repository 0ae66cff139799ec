//! Requeues a failed upload, for a client's retry and for an operator's replay.
//!
//! The pending entry of the next generation is created first, so only one of two concurrent requeues succeeds. If the
//! process dies after that, the sweeper posts the job.

use tracing::{info, warn};

use crate::{
    contract::{id::UploadId, link::LinkBase, message::Changed, upload::Upload},
    failpoint,
    storage::{Storage, StorageError, UploadStatus},
    transport::{Announcer, ClientTag, JobQueue, Posting},
};

/// Why an upload was not requeued.
#[derive(Debug, thiserror::Error)]
pub enum RequeueError {
    /// The upload is not in storage.
    #[error("storage has no such upload")]
    Unknown,
    /// The upload was deleted.
    #[error("the upload was deleted")]
    Gone,
    /// Its thumbnails are stored.
    #[error("the upload is ready")]
    Ready,
    /// A generation of it has not ended.
    #[error("the upload is queued already")]
    Queued,
    /// Storage failed.
    #[error("could not requeue the upload")]
    Storage(#[from] StorageError),
}

/// The place of a requeued job in the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// The client that takes a turn with it.
    pub client: Option<ClientTag>,
    /// Whether it goes to the bulk lane, even if the upload was interactive.
    pub bulk: bool,
}

/// Requeues a failed upload and announces it to every server. Returns its new state. If the job cannot be posted now,
/// the sweeper posts it.
///
/// # Errors
/// See [`RequeueError`]. After `Storage` the upload may still be requeued; then the sweeper posts it.
pub async fn requeue(
    storage: &Storage,
    queue: &dyn JobQueue,
    announcer: &dyn Announcer,
    id: UploadId,
    place: Place,
) -> Result<Upload, RequeueError> {
    let failure = match storage.status(id).await? {
        UploadStatus::Failed(failure) => failure,
        UploadStatus::Ready(_) => return Err(RequeueError::Ready),
        UploadStatus::Pending(_) => return Err(RequeueError::Queued),
        UploadStatus::Gone(_) => return Err(RequeueError::Gone),
        UploadStatus::Unknown => return Err(RequeueError::Unknown),
    };
    let mut record = failure.record.next_generation();
    record.bulk |= place.bulk;
    if !storage.create_pending(&record).await? {
        return Err(RequeueError::Queued);
    }
    failpoint::hit("after-record", &record.name).await;
    // A slow worker may have stored a result meanwhile, while clients have seen the new generation queued.
    if let Some(result) = storage.result(id).await? {
        storage.raise_result(result, record.generation).await?;
        storage.remove_pending(record.job()).await?;
        return Err(RequeueError::Ready);
    }
    // A deletion creates its tombstone before it removes pending entries, so one of the two sees the other.
    if storage.is_gone(id).await? {
        storage.remove_pending(record.job()).await?;
        return Err(RequeueError::Gone);
    }
    let posting = Posting { client: place.client, ..Posting::of_client(record.clone()) };
    if let Err(error) = queue.publish(posting).await {
        let error = &error as &dyn std::error::Error;
        warn!(%id, error, "could not post the job of a requeued upload; the sweeper posts it");
    }
    info!(%id, generation = record.generation, "a failed upload is requeued");
    let upload = Upload::queued(&record, &LinkBase::default());
    let changed = Changed::new(upload, record.lane());
    if let Err(error) = announcer.announce(&changed, record.traceparent.as_deref()).await {
        let error = &error as &dyn std::error::Error;
        warn!(%id, error, "could not announce a requeued upload; servers find it in storage");
    }
    Ok(changed.upload)
}
