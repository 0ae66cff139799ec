//! The transport port: how jobs reach workers, and how their completions come back.
//!
//! ```text
//!             publish                       next                    ack
//!  server ───────────────► jobs of a lane ────────► worker ──────────────────► gone
//!    ▲                          ▲                    │ │ retry(after)
//!    │                          ├────────────────────┼─┘ release
//!    │                          │ burial             │ dead_letter(reason), or its process died too often
//!    │                          └──── dead letters ◄─┘
//!    └───────────────────── announcements ◄── announce
//! ```
//!
//! What every adapter guarantees, and the conformance suite in `integration-tests` holds it to:
//!
//! 1. **Published is safe.** When [`publish`](Transport::publish) answers `Ok`, the job survives the death of any
//!    process and of the broker. When it answers an error, or its future is dropped, the job may or may not be there.
//! 2. **At least once.** A job is delivered until one delivery of it is settled. A delivery whose process dies is
//!    delivered again, on an embedded transport within two seconds.
//! 3. **Settling is fenced.** A delivery that has meanwhile been given to somebody else settles nothing and says
//!    [`Settled::Stale`].
//! 4. **Dead letters are attended.** A job that was dead-lettered, for whatever reason, is delivered once more, as a
//!    [`Task::Bury`], so that somebody can write down that it failed. Acknowledged, it stays among the dead letters.
//! 5. **Announcements reach every listener** that listened when they were made, or the listener is told
//!    [`Heard::Interrupted`] and asks storage instead.
//! 6. **Adapters heal themselves.** [`Deliveries::next`] and [`Announcements::next`] outlive every outage; only
//!    [`Transport::close`] ends them.

pub mod broker_url;
pub mod dead;
pub mod rabbitmq;
pub mod sqlite;

use std::{num::NonZeroUsize, time::Duration};

use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::dead::DeadJob;
use crate::{Announcement, ResizeJob, UploadId};

/// Which queue a job waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Lane {
    /// Somebody waits for it.
    #[default]
    Interactive,
    /// Part of a large run; never delays an interactive job by more than the one that is being worked on.
    Bulk,
}

/// A job on its way into a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// The message.
    pub job: ResizeJob,
    /// The generation that the job is for. A transport that can tell drops a second posting of the same generation
    /// while the first is not settled.
    pub generation: u32,
    /// The queue.
    pub lane: Lane,
    /// W3C trace context, carried in the headers.
    pub traceparent: Option<String>,
}

/// The port. Adapters are named by technology and live in `transport/`.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Posts a job; see guarantee 1. The caller retries.
    async fn publish(&self, posting: Posting) -> Result<(), TransportError>;

    /// Begins to take deliveries, at most `prefetch` unsettled at a time.
    async fn consume(&self, prefetch: NonZeroUsize) -> Result<Box<dyn Deliveries>, TransportError>;

    /// Tells every listener. The caller retries.
    async fn announce(
        &self,
        announcement: &Announcement,
        traceparent: Option<&str>,
    ) -> Result<(), TransportError>;

    /// Begins to listen: what is announced from now on is heard.
    async fn listen(&self) -> Result<Box<dyn Announcements>, TransportError>;

    /// How much lies where, now.
    async fn depth(&self) -> Result<Depth, TransportError>;

    /// The dead letters that rest, oldest first, at most [`dead::MAX_LISTED`].
    async fn dead_letters(&self) -> Result<Vec<DeadJob>, TransportError>;

    /// Removes every message of a dead letter; answers how many there were.
    async fn forget_dead(&self, dead: &DeadJob) -> Result<usize, TransportError>;

    /// Whether jobs can be posted, as far as can be told without posting one.
    async fn check(&self) -> Result<(), TransportError>;

    /// How many times since it was opened the queue was begun anew, as far as is known: jobs that had been posted may be
    /// gone.
    fn times_begun_anew(&self) -> u64 {
        0
    }

    /// Ends deliveries and announcements. Unsettled deliveries can still be settled, until [`leave`](Self::leave).
    async fn close(&self);

    /// The last that a process does: takes leave of a broker, which else would take its end for a fault.
    async fn leave(&self) {
        self.close().await;
    }
}

/// A stream of jobs.
#[async_trait]
pub trait Deliveries: Send {
    /// The next job; waits while there is none or `prefetch` are unsettled. `None` after [`Transport::close`].
    /// Dropping the future loses no delivery.
    async fn next(&mut self) -> Option<Delivery>;
}

/// Works on every delivery, each on a task of its own, until `stopped`, and then finishes what was begun.
pub async fn work<F: Future<Output = ()> + Send + 'static>(
    mut deliveries: Box<dyn Deliveries>,
    stopped: &CancellationToken,
    step: impl Fn(Delivery) -> F,
) {
    let mut jobs = JoinSet::new();
    loop {
        let delivery = tokio::select! {
            biased;
            () = stopped.cancelled() => break,
            Some(_) = jobs.join_next(), if !jobs.is_empty() => continue,
            delivery = deliveries.next() => delivery,
        };
        let Some(delivery) = delivery else { break };
        jobs.spawn(step(delivery));
    }
    // Before the jobs are waited for: somebody else may have what was not handed out.
    drop(deliveries);
    jobs.join_all().await;
}

