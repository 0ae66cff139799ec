//! The transport port: jobs go to workers, and announcements come back.
//!
//! ```text
//!             publish                       next                   finish
//!  server ───────────────► jobs of a lane ────────► worker ──────────────────► done
//!    ▲                          ▲                    │ │ retry(after), postpone(after)
//!    │                          ├────────────────────┼─┘ release
//!    │                          │ burial             │ dead_letter(reason), or its process died too often
//!    │                          └──── dead letters ◄─┘
//!    └───────────────────── announcements ◄── `processing` when a job is delivered, the end with finish
//! ```
//!
//! The port is split by role: [`JobQueue`], [`Announcer`], [`DeadLetters`]. To *bury* a job is beanstalkd's term for
//! taking it out of circulation. Here a worker also stores that its upload failed: a *burial* is the delivery that asks
//! for this.
//!
//! Guarantees of every adapter, checked by the conformance suite in `integration-tests`:
//!
//! 1. **Published is safe.** When [`publish`](JobQueue::publish) returns `Ok`, the job survives the death of any
//!    process and of the broker. When it returns an error, or its future is dropped, the job may or may not be in the
//!    queue.
//! 2. **At least once.** A job is delivered until one delivery of it is settled. A delivery whose process dies is
//!    redelivered, on an embedded transport within two seconds.
//! 3. **Settling is fenced.** A delivery that was redelivered to another worker meanwhile settles nothing and returns
//!    [`Settled::Stale`].
//! 4. **Dead letters are buried.** A dead-lettered job is delivered once more, as a [`Task::Bury`], so that a worker can
//!    store that its upload failed. Acknowledged, it stays among the dead letters.
//! 5. **Announcements are best effort.** They reach every listener that listened at the time, or the listener receives
//!    [`ListenEvent::Interrupted`] and reads storage instead. No job fails because of one.
//! 6. **A delivered job is announced as `processing`**, without a wait and without a read of storage.
//! 7. **Adapters reconnect by themselves.** [`Deliveries::next`] and [`Announcements::next`] outlive every outage; only
//!    [`Transport::close`] ends them.
//! 8. **The wall clock never decides when a job is due.** A step of it delays no job.
//!
//! # Fairness between clients
//!
//! A lane of an embedded queue, and of an outbox, serves its clients in turns. RabbitMQ serves a lane in order, so the
//! relay of a server posts at most a few bulk jobs of a client ahead, and keeps the others in the outbox.

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

/// A client within one queue. A server draws it at random for each of its clients, so it reveals no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientTag(pub i64);

/// The slots of a consumer: the jobs that it works on at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// Slots for jobs of any lane.
    pub any: usize,
    /// Additional slots for the interactive lane.
    pub interactive: usize,
}

impl Slots {
    /// Slots for jobs of any lane, and no others.
    #[must_use]
    pub const fn any(count: NonZeroUsize) -> Self {
        Self { any: count.get(), interactive: 0 }
    }

    /// All slots.
    #[must_use]
    pub const fn total(self) -> usize {
        self.any.saturating_add(self.interactive)
    }
}

/// A job to publish. A searchable queue drops a second posting of a generation while the first is not settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// The message.
    pub job: ResizeJob,
    /// The client that takes a turn with it. A job without one is the next of its lane.
    pub client: Option<ClientTag>,
    /// Whether the posting counts towards the capacity.
    pub room: Room,
}

/// Whether a posting counts towards the capacity of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// A client's upload: refused when the queue is full.
    Counted,
    /// A lost job that is posted again: never refused, and never uses the capacity for clients.
    Uncounted,
}

impl Posting {
    /// The posting of an upload that a client sent or retried.
    #[must_use]
    pub const fn of_client(record: UploadRecord) -> Self {
        Self { job: ResizeJob::new(record), client: None, room: Room::Counted }
    }

    /// The posting of a lost job.
    #[must_use]
    pub fn of_sweeper(record: UploadRecord) -> Self {
        Self { job: ResizeJob::again(record), client: None, room: Room::Uncounted }
    }
}

/// Takes jobs and hands them out.
#[async_trait]
pub trait JobQueue: Send + Sync + 'static {
    /// Publishes a job; see guarantee 1. The caller retries.
    async fn publish(&self, posting: Posting) -> Result<(), TransportError>;

    /// Starts to consume, with at most one unsettled delivery for each slot.
    async fn consume(&self, slots: Slots) -> Result<Box<dyn Deliveries>, TransportError>;

    /// The number of jobs by state.
    async fn depth(&self) -> Result<Depth, TransportError>;

    /// The number of jobs that have not ended and count towards the capacity. Takes constant time.
    async fn room_taken(&self) -> Result<u64, TransportError>;

    /// Looks up which of these jobs of a lane are missing from the queue, as far as the transport can search it.
    async fn look_up(&self, lane: Lane, jobs: &[JobName]) -> Result<LookUp, TransportError>;

    /// Listens to losses of whole lanes. A queue that can be searched needs no report.
    fn lost_lanes(&self) -> Box<dyn LostLanes> {
        Box::new(NeverLost)
    }

    /// Checks whether jobs can be published, without publishing one.
    async fn check(&self) -> Result<(), TransportError>;
}

