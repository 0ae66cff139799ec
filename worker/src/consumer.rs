//! What a worker does with a delivery: make, store, write the outcome, announce, and acknowledge last.
//!
//! Every step can be the last before the process dies, and every step may find that it was done before:
//!
//! | died after | what the next delivery finds | what it does |
//! | --- | --- | --- |
//! | receiving | no outcome | everything |
//! | storing thumbnails | no outcome | everything, writing the same bytes |
//! | writing the outcome | the outcome | announces, acknowledges |
//! | announcing | the outcome | announces again, which does no harm, and acknowledges |

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

use crate::{
    Announcement, LinkBase, Outcome, ResizeJob, Storage, Upload, UploadId, UploadRecord,
    confinement::StartError,
    failpoint,
    maker::{MakeError, Maker},
    outcome::{ThumbnailFact, Verdict, now},
    storage::StorageError,
    telemetry::{self, timed},
    thumbnail::{Made, Thumbnail, ThumbnailError},
    trace::TraceParent,
    transport::{self, DeadLetter, DeathReason, Delivery, Settled, Task, Transport, TransportError},
    upload::Failure,
};

/// How long a job rests after its first, second and third failure. After one more it is dead: what has not passed in
/// five minutes wants an operator.
pub const RETRY_DELAYS: [Duration; 3] =
    [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(300)];

/// Bytes of the digest that becomes an ETag: enough that no two thumbnails share one.
const ETAG_BYTES: usize = 16;

/// Works on deliveries.
pub struct Consumer {
    /// Where originals come from and thumbnails go.
    pub storage: Storage,
    /// Where deliveries come from and announcements go.
    pub transport: Arc<dyn Transport>,
    /// Who makes thumbnails.
    pub(crate) maker: Maker,
}

/// A failure that may pass; the job is tried again.
#[derive(Debug, thiserror::Error)]
enum Passing {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl Consumer {
    /// Works on up to `slots` deliveries at a time until `draining`, then finishes those that it has.
    ///
    /// # Errors
    /// When the transport gives no deliveries at all.
    pub async fn run(
        self: Arc<Self>,
        slots: NonZeroUsize,
        draining: CancellationToken,
    ) -> Result<(), TransportError> {
        let deliveries = self.transport.consume(slots).await?;
        transport::work(deliveries, &draining, |delivery| {
            let consumer = Arc::clone(&self);
            async move { consumer.step(delivery).await }
        })
        .await;
        Ok(())
    }

