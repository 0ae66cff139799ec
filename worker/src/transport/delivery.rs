//! One delivery of a job: the work, and the ways to settle it.

use std::time::Duration;

use async_trait::async_trait;
use strum::{EnumString, IntoStaticStr};

use super::{ClientTag, TransportError};
use crate::contract::{
    id::UploadId,
    message::{Changed, ResizeJob},
};

/// One delivery of a job. If it is dropped unsettled, for instance by a panic, it counts as failed and is redelivered.
pub struct Delivery {
    /// The work.
    pub task: Task,
    /// The number of deliveries and failures.
    pub tries: Tries,
    /// W3C trace context of the posting.
    pub traceparent: Option<String>,
    /// The client of the posting, if the transport keeps it.
    pub client: Option<ClientTag>,
    /// Settles the delivery.
    pub receipt: Box<dyn Receipt>,
}

/// The number of deliveries and failures of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries {
    /// Deliveries, this one included: 1 is the first delivery.
    pub deliveries: u32,
    /// Deliveries that ended in [`Delivery::retry`].
    pub failures: u32,
}

impl Tries {
    /// Whether an earlier delivery was never settled: its process died, or lost the queue.
    #[must_use]
    pub const fn is_redelivery(self) -> bool {
        self.deliveries > self.failures.saturating_add(1)
    }
}

/// The work of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Make thumbnails.
    Resize(ResizeJob),
    /// The job is dead: store that its upload failed, and announce it.
    Bury(DeadLetter),
}

impl Task {
    /// The id of the upload, if it is known.
    #[must_use]
    pub fn id(&self) -> Option<UploadId> {
        match self {
            Self::Resize(job) => Some(job.id),
            Self::Bury(letter) => letter.id,
        }
    }
}

/// A dead letter: a job that is not retried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its upload, if it is known.
    pub id: Option<UploadId>,
    /// Its generation, if it is known.
    pub generation: Option<u32>,
    /// The job, if the message is readable.
    pub job: Option<ResizeJob>,
    /// The reason.
    pub reason: DeathReason,
}

/// Why a job is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum DeathReason {
    /// It failed on every try.
    Exhausted,
    /// The processes that worked on it died.
    KilledItsWorkers,
    /// The message cannot be read.
    Unreadable,
    /// It was not consumed within a time that an operator's policy set. This is not a failure: the job is posted again.
    Expired,
}

impl DeathReason {
    /// The name on the wire and in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Reads a name; an unknown one counts as exhausted.
    pub(crate) fn from_name(name: &str) -> Self {
        name.parse().unwrap_or(Self::Exhausted)
    }
}

/// Why a message is not a job, for the log.
pub(super) type UnreadableJob = Box<dyn std::error::Error + Send + Sync>;

/// Reads the body of a message as a job. A message id, if there is one, must be the id of the upload.
pub(super) fn read_job(body: &[u8], message_id: Option<&str>) -> Result<ResizeJob, UnreadableJob> {
    let job = ResizeJob::decode(body)?;
    match message_id {
        Some(id) if id != job.id.to_string() => Err("the message id is that of another upload".into()),
        _ => Ok(job),
    }
}

/// Whether settling had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The delivery is settled.
    Done,
    /// The job was already redelivered to another worker.
    Stale,
}

/// The adapter's side of a delivery. Each call settles it, once.
#[async_trait]
pub trait Receipt: Send + Sync {
    /// See [`Delivery::finish`].
    async fn finish(self: Box<Self>, changed: Option<Changed>) -> Result<Settled, TransportError>;
    /// See [`Delivery::retry`].
    async fn retry(self: Box<Self>, after: Duration) -> Result<Settled, TransportError>;
    /// See [`Delivery::postpone`].
    async fn postpone(self: Box<Self>, after: Duration) -> Result<Settled, TransportError>;
    /// See [`Delivery::dead_letter`].
    async fn dead_letter(self: Box<Self>, reason: DeathReason) -> Result<Settled, TransportError>;
    /// See [`Delivery::release`].
    async fn release(self: Box<Self>) -> Result<Settled, TransportError>;
}

impl Delivery {
    /// Announces how the upload ended, at best effort, and acknowledges: the job is done, or, of a burial, the dead
    /// letter stays until an operator handles it. This is one step, so that no job is acknowledged before its end is
    /// announced.
    ///
    /// # Errors
    /// When the transport could not acknowledge; the job is redelivered.
    pub async fn finish(self, changed: Changed) -> Result<Settled, TransportError> {
        self.receipt.finish(Some(changed)).await
    }

    /// Acknowledges without an announcement.
    ///
    /// # Errors
    /// See [`finish`](Self::finish).
    pub async fn ack(self) -> Result<Settled, TransportError> {
        self.receipt.finish(None).await
    }

    /// The job failed and is retried after a delay.
    ///
    /// # Errors
    /// When the transport could not be reached; the job is delivered again, perhaps sooner.
    pub async fn retry(self, after: Duration) -> Result<Settled, TransportError> {
        self.receipt.retry(after).await
    }

    /// The job could not be tried for reasons outside it. It is redelivered after a delay, and no failure is counted.
    ///
    /// # Errors
    /// See [`retry`](Self::retry).
    pub async fn postpone(self, after: Duration) -> Result<Settled, TransportError> {
        self.receipt.postpone(after).await
    }

    /// The job is not retried. It becomes a dead letter and is delivered once more, as a burial.
    ///
    /// # Errors
    /// When the transport could not be reached; the job is delivered again.
    pub async fn dead_letter(self, reason: DeathReason) -> Result<Settled, TransportError> {
        self.receipt.dead_letter(reason).await
    }

    /// The job was not tried, because its worker drains. It is redelivered at once, and no failure is counted.
    ///
    /// # Errors
    /// When the transport could not be reached; the job is delivered again when the process ends.
    pub async fn release(self) -> Result<Settled, TransportError> {
        self.receipt.release().await
    }
}