/// Announces changes to every server.
#[async_trait]
pub trait Announcer: Send + Sync + 'static {
    /// Announces a change to every listener, at best effort. The caller logs an error and continues.
    async fn announce(&self, changed: &Changed, traceparent: Option<&str>) -> Result<(), TransportError>;

    /// Starts to listen: later announcements are received.
    async fn listen(&self) -> Result<Box<dyn Announcements>, TransportError>;
}

/// Dead letters: jobs that are parked until an operator replays or drops them.
#[async_trait]
pub trait DeadLetters: Send + Sync + 'static {
    /// The dead letters, oldest first, at most [`dead_job::MAX_LISTED`].
    async fn dead_letters(&self) -> Result<Vec<DeadJob>, TransportError>;

    /// Removes every dead letter with this [key](DeadJob::key), also while other processes read or remove others.
    /// Returns the number of messages.
    async fn forget_dead(&self, key: &str) -> Result<usize, TransportError>;
}

/// The whole port. Adapters are named by technology and are in `transport/`.
#[async_trait]
pub trait Transport: JobQueue + Announcer + DeadLetters {
    /// Ends deliveries and announcements. Unsettled deliveries can still be settled, until
    /// [`disconnect`](Self::disconnect).
    async fn close(&self);

    /// Closes the broker connection cleanly, as the last step of a process. Otherwise the broker logs an abnormal
    /// disconnect.
    async fn disconnect(&self) {
        self.close().await;
    }
}

/// The outcome of [`JobQueue::look_up`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookUp {
    /// The queue was searched: these jobs are not in it.
    Missing(Vec<JobName>),
    /// The queue cannot be searched. This is the number of ready and delayed jobs of the lane, without deliveries at
    /// work.
    Waiting(u64),
}

/// Losses of lanes. One listener of all processes at a time receives them.
#[async_trait]
pub trait LostLanes: Send {
    /// Lanes whose pending uploads must be posted again, because a queue of theirs had to be created. Waits while there
    /// are none. Dropping the future loses nothing.
    async fn next(&mut self) -> Vec<Lane>;

    /// Whether every pending upload of these lanes was posted. Otherwise they are received again, here or elsewhere,
    /// after a pause.
    async fn settle(&mut self, posted: bool);
}

/// The losses of a queue that reports none.
struct NeverLost;

#[async_trait]
impl LostLanes for NeverLost {
    async fn next(&mut self) -> Vec<Lane> {
        std::future::pending().await
    }

    async fn settle(&mut self, _posted: bool) {}
}

/// A stream of jobs.
#[async_trait]
pub trait Deliveries: Send {
    /// The next delivery. Waits while there is no job, or no slot is free. `None` after
    /// [`Transport::close`]. Dropping the future loses no delivery.
    async fn next(&mut self) -> Option<Delivery>;
}

/// Works on every delivery, each in its own task, until `stopped`. Then finishes the deliveries at work.
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
    // Dropped first, so that prefetched jobs are released to other processes.
    drop(deliveries);
    jobs.join_all().await;
}

/// A stream of announcements.
#[async_trait]
pub trait Announcements: Send {
    /// The next announcement. `None` after [`Transport::close`]. Dropping the future loses no announcement.
    async fn next(&mut self) -> Option<ListenEvent>;
}

/// An event for a listener.
#[derive(Debug, Clone, PartialEq)]
pub enum ListenEvent {
    /// An announcement, and its `traceparent`.
    Changed(Box<Changed>, Option<String>),
    /// Nothing can be heard now, and announcements are being lost. Comes every few seconds while that lasts.
    Deaf,
    /// Announcements may have been lost.
    Interrupted,
}

/// The number of jobs by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Jobs that can be delivered now.
    pub ready: u64,
    /// Jobs that wait for their next delivery.
    pub delayed: u64,
    /// Delivered jobs that are not settled, if the transport counts them.
    pub unacked: Option<u64>,
    /// Dead letters, buried or not.
    pub dead: u64,
    /// The age of the oldest job that is not dead, if the transport knows it.
    pub oldest: Option<Duration>,
}

impl Depth {
    /// Every job that has not ended.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.ready + self.delayed + self.unacked.unwrap_or(0)
    }
}

/// Why a request to a transport failed.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The queue is at capacity.
    #[error("the queue is full")]
    Full,
    /// The broker refused the message: a queue has reached its length limit, or the node of a queue is down.
    #[error("the broker nacked the message")]
    Nacked,
    /// The disk of the queue is full.
    #[error("the disk of the queue is full")]
    DiskFull,
    /// The broker is short of memory or disk, and accepts no messages until that has passed.
    #[error("the broker is short of memory or disk and accepts no messages")]
    Blocked,
    /// The transport was closed.
    #[error("the queue is closed")]
    Closed,
    /// Any other error. A retry may succeed.
    #[error("could not {attempted}")]
    Unavailable {
        /// The attempted action, as a verb phrase.
        attempted: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
