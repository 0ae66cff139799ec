//! The embedded transport: a durable queue in one SQLite file, for any number of processes on one host.
//!
//! ```text
//! queue.sqlite              jobs and announcements (WAL)
//! queue.sqlite.damaged      the last damaged file, if any
//! queue.sqlite-processes/   <instance>.lock            held while the process lives
//!                           <instance>-<n>.jobs        a pipe that wakes a consumer when a job is due
//!                           <instance>-<n>.announcements
//!                           opening                    held while a process opens the queue
//! ```
//!
//! Postings are synced to the disk before they are confirmed. Claims, acknowledgements and announcements are not
//! synced: they survive the death of every process. After a power failure a job may be done twice, which is harmless.

mod announcements;
mod connection;
mod dead_rows;
mod deliveries;
mod file;
mod network_file_system;
mod presence;
mod queue;
mod schema;
mod wake;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use self::{
    announcements::SqliteAnnouncements,
    connection::{Durability, QueueConnection},
    deliveries::SqliteDeliveries,
    presence::{Presence, Watch},
    queue::Now,
    wake::{Topic, WakeReceiver, Waker},
};
use super::{
    Announcements, Announcer, ClientTag, DeadLetters, Deliveries, Depth, JobQueue, LookUp, Posting, Slots,
    Transport, TransportError, dead_job::DeadJob,
};
use crate::{
    clock::monotonic_ms,
    contract::{
        message::Changed,
        record::{JobName, Lane},
    },
};

/// How often a process checks whether others have died. It is short enough to redeliver the job of a killed worker
/// within two seconds.
const CHECK_PROCESSES: Duration = Duration::from_millis(300);

/// Checks between two removals of old announcements and leftovers: every half minute.
const CHECKS_BETWEEN_CLEANUPS: u32 = 100;

/// The file that a process locks while it opens the queue.
const OPENING: &str = "opening";

/// The embedded transport. Clones share one connection.
#[derive(Clone)]
pub struct SqliteTransport {
    shared: Arc<SqliteShared>,
}

struct SqliteShared {
    connection: QueueConnection,
    presence: Presence,
    directory: PathBuf,
    instance: String,
    /// The number of the next pipe of this instance.
    pipes: AtomicU64,
    capacity: u64,
    max_crashes: u32,
    /// Whether claimed jobs are announced. Jobs of an outbox are only moved to the broker, and not announced.
    announces: bool,
    closing: CancellationToken,
}

