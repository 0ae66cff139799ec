//! The consumer works on one delivery: make and store the thumbnails, store the result, announce and acknowledge, and
//! last remove the pending entry.
//!
//! The process may die after any step, and any step may have been done before:
//!
//! | died after | the next delivery finds | the next delivery does |
//! | --- | --- | --- |
//! | receiving | nothing, or the mark that it was begun | everything |
//! | storing thumbnails | the files of an unfinished making | everything, under a new token, and removes the other making |
//! | storing the result | the result | announces, acknowledges, removes the pending entry |
//! | storing the failure | the failure of its generation | removes the pending entry, announces, acknowledges |
//! | a deletion, at any step | the tombstone | removes everything, announces the deletion, acknowledges |
//! | acknowledging | there is no next delivery | the sweeper removes the pending entry |
//!
//! A first delivery reads the original, and after its result the tombstone. A redelivery, a job of a later generation, or
//! one that was posted again first checks whether the upload was deleted or has ended. A redelivery that is begun leaves a
//! mark in storage: a broker also counts the returns of jobs that only waited in a worker's memory, and a job without
//! marks has killed nobody.
//!
//! The pending entry of a *failed* generation is removed before the announcement: a client that receives the failure
//! may retry at once. Errors of storage and of decoder starts are not counted against a job: it is postponed, and the
//! worker consumes no jobs until storage responds and decoders start.

mod burial;
mod failures;
mod finishing;
mod retries;
mod running;
mod settling;
mod transient;

use std::sync::{Arc, OnceLock};

use base64::{Engine, prelude::BASE64_STANDARD};
use futures::future::join_all;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

#[cfg(test)]
pub(crate) use self::retries::RETRY_DELAYS;
pub use self::{failures::FAILURE_KINDS, running::RELEASE_AFTER};
use self::{
    failures::{failure_of_kind, failure_of_picture},
    transient::TransientError,
};
use crate::{
    clock,
    contract::{
        failure::{Failure, UploadFailure},
        format::Format,
        link::LinkBase,
        message::{Changed, ResizeJob},
        record::{JobName, UploadRecord},
        result::{Making, UploadResult},
        upload::Upload,
    },
    failpoint,
    maker::{Make, MakeError},
    original::Original,
    probe,
    storage::{Storage, StorageError, UploadEnd},
    telemetry::timed,
    thumbnail::{Thumbnail, ThumbnailSet},
    transport::{Transport, Tries},
};

/// Works on deliveries.
pub struct Consumer {
    storage: Storage,
    transport: Arc<dyn Transport>,
    maker: Box<dyn Make>,
    /// Cancelled when the worker drains.
    draining: CancellationToken,
    /// When that was noticed.
    drains_since: OnceLock<Instant>,
    /// Whether storage or decoders are unavailable.
    outage: watch::Sender<bool>,
}

/// The outcome of a delivery's work.
struct WorkDone {
    job: Option<JobName>,
    /// The file name, for failpoints.
    name: String,
    /// The change to announce.
    changed: Option<Changed>,
    /// Whether this delivery counts and logs the end. Of several deliveries for one end it is the one that stored it,
    /// or a redelivery: the worker before it may have died first.
    tells_end: bool,
    /// The winning making, if makings of dead workers may be left beside it. `None` for a failure: another worker may
    /// be about to store a result with its making.
    leftovers: Option<Making>,
}

impl WorkDone {
    /// The job needs no announcement.
    fn nothing(job: Option<JobName>) -> Self {
        Self { job, name: String::new(), changed: None, tells_end: false, leftovers: None }
    }

    /// The same; `tells_end` is decided by the caller.
    fn told(self, tells_end: bool) -> Self {
        Self { tells_end, ..self }
    }
}

impl Consumer {
    pub(crate) fn new(
        storage: Storage,
        transport: Arc<dyn Transport>,
        maker: Box<dyn Make>,
        draining: CancellationToken,
    ) -> Self {
        let (drains_since, outage) = (OnceLock::new(), watch::Sender::new(false));
        Self { storage, transport, maker, draining, drains_since, outage }
    }

    /// Makes the thumbnails of one upload.
    async fn resize(&self, job: &ResizeJob, tries: Tries) -> Result<WorkDone, TransientError> {
        let (record, deliveries) = (&job.record, tries.deliveries);
        let repeated = deliveries > 1 || job.generation > 1 || job.again;
        if repeated {
            if self.storage.is_gone(job.id).await? {
                return Ok(self.drop_deleted(record).await?.told(!job.again || tries.is_redelivery()));
            }
            if let Some(ended) = self.storage.end_of(job.name()).await? {
                return Ok(self.ended(job.name(), ended, true).await?.told(tries.is_redelivery()));
            }
        }
        // A refused upload has no pending entry, and nothing of it may be left.
        if deliveries > 1 && self.storage.has_pending(job.name()).await? {
            self.storage.mark_begun(job.name()).await?;
        }
        failpoint::hit("job-started", &record.name).await;
        let original = match timed("fetch", self.storage.open_original(job.id)).await {
            Ok(original) => original,
            Err(StorageError::NotFound(key)) => return self.original_gone(record, &key, repeated).await,
            Err(error) => return Err(error.into()),
        };
        match timed("make", self.make(record, original)).await {
            Ok(made) => self.store(record, made, repeated).await,
            Err(MakeError::Picture(error)) => {
                info!(reason = error.code(), detail = error.detail(), %error, "the picture cannot be processed");
                self.fail(record, failure_of_picture(&error), repeated).await
            }
            Err(MakeError::Unreadable(error)) => Err(self.storage.unreadable_original(job.id, error).into()),
            Err(error) => Err(error.into()),
        }
    }