    /// Works on one delivery and settles it.
    pub async fn step(&self, delivery: Delivery) {
        let (id, attempt) = match &delivery.task {
            Task::Resize(job) => (Some(job.id), delivery.attempt),
            Task::Bury(letter) => (letter.id, delivery.attempt),
        };
        let trace_id = TraceParent::trace_id_of(delivery.traceparent.as_deref()).map(tracing::field::display);
        let span = info_span!("job", id = id.map(tracing::field::display), attempt, trace_id);
        let settled = self.settle(delivery).instrument(span).await;
        match settled {
            Ok(Settled::Done) => {}
            Ok(Settled::Stale) => {
                warn!(id = id.map(tracing::field::display), "somebody else has the job by now")
            }
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "a job was not settled and will come again");
            }
        }
    }

    async fn settle(&self, delivery: Delivery) -> Result<Settled, TransportError> {
        if matches!(delivery.task, Task::Resize(_)) && spent(delivery.failures) {
            return delivery.dead_letter(DeathReason::Exhausted).await;
        }
        let traceparent = delivery.traceparent.clone();
        let done = match &delivery.task {
            Task::Resize(job) => self.resize(job, delivery.attempt, traceparent.as_deref()).await,
            Task::Bury(letter) => self.bury(letter, delivery.generation, traceparent.as_deref()).await,
        };
        match (done, &delivery.task) {
            (Ok(()), _) => {
                failpoint::hit("before-ack", "").await;
                delivery.ack().await
            }
            (Err(error), Task::Resize(_)) if spent(delivery.failures + 1) => {
                error!(error = &error as &dyn std::error::Error, "a job failed for the last time");
                telemetry::job("dead");
                delivery.dead_letter(DeathReason::Exhausted).await
            }
            (Err(error), _) => {
                let after = retry_delay(delivery.failures);
                telemetry::job("retried");
                warn!(
                    error = &error as &dyn std::error::Error,
                    ?after,
                    "a job failed and will be tried again"
                );
                delivery.retry(after).await
            }
        }
    }

    /// Makes and announces the thumbnails of one upload.
    async fn resize(&self, job: &ResizeJob, attempt: u32, trace: Option<&str>) -> Result<(), Passing> {
        let Some(record) = self.storage.record(job.id).await? else {
            warn!("the upload is gone, and so is its job");
            return Ok(());
        };
        if let Some(outcome) = self.outcome_of(&record).await? {
            return self.announce(&record, &outcome, trace).await;
        }
        self.announce_started(job.id, trace).await;
        failpoint::hit("job-started", &record.name).await;
        let outcome = match timed("fetch", self.storage.original(job.id)).await {
            Ok(original) => self.make(&record, job, original).await?,
            Err(StorageError::NotFound(key)) => {
                error!(%key, "the original is gone");
                failed(&record, original_gone())
            }
            Err(error) => return Err(error.into()),
        };
        failpoint::hit("before-outcome", &record.name).await;
        timed("store", self.storage.put_outcome(job.id, &outcome)).await?;
        if attempt > 1 {
            self.storage.remove_staged_thumbnails(job.id);
        }
        failpoint::hit("after-outcome", &record.name).await;
        self.announce(&record, &outcome, trace).await
    }

    /// Makes and stores the thumbnails; a picture that is at fault is an outcome too.
    async fn make(
        &self,
        record: &UploadRecord,
        job: &ResizeJob,
        original: Bytes,
    ) -> Result<Outcome, Passing> {
        match timed("make", self.maker.make(original, job.format)).await {
            Ok(made) => {
                if (made.width, made.height) != (record.width, record.height) {
                    warn!(
                        width = made.width,
                        height = made.height,
                        "the picture is not as large as its record says"
                    );
                }
                Ok(self.store(record, made).await?)
            }
            Err(MakeError::Start(error)) => Err(error.into()),
            Err(MakeError::Picture(error)) => {
                info!(reason = error.code(), detail = error.detail(), %error, "the picture is at fault");
                Ok(failed(record, failure(&error)))
            }
        }
    }

    async fn store(&self, record: &UploadRecord, made: Made) -> Result<Outcome, StorageError> {
        let put = made.thumbnails.into_iter().map(async |thumbnail: Thumbnail| {
            let fact = fact(&thumbnail);
            self.storage.put_thumbnail(record.id, thumbnail.size, thumbnail.bytes.into()).await?;
            Ok::<_, StorageError>(fact)
        });
        let thumbnails = timed("store", futures::future::try_join_all(put)).await?;
        let thumbhash = BASE64_STANDARD.encode(made.thumbhash);
        let verdict = Verdict::Ready { thumbnails, thumbhash };
        Ok(Outcome { generation: record.generation, ended_at: now(), verdict })
    }

    /// Writes down that a dead job's upload failed, unless it ended otherwise, or goes round once more by now.
    async fn bury(
        &self,
        letter: &DeadLetter,
        generation: Option<u32>,
        trace: Option<&str>,
    ) -> Result<(), Passing> {
        error!(reason = letter.reason.name(), "a job is dead");
        let Some(id) = letter.id else { return Ok(()) };
        let Some(record) = self.storage.record(id).await? else {
            return Ok(());
        };
        if generation.is_some_and(|generation| generation < record.generation) {
            return Ok(());
        }
        let outcome = match self.outcome_of(&record).await? {
            Some(outcome) => outcome,
            None => {
                let outcome = failed(&record, death(letter.reason));
                self.storage.put_outcome(id, &outcome).await?;
                outcome
            }
        };
        self.storage.remove_staged_thumbnails(id);
        self.announce(&record, &outcome, trace).await
    }

    async fn outcome_of(&self, record: &UploadRecord) -> Result<Option<Outcome>, StorageError> {
        let outcome = self.storage.outcome(record.id).await?;
        Ok(outcome.filter(|outcome| outcome.generation == record.generation))
    }

    /// Best effort: a `Started` that is lost costs a word on a page.
    async fn announce_started(&self, id: UploadId, trace: Option<&str>) {
        if let Err(error) = self.transport.announce(&Announcement::started(id), trace).await {
            warn!(error = &error as &dyn std::error::Error, "could not announce that a job has begun");
        }
    }

    async fn announce(
        &self,
        record: &UploadRecord,
        outcome: &Outcome,
        trace: Option<&str>,
    ) -> Result<(), Passing> {
        let upload = Upload::assemble(record, Some(outcome), &LinkBase::default());
        info!(state = ?upload.state, "the upload has ended");
        if failpoint::hit("announce", &record.name).await == failpoint::Hit::Drop {
            return Ok(());
        }
        telemetry::ended(&upload);
        match timed("announce", self.transport.announce(&Announcement::completion(upload), trace)).await {
            // Storage has the outcome, and servers read again what is waited for: no reason to hold up other jobs.
            Err(error @ TransportError::Blocked) => {
                warn!(%error, "the end of an upload is not announced");
                Ok(())
            }
            announced => Ok(announced?),
        }
    }
}