/// Why the queue's file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenQueueError {
    /// Its directory, or a file in it, could not be created.
    #[error("could not use the queue directory {}", path.display())]
    Directory {
        /// The path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It lies on a network file system.
    #[error(
        "the queue {} lies on a network file system ({kind}), where SQLite loses jobs: choose a local disk with --data, \
         or with --broker",
        path.display()
    )]
    NetworkFileSystem {
        /// The path.
        path: PathBuf,
        /// The type of the file system.
        kind: String,
    },
    /// The file is not a queue, or has a newer version, or cannot be opened.
    #[error("could not open the queue {} (move it away to recreate it from storage)", path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl SqliteTransport {
    /// Opens the queue in a file and creates a missing file. `capacity` limits the jobs that have not ended.
    ///
    /// Must be called inside a runtime: a task checks for dead processes.
    ///
    /// # Errors
    /// When the file or its directory cannot be used.
    pub fn open(path: &Path, capacity: u64) -> Result<Self, OpenQueueError> {
        Self::open_counting(path, capacity, queue::MAX_CRASHES, true)
    }

    /// Opens the queue as an outbox: its jobs are only moved to the broker. So a crash while moving a job is not
    /// counted, and a moved job is not announced.
    ///
    /// # Errors
    /// See [`open`](Self::open).
    pub fn open_outbox(path: &Path, capacity: u64) -> Result<Self, OpenQueueError> {
        Self::open_counting(path, capacity, u32::MAX, false)
    }

    /// Starts to consume as [`consume`](JobQueue::consume) does, without the bulk jobs of the clients in `held`.
    ///
    /// # Errors
    /// When the pipe that wakes the consumer cannot be created.
    pub fn consume_except(
        &self,
        slots: Slots,
        held: watch::Receiver<Vec<ClientTag>>,
    ) -> Result<Box<dyn Deliveries>, TransportError> {
        let wake = self.shared.wake_receiver(Topic::Jobs)?;
        Ok(Box::new(SqliteDeliveries::new(Arc::clone(&self.shared), wake, slots, held)))
    }

    fn open_counting(
        path: &Path,
        capacity: u64,
        max_crashes: u32,
        announces: bool,
    ) -> Result<Self, OpenQueueError> {
        let mut directory = path.as_os_str().to_owned();
        directory.push("-processes");
        let directory = PathBuf::from(directory);
        let unusable = |source| OpenQueueError::Directory { path: directory.clone(), source };
        // This directory exists only beside a file that was used as a queue. No other file is renamed.
        let was_used = directory.is_dir();
        fs::create_dir_all(&directory).map_err(unusable)?;
        if let Some(kind) = network_file_system::kind_at(&directory).map_err(unusable)? {
            return Err(OpenQueueError::NetworkFileSystem { path: path.to_owned(), kind });
        }
        let instance = Uuid::now_v7().simple().to_string();
        let presence = Presence::new(&directory, &instance).map_err(unusable)?;
        let connection =
            QueueConnection::open(path, directory.join(OPENING), Waker::new(&directory), was_used)
                .map_err(|source| OpenQueueError::File { path: path.to_owned(), source: source.into() })?;
        let shared = Arc::new(SqliteShared {
            connection,
            presence,
            directory,
            instance,
            pipes: AtomicU64::new(0),
            capacity,
            max_crashes,
            announces,
            closing: CancellationToken::new(),
        });
        tokio::spawn(watch_processes(Arc::downgrade(&shared)));
        Ok(Self { shared })
    }
}

impl SqliteShared {
    fn wake_receiver(&self, topic: Topic) -> Result<WakeReceiver, TransportError> {
        let number = self.pipes.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", self.instance);
        WakeReceiver::new(&self.directory, &name, topic).map_err(|source| TransportError::Unavailable {
            attempted: "create a wake pipe",
            source: source.into(),
        })
    }

    /// Prepares the file once; see [`queue::prepare`].
    async fn prepare(&self) -> Result<(), TransportError> {
        let settle = |tx: &rusqlite::Connection| queue::prepare(tx, monotonic_ms());
        self.connection.call("prepare the queue", Durability::Process, |()| &[], settle).await
    }

    /// Requeues the jobs of dead processes.
    async fn requeue_jobs_of_the_dead(&self, watch: &mut Watch) -> Result<(), TransportError> {
        let owners =
            self.connection.call("look for dead processes", Durability::Read, |_| &[], queue::owners);
        for owner in owners.await? {
            if owner == self.instance || !watch.is_gone(&self.directory, &owner, Instant::now()) {
                continue;
            }
            let (name, max_crashes) = (owner.clone(), self.max_crashes);
            let taken = self.connection.call(
                "requeue the jobs of a dead process",
                Durability::Process,
                |_| &[Topic::Jobs],
                move |tx| queue::requeue_jobs_of(tx, &name, max_crashes),
            );
            let jobs = taken.await?;
            info!(process = owner, jobs, "requeued the jobs of a dead process");
        }
        Ok(())
    }

    async fn tidy(&self, watch: &mut Watch) -> Result<(), TransportError> {
        watch.tidy(&self.directory, Instant::now());
        let now = monotonic_ms();
        let old = self.connection.call(
            "look for old announcements",
            Durability::Read,
            |_| &[],
            move |tx| announcements::has_old(tx, now),
        );
        if old.await? {
            let prune = move |tx: &rusqlite::Connection| announcements::prune(tx, now);
            self.connection.call("delete old announcements", Durability::Process, |()| &[], prune).await?;
        }
        Ok(())
    }
}