/// A stream of what is announced.
#[async_trait]
pub trait Announcements: Send {
    /// The next announcement. `None` after [`Transport::close`]. Dropping the future loses none.
    async fn next(&mut self) -> Option<Heard>;
}

/// What a listener hears.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// An announcement, and the trace that it belongs to.
    Announcement(Announcement, Option<String>),
    /// Some may have been missed.
    Interrupted,
}

/// One job, once delivered. Dropped unsettled (a panic does that), it counts as failed and comes again.
pub struct Delivery {
    /// What is to be done.
    pub task: Task,
    /// The lane that the job came by.
    pub lane: Lane,
    /// The generation that the job was posted for, where the posting said so.
    pub generation: Option<u32>,
    /// How many times it has been delivered, this one included: 1 means for the first time.
    pub attempt: u32,
    /// How many deliveries ended in [`Delivery::retry`].
    pub failures: u32,
    /// W3C trace context of the posting.
    pub traceparent: Option<String>,
    receipt: Box<dyn Receipt>,
}

/// What is to be done with a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Make thumbnails.
    Resize(ResizeJob),
    /// The job is dead: write down that its upload failed, and tell whoever waits.
    Bury(DeadLetter),
}

/// A job that will not be tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Whose job it was, where that could still be told.
    pub id: Option<UploadId>,
    /// Why it is dead.
    pub reason: DeathReason,
}

/// Why a job is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeathReason {
    /// It failed every time that it was tried.
    Exhausted,
    /// The processes that worked on it died.
    KilledItsWorkers,
    /// The message cannot be read.
    Unreadable,
}

impl DeathReason {
    /// The name on the wire and in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            DeathReason::Exhausted => "exhausted",
            DeathReason::KilledItsWorkers => "killed-its-workers",
            DeathReason::Unreadable => "unreadable",
        }
    }

    /// Reads a name; what is unknown counts as exhausted.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "killed-its-workers" => Self::KilledItsWorkers,
            "unreadable" => Self::Unreadable,
            _ => Self::Exhausted,
        }
    }
}

/// Whether settling did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It did.
    Done,
    /// The job had already been given to somebody else.
    Stale,
}

/// The adapter's side of a delivery. Each call settles it, once.
#[async_trait]
pub trait Receipt: Send + Sync {
    /// See [`Delivery::ack`].
    async fn ack(self: Box<Self>) -> Result<Settled, TransportError>;
    /// See [`Delivery::retry`].
    async fn retry(self: Box<Self>, after: Duration) -> Result<Settled, TransportError>;
    /// See [`Delivery::dead_letter`].
    async fn dead_letter(self: Box<Self>, reason: DeathReason) -> Result<Settled, TransportError>;
    /// See [`Delivery::release`].
    async fn release(self: Box<Self>) -> Result<Settled, TransportError>;
}

impl Delivery {
    /// Puts a delivery together; for adapters.
    #[must_use]
    pub fn new(
        task: Task,
        lane: Lane,
        generation: Option<u32>,
        attempt: u32,
        failures: u32,
        traceparent: Option<String>,
        receipt: Box<dyn Receipt>,
    ) -> Self {
        Self { task, lane, generation, attempt, failures, traceparent, receipt }
    }

    /// It is done: the job is gone, or, of a burial, the dead letter rests.
    ///
    /// # Errors
    /// When the transport could not be told; the job comes again.
    pub async fn ack(self) -> Result<Settled, TransportError> {
        self.receipt.ack().await
    }

    /// It failed and is worth another try after a while.
    ///
    /// # Errors
    /// When the transport could not be told; the job comes again, perhaps sooner.
    pub async fn retry(self, after: Duration) -> Result<Settled, TransportError> {
        self.receipt.retry(after).await
    }

    /// It is not worth another try: it becomes a dead letter and comes back as a burial.
    ///
    /// # Errors
    /// When the transport could not be told; the job comes again.
    pub async fn dead_letter(self, reason: DeathReason) -> Result<Settled, TransportError> {
        self.receipt.dead_letter(reason).await
    }

    /// It was not tried, because its worker drains: somebody else may have it at once.
    ///
    /// # Errors
    /// When the transport could not be told; the job comes again when the process ends.
    pub async fn release(self) -> Result<Settled, TransportError> {
        self.receipt.release().await
    }
}

/// How much lies where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Jobs that a worker could have now.
    pub ready: u64,
    /// Jobs that wait for their next try.
    pub delayed: u64,
    /// Jobs that a worker has, where the transport can tell.
    pub unacked: Option<u64>,
    /// Dead letters, buried or not.
    pub dead: u64,
    /// How long the oldest job that is not dead has been there, where the transport can tell.
    pub oldest: Option<Duration>,
}

impl Depth {
    /// Every job that has not ended.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.ready + self.delayed + self.unacked.unwrap_or(0)
    }
}

/// Why a transport did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// It holds as many jobs as it may, or its disk is full.
    #[error("the queue is full")]
    Full,
    /// There is no room on its disk.
    #[error("no room on the disk of the queue")]
    DiskFull,
    /// The broker is short of memory or disk, and takes nothing until that has passed.
    #[error("the broker takes no messages for now")]
    Blocked,
    /// It was closed.
    #[error("the queue is closed")]
    Closed,
    /// Anything else, worth another try.
    #[error("could not {attempted} on the queue")]
    Unavailable {
        /// What, as a verb phrase.
        attempted: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
