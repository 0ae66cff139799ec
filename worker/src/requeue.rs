//! A failed upload is posted again: by a client's retry and by an operator's replay, in one way.
//!
//! The entry of the next generation is created first, so of two that requeue at the same time one does. Should the
//! process die after that, the sweeper finds an upload that has not ended.

use tracing::{info, warn};

use crate::{
    contract::{id::UploadId, link::LinkBase, message::Changed, upload::Upload},
    failpoint,
    storage::{Storage, StorageError, UploadStatus},
    transport::{Announcer, JobQueue, Posting},
};

/// Why an upload was not requeued.
#[derive(Debug, thiserror::Error)]
pub enum RequeueError {
    /// Storage knows no such upload.
    #[error("storage knows no such upload")]
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

/// Requeues a failed upload and tells every server; answers its new state. A job that cannot be posted now is posted by
/// the sweeper.
///
/// # Errors
/// As [`RequeueError`] says. After `Storage` the upload may be requeued all the same; the sweeper posts it then.
pub async fn requeue(
    storage: &Storage,
    queue: &dyn JobQueue,
    announcer: &dyn Announcer,
    id: UploadId,
) -> Result<Upload, RequeueError> {
    let failure = match storage.status(id).await? {
        UploadStatus::Failed(failure) => failure,
        UploadStatus::Ready(_) => return Err(RequeueError::Ready),
        UploadStatus::Pending(_) => return Err(RequeueError::Queued),
        UploadStatus::Gone => return Err(RequeueError::Gone),
        UploadStatus::Unknown => return Err(RequeueError::Unknown),
    };
    let record = failure.record.next_generation();
    if !storage.create_pending(&record).await? {
        return Err(RequeueError::Queued);
    }
    failpoint::hit("after-record", &record.name).await;
    // A slow worker may have stored a result meanwhile. Clients may have seen the new generation queued.
    if let Some(result) = storage.result(id).await? {
        storage.raise_result(result, record.generation).await?;
        storage.remove_pending(record.job()).await?;
        return Err(RequeueError::Ready);
    }
    if let Err(error) = queue.publish(Posting::of_client(record.clone())).await {
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