/// Runs until the transport is dropped: a draining process still checks the others.
async fn watch_processes(shared: Weak<SqliteShared>) {
    let (mut watch, mut settled) = (Watch::default(), false);
    for look in 0u32.. {
        tokio::time::sleep(CHECK_PROCESSES).await;
        let Some(shared) = shared.upgrade() else { return };
        shared.presence.touch();
        if !settled {
            settled = shared.prepare().await.is_ok();
        }
        let mut done = shared.requeue_jobs_of_the_dead(&mut watch).await;
        if look % CHECKS_BETWEEN_CLEANUPS == 0 && done.is_ok() {
            done = shared.tidy(&mut watch).await;
        }
        if let Err(error) = done {
            warn!(
                error = &error as &dyn std::error::Error,
                "could not check for dead processes of the queue"
            );
        }
    }
}

/// Milliseconds since 1970, for people.
fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[async_trait]
impl JobQueue for SqliteTransport {
    async fn publish(&self, posting: Posting) -> Result<(), TransportError> {
        let capacity = self.shared.capacity;
        let post = move |tx: &rusqlite::Connection| queue::post(tx, &posting, capacity, wall_ms());
        let posted = self.shared.connection.call("post a job", Durability::Disk, |_| &[Topic::Jobs], post);
        match posted.await? {
            queue::Posted::Done => Ok(()),
            queue::Posted::Full => Err(TransportError::Full),
        }
    }

    async fn consume(&self, slots: Slots) -> Result<Box<dyn Deliveries>, TransportError> {
        self.consume_except(slots, watch::Sender::default().subscribe())
    }

    async fn depth(&self) -> Result<Depth, TransportError> {
        let read =
            |tx: &rusqlite::Connection| queue::depth(tx, Now { wall: wall_ms(), monotonic: monotonic_ms() });
        self.shared.connection.call("count jobs", Durability::Read, |_| &[], read).await
    }

    async fn room_taken(&self) -> Result<u64, TransportError> {
        self.shared.connection.call("read the tally", Durability::Read, |_| &[], queue::room_taken).await
    }

    async fn look_up(&self, _lane: Lane, jobs: &[JobName]) -> Result<LookUp, TransportError> {
        let jobs = jobs.to_vec();
        let missing = move |tx: &rusqlite::Connection| queue::missing(tx, &jobs);
        self.shared
            .connection
            .call("look jobs up", Durability::Read, |_| &[], missing)
            .await
            .map(LookUp::Missing)
    }

    async fn check(&self) -> Result<(), TransportError> {
        // Takes the write lock without a write.
        self.shared.connection.call("start a write", Durability::Process, |()| &[], |_| Ok(())).await
    }
}

#[async_trait]
impl Announcer for SqliteTransport {
    async fn announce(&self, changed: &Changed, traceparent: Option<&str>) -> Result<(), TransportError> {
        let (body, traceparent) = (changed.encode(), traceparent.map(str::to_owned));
        let add = move |tx: &rusqlite::Connection| {
            announcements::add(tx, &body, traceparent.as_deref(), monotonic_ms())
        };
        self.shared.connection.call("announce", Durability::Process, |()| &[Topic::Announcements], add).await
    }

    async fn listen(&self) -> Result<Box<dyn Announcements>, TransportError> {
        let wake = self.shared.wake_receiver(Topic::Announcements)?;
        let read = self.shared.connection.call("listen", Durability::Read, |_| &[], announcements::newest);
        Ok(Box::new(SqliteAnnouncements::new(Arc::clone(&self.shared), wake, read.await?)))
    }
}

#[async_trait]
impl DeadLetters for SqliteTransport {
    async fn dead_letters(&self) -> Result<Vec<DeadJob>, TransportError> {
        self.shared.connection.call("read dead letters", Durability::Read, |_| &[], dead_rows::list).await
    }

    async fn forget_dead(&self, key: &str) -> Result<usize, TransportError> {
        let key = key.to_owned();
        let forget = move |tx: &rusqlite::Connection| dead_rows::forget(tx, &key);
        self.shared.connection.call("delete a dead letter", Durability::Process, |_| &[], forget).await
    }
}

#[async_trait]
impl Transport for SqliteTransport {
    async fn close(&self) {
        self.shared.closing.cancel();
    }
}

#[cfg(test)]
mod tests;
