//! The transport port: how jobs reach workers, and how news of them comes back.
//!
//! ```text
//!             publish                       next                   finish
//!  server ───────────────► jobs of a lane ────────► worker ──────────────────► done
//!    ▲                          ▲                    │ │ retry(after), postpone(after)
//!    │                          ├────────────────────┼─┘ release
//!    │                          │ burial             │ dead_letter(reason), or its process died too often
//!    │                          └──── dead letters ◄─┘
//!    └───────────────────── announcements ◄── `processing` when a job is handed out, the end with finish
//! ```
//!
//! The port is split by role: [`JobQueue`], [`Announcer`], [`DeadLetters`]. *Burying* is beanstalkd's term for taking
//! a job out of circulation: here a worker also stores that its upload failed.
//!
//! What every adapter guarantees, and the conformance suite in `integration-tests` checks:
//!
//! 1. **Published is safe.** When [`publish`](JobQueue::publish) answers `Ok`, the job survives the death of any
//!    process and of the broker. When it answers an error, or its future is dropped, the job may or may not be there.
//! 2. **At least once.** A job is delivered until one delivery of it is settled. A delivery whose process dies is
//!    delivered again, on an embedded transport within two seconds.
//! 3. **Settling is fenced.** A delivery that has meanwhile been given to another worker settles nothing and answers
//!    [`Settled::Stale`].
//! 4. **Dead letters are buried.** A dead-lettered job is delivered once more, as a [`Task::Bury`], so that a worker can
//!    store that its upload failed. Acknowledged, it stays among the dead letters.
//! 5. **Announcements are best effort.** They reach every listener that listened when they were made, or the listener
//!    receives [`Heard::Interrupted`] and reads storage instead. No job fails because of one.
//! 6. **A job that is handed out is announced as `processing`**, without a wait and without a read of storage.
//! 7. **Adapters reconnect by themselves.** [`Deliveries::next`] and [`Announcements::next`] outlive every outage; only
//!    [`Transport::close`] ends them.
//! 8. **No clock of the wall decides when a job may be claimed.** A step of it delays nothing.

pub mod broker_url;
pub mod dead_job;
mod delivery;
pub mod rabbitmq;
pub mod sqlite;

use std::{num::NonZeroUsize, time::Duration};

use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::dead_job::DeadJob;
pub use self::delivery::{DeadLetter, DeathReason, Delivery, Receipt, Settled, Task, Tries};
use crate::contract::{
    message::{Changed, ResizeJob},
    record::{JobName, Lane, UploadRecord},
};

/// A job on its way into a queue. A transport that can tell drops a second posting of a generation while the first is
/// not settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// The message.
    pub job: ResizeJob,
    /// Whether the posting takes room.
    pub room: Room,
}

/// Whether a posting counts towards the capacity of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// A client's upload: refused when the queue is full.
    Counted,
    /// A lost job that is posted again: never refused for want of room, and never takes a client's.
    Uncounted,
}

impl Posting {
    /// The posting of an upload that a client sent or retried.
    #[must_use]
    pub const fn of_client(record: UploadRecord) -> Self {
        Self { job: ResizeJob::new(record), room: Room::Counted }
    }

    /// The posting of a lost job.
    #[must_use]
    pub const fn of_sweeper(record: UploadRecord) -> Self {
        Self { job: ResizeJob::new(record), room: Room::Uncounted }
    }
}

/// Takes jobs and hands them out.
#[async_trait]
pub trait JobQueue: Send + Sync + 'static {
    /// Posts a job; see guarantee 1. The caller retries.
    async fn publish(&self, posting: Posting) -> Result<(), TransportError>;

    /// Begins to take deliveries, at most `prefetch` unsettled at a time.
    async fn consume(&self, prefetch: NonZeroUsize) -> Result<Box<dyn Deliveries>, TransportError>;

    /// How many jobs are in which state.
    async fn depth(&self) -> Result<Depth, TransportError>;

    /// Jobs that have not ended and take room. Costs the same however many there are.
    async fn room_taken(&self) -> Result<u64, TransportError>;

    /// Which of these jobs of a lane the queue does not hold, as far as the transport can tell.
    async fn look_up(&self, lane: Lane, jobs: &[JobName]) -> Result<LookUp, TransportError>;

    /// Whether jobs can be posted, as far as can be told without posting one.
    async fn check(&self) -> Result<(), TransportError>;
}

/// Tells every server what changed.
#[async_trait]
pub trait Announcer: Send + Sync + 'static {
    /// Announces a change to every listener, at best effort. The caller logs an error and goes on.
    async fn announce(&self, changed: &Changed, traceparent: Option<&str>) -> Result<(), TransportError>;

    /// Begins to listen: what is announced from now on is received.
    async fn listen(&self) -> Result<Box<dyn Announcements>, TransportError>;
}

/// Jobs that are not tried again until an operator says so.
#[async_trait]
pub trait DeadLetters: Send + Sync + 'static {
    /// The dead letters, oldest first, at most [`dead_job::MAX_LISTED`].
    async fn dead_letters(&self) -> Result<Vec<DeadJob>, TransportError>;

    /// Removes every message of a dead letter; answers how many there were.
    async fn forget_dead(&self, dead: &DeadJob) -> Result<usize, TransportError>;
}

/// The whole port. Adapters are named by technology and live in `transport/`.
#[async_trait]
pub trait Transport: JobQueue + Announcer + DeadLetters {
    /// Ends deliveries and announcements. Unsettled deliveries can still be settled, until
    /// [`disconnect`](Self::disconnect).
    async fn close(&self);

    /// Closes the broker connection cleanly, as the last thing that a process does; otherwise the broker logs an
    /// abnormal disconnect.
    async fn disconnect(&self) {
        self.close().await;
    }
}

/// The answer of [`JobQueue::look_up`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookUp {
    /// The queue was searched for each job: these are not in it.
    Missing(Vec<JobName>),
    /// The queue cannot be searched. So many jobs of the lane wait or are delayed; deliveries at work are not counted.
    Waiting(u64),
}

/// A stream of jobs.
#[async_trait]
pub trait Deliveries: Send {
    /// The next job; waits while there is none or `prefetch` are unsettled. `None` after [`Transport::close`].
    /// Dropping the future loses no delivery.
    async fn next(&mut self) -> Option<Delivery>;
}

/// Works on every delivery, each on a task of its own, until `stopped`, and then finishes those in work.
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
    // Before the jobs are waited for: another process may have what was not handed out.
    drop(deliveries);
    jobs.join_all().await;
}

/// A stream of announcements.
#[async_trait]
pub trait Announcements: Send {
    /// The next announcement. `None` after [`Transport::close`]. Dropping the future loses none.
    async fn next(&mut self) -> Option<Heard>;
}

/// What a listener receives.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// An announcement, and the trace that it belongs to.
    Changed(Box<Changed>, Option<String>),
    /// Some may have been missed.
    Interrupted,
}

/// How many jobs are in which state.
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
    /// It holds as many jobs as it may.
    #[error("the queue is full")]
    Full,
    /// The broker refused the message: a queue has reached its length limit, or the node of a queue is down.
    #[error("the broker nacked the message")]
    Nacked,
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