/// Whether a job has failed as often as it may.
const fn spent(failures: u32) -> bool {
    failures as usize > RETRY_DELAYS.len()
}

/// How long a delivery rests that failed after so many earlier failures.
fn retry_delay(failures: u32) -> Duration {
    let last = RETRY_DELAYS.len() - 1;
    RETRY_DELAYS[usize::try_from(failures).unwrap_or(last).min(last)]
}

fn fact(thumbnail: &Thumbnail) -> ThumbnailFact {
    let digest = Sha256::digest(&thumbnail.bytes);
    ThumbnailFact {
        size: thumbnail.size,
        width: thumbnail.width,
        height: thumbnail.height,
        content_type: thumbnail.encoding,
        bytes: thumbnail.bytes.len() as u64,
        etag: digest[..ETAG_BYTES].iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// The kinds of [`Failure`] that this build writes: the last part of their `type`.
pub const FAILURE_KINDS: [&str; 8] = [
    "too-many-pixels",
    "cannot-be-decoded",
    "took-too-long",
    "too-much-memory",
    "original-gone",
    "exhausted",
    "killed-its-workers",
    "unreadable",
];

fn failed(record: &UploadRecord, problem: Failure) -> Outcome {
    Outcome { generation: record.generation, ended_at: now(), verdict: Verdict::Failed { problem } }
}

fn failure(error: &ThumbnailError) -> Failure {
    because(error.code(), error.to_string())
}

fn original_gone() -> Failure {
    because("original-gone", "The file is no longer there.")
}

fn death(reason: DeathReason) -> Failure {
    let title = match reason {
        DeathReason::Exhausted => "It failed again and again, so we stopped. Try again later.",
        DeathReason::KilledItsWorkers => "It crashed our worker every time, so we stopped.",
        DeathReason::Unreadable => "Its job could not be read. Try again.",
    };
    because(reason.name(), title)
}

fn because(kind: &str, title: impl Into<String>) -> Failure {
    debug_assert!(FAILURE_KINDS.contains(&kind), "{kind} is listed");
    Failure { kind: format!("/problems/{kind}"), title: title.into() }
}