    async fn make(&self, record: &UploadRecord, original: Original) -> Result<ThumbnailSet, MakeError> {
        let format = match record.format {
            // Accepted by a newer build: the bytes are sniffed again.
            Format::Unknown => match original.sniff().await? {
                probe::Sniff::Format(format) => format,
                _ => {
                    return Err(MakeError::Machine(
                        "the format of the upload is unknown to this build".into(),
                    ));
                }
            },
            format => format,
        };
        let made = self.maker.make(original, format, record.lane().into()).await?;
        if (made.width, made.height) != (record.width, record.height) {
            let (width, height) = (made.width, made.height);
            warn!(width, height, "the sides of the picture differ from those in its record");
        }
        Ok(made)
    }

    /// Stores the thumbnails, and then the result.
    async fn store(
        &self,
        record: &UploadRecord,
        made: ThumbnailSet,
        repeated: bool,
    ) -> Result<WorkDone, TransientError> {
        let making = Making::new(rand::random());
        let facts = made.thumbnails.iter().map(Thumbnail::fact).collect();
        let files = made.thumbnails.into_iter().flat_map(Thumbnail::into_files);
        let put = files.map(|(size, encoding, bytes)| {
            self.storage.put_thumbnail(record.id, making, size, encoding, bytes.into())
        });
        // Waits for every put: one that continued could write a file after its making was removed.
        let stored = timed("store", join_all(put)).await;
        let result = match stored.into_iter().collect::<Result<(), StorageError>>() {
            Ok(()) => {
                failpoint::hit("before-outcome", &record.name).await;
                let result = UploadResult {
                    record: record.clone(),
                    making,
                    ended_at: clock::now(),
                    thumbnails: facts,
                    thumbhash: BASE64_STANDARD.encode(made.thumbhash),
                    warnings: made.warnings,
                };
                timed("store", self.storage.store_result(&result)).await
            }
            Err(error) => Err(error),
        };
        let winner = match result {
            Ok(winner) => winner,
            Err(error) => {
                // The thumbnails are orphans, unless the result was stored and only the response was lost. If that is
                // unknown, the audit removes them later.
                match self.storage.result(record.id).await {
                    Ok(Some(stored)) if stored.making == making => stored,
                    Ok(_) => {
                        let _ = self.storage.remove_making(record.id, making).await;
                        return Err(error.into());
                    }
                    Err(_) => return Err(error.into()),
                }
            }
        };
        failpoint::hit("after-outcome", &record.name).await;
        if winner.making != making {
            info!("another worker stored its result first");
            self.storage.remove_making(record.id, making).await?;
        }
        if self.storage.is_gone(record.id).await? {
            return self.drop_deleted(record).await;
        }
        let is_ours = winner.making == making;
        Ok(self.ended(record.job(), UploadEnd::Ready(winner), repeated).await?.told(is_ours))
    }

    /// Stores that a generation failed, unless the upload is ready.
    async fn fail(
        &self,
        record: &UploadRecord,
        problem: Failure,
        repeated: bool,
    ) -> Result<WorkDone, TransientError> {
        let failure = UploadFailure { record: record.clone(), ended_at: clock::now(), problem };
        failpoint::hit("before-outcome", &record.name).await;
        let ended = timed("store", self.storage.store_failure(&failure)).await?;
        failpoint::hit("after-outcome", &record.name).await;
        if self.storage.is_gone(record.id).await? {
            return self.drop_deleted(record).await;
        }
        let is_ours = matches!(&ended, UploadEnd::Failed(stored) if *stored == failure);
        Ok(self.ended(record.job(), ended, repeated).await?.told(is_ours))
    }

    async fn original_gone(
        &self,
        record: &UploadRecord,
        key: &str,
        repeated: bool,
    ) -> Result<WorkDone, TransientError> {
        if self.storage.is_gone(record.id).await? {
            return self.drop_deleted(record).await;
        }
        if !self.storage.has_pending(record.job()).await? {
            info!("the upload was refused after its job was posted; the job is dropped");
            return Ok(WorkDone::nothing(Some(record.job())));
        }
        error!(key, "the original is not in storage");
        self.fail(record, failure_of_kind("original-gone", "The file is no longer there."), repeated).await
    }

    /// Removes everything that was made of a deleted upload, and announces the deletion again: a server may have read
    /// the result before it was removed.
    async fn drop_deleted(&self, record: &UploadRecord) -> Result<WorkDone, TransientError> {
        info!("the upload was deleted; its job is dropped");
        self.storage.remove_everything(record.id).await?;
        Ok(WorkDone {
            job: Some(record.job()),
            name: record.name.clone(),
            changed: Some(Changed::new(Upload::gone(record.id, record.generation), record.lane())),
            tells_end: true,
            leftovers: None,
        })
    }

    /// Builds the announcement and the cleanup of an ended upload.
    async fn ended(
        &self,
        job: JobName,
        ended: UploadEnd,
        repeated: bool,
    ) -> Result<WorkDone, TransientError> {
        let (upload, lane, winner) = match ended {
            UploadEnd::Ready(result) => {
                let result = self.storage.raise_result(result, job.generation).await?;
                let upload = Upload::ready(&result, &LinkBase::default());
                (upload, result.record.lane(), Some(result.making))
            }
            UploadEnd::Failed(failure) => {
                // Before the announcement: a client that receives the failure may retry at once.
                self.storage.remove_pending(job).await?;
                (Upload::failed(&failure, &LinkBase::default()), failure.record.lane(), None)
            }
        };
        Ok(WorkDone {
            job: Some(job),
            name: upload.name.clone(),
            changed: Some(Changed::new(upload, lane)),
            tells_end: false,
            leftovers: winner.filter(|_| repeated),
        })
    }
}

#[cfg(test)]
mod tests;
