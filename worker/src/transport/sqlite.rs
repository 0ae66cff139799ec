//! The embedded transport: a durable queue in one SQLite file, for any number of processes on one host.
//!
//! ```text
//! queue.sqlite              jobs and announcements (WAL)
//! queue.sqlite.damaged      what was found damaged and set aside, if anything was
//! queue.sqlite-processes/   <instance>.lock            who is alive
//!                           <instance>-<n>.jobs        whom to wake when a job is due
//!                           <instance>-<n>.announcements
//!                           opening                    who opens the queue just now
//! ```
//!
//! Postings are synced to the disk before they are confirmed. Claims, acknowledgements and announcements are not: they
//! survive the death of every process, and should the power fail a job is done once more, which does no harm.

mod announcements;
mod connection;
mod dead;
mod deliveries;
mod file;
mod presence;
mod queue;
mod schema;
mod wake;

use std::{
    fs, io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use self::{
    announcements::Listener,
    connection::{Connection, Durability},
    deliveries::Claimer,
    presence::Presence,
    wake::{Topic, WakeReceiver, Waker},
};
use super::{Announcements, Deliveries, Depth, Posting, Transport, TransportError, dead::DeadJob};
use crate::Announcement;

/// How often a process looks for others that have died. A job of a killed worker is redelivered within two seconds;
/// this leaves room for the rest.
const LOOK_FOR_THE_DEAD: Duration = Duration::from_millis(300);

/// How many looks apart old announcements and leftovers are removed: every half minute.
const LOOKS_BETWEEN_TIDYING: u32 = 100;

/// The file that a process locks while it opens the queue.
const OPENING: &str = "opening";

/// The embedded transport. Clones share one connection.
#[derive(Clone)]
pub struct SqliteTransport {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Connection,
    presence: Presence,
    directory: PathBuf,
    instance: String,
    /// Numbers the pipes of this instance.
    pipes: AtomicU64,
    capacity: u64,
    max_crashes: u32,
    closing: CancellationToken,
}

/// Why the queue's file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenQueueError {
    /// Its directory, or what lies in it, could not be made.
    #[error("could not use {} for the queue", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is no queue, or of a newer version, or cannot be opened.
    #[error("could not open the queue {} (moved away, it is begun anew from storage)", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl SqliteTransport {
    /// Opens the queue in a file, which is made if it is not there. `capacity` bounds the jobs that have not ended.
    ///
    /// Must be called inside a runtime: a task of it looks for processes that have died.
    ///
    /// # Errors
    /// When the file or its directory cannot be used.
    pub fn open(path: &Path, capacity: u64) -> Result<Self, OpenQueueError> {
        Self::open_counting(path, capacity, queue::MAX_CRASHES)
    }

    /// Opens the queue as an outbox, from which jobs are only moved on: that the process which moves them dies says
    /// nothing about a job, and is not counted.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_outbox(path: &Path, capacity: u64) -> Result<Self, OpenQueueError> {
        Self::open_counting(path, capacity, u32::MAX)
    }

    fn open_counting(path: &Path, capacity: u64, max_crashes: u32) -> Result<Self, OpenQueueError> {
        let mut directory = path.as_os_str().to_owned();
        directory.push("-processes");
        let directory = PathBuf::from(directory);
        let unusable = |source| OpenQueueError::Directory { path: directory.clone(), source };
        // Only who uses a file as a queue makes this beside it; any other file is not ours to put aside.
        let was_used = directory.is_dir();
        fs::create_dir_all(&directory).map_err(unusable)?;
        let instance = Uuid::now_v7().simple().to_string();
        let presence = Presence::new(&directory, &instance).map_err(unusable)?;
        let connection = Connection::open(path, directory.join(OPENING), Waker::new(&directory), was_used)
            .map_err(|source| OpenQueueError::File { path: path.to_owned(), source: source.into() })?;
        let shared = Arc::new(Shared {
            connection,
            presence,
            directory,
            instance,
            pipes: AtomicU64::new(0),
            capacity,
            max_crashes,
            closing: CancellationToken::new(),
        });
        tokio::spawn(keep_house(Arc::downgrade(&shared)));
        Ok(Self { shared })
    }
}

impl Shared {
    fn wake_receiver(&self, topic: Topic) -> Result<WakeReceiver, TransportError> {
        let number = self.pipes.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", self.instance);
        WakeReceiver::new(&self.directory, &name, topic).map_err(|source| TransportError::Unavailable {
            attempted: "make a pipe to be woken through",
            source: source.into(),
        })
    }

    /// Takes back what the dead have claimed.
    async fn take_back(&self) -> Result<(), TransportError> {
        let owners = self.connection.call("look for the dead", Durability::Read, None, queue::owners).await?;
        for owner in owners {
            if owner == self.instance || !presence::is_gone(&self.directory, &owner) {
                continue;
            }
            let (name, max_crashes) = (owner.clone(), self.max_crashes);
            let taken = self.connection.call(
                "take jobs back from a dead process",
                Durability::Process,
                Some(Topic::Jobs),
                move |tx| queue::take_back(tx, &name, max_crashes),
            );
            let jobs = taken.await?;
            info!(process = owner, jobs, "took jobs back from a process that died");
        }
        Ok(())
    }

    async fn tidy(&self) -> Result<(), TransportError> {
        presence::tidy(&self.directory);
        let now = now_ms();
        let old = self.connection.call("look for old announcements", Durability::Read, None, move |tx| {
            announcements::has_old(tx, now)
        });
        if old.await? {
            let prune = move |tx: &rusqlite::Connection| announcements::prune(tx, now);
            self.connection.call("forget old announcements", Durability::Process, None, prune).await?;
        }
        Ok(())
    }
}

/// Runs until the transport is dropped: even a process that drains still looks after the others.
async fn keep_house(shared: Weak<Shared>) {
    for look in 0u32.. {
        tokio::time::sleep(LOOK_FOR_THE_DEAD).await;
        let Some(shared) = shared.upgrade() else { return };
        shared.presence.touch();
        let mut done = shared.take_back().await;
        if look % LOOKS_BETWEEN_TIDYING == 0 && done.is_ok() {
            done = shared.tidy().await;
        }
        if let Err(error) = done {
            warn!(error = &error as &dyn std::error::Error, "could not look after the queue");
        }
    }
}

/// Milliseconds since 1970. Due times are kept in it, since they outlive every process.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[async_trait]
impl Transport for SqliteTransport {
    async fn publish(&self, posting: Posting) -> Result<(), TransportError> {
        let capacity = self.shared.capacity;
        let post = move |tx: &rusqlite::Connection| queue::post(tx, &posting, capacity, now_ms());
        let posted =
            self.shared.connection.call("post a job", Durability::Disk, Some(Topic::Jobs), post).await?;
        match posted {
            queue::Posted::Done => Ok(()),
            queue::Posted::Full => Err(TransportError::Full),
        }
    }

    async fn consume(&self, prefetch: NonZeroUsize) -> Result<Box<dyn Deliveries>, TransportError> {
        let wake = self.shared.wake_receiver(Topic::Jobs)?;
        Ok(Box::new(Claimer::new(Arc::clone(&self.shared), wake, prefetch)))
    }

    async fn announce(
        &self,
        announcement: &Announcement,
        traceparent: Option<&str>,
    ) -> Result<(), TransportError> {
        let (body, traceparent) = (announcement.encode(), traceparent.map(str::to_owned));
        let add =
            move |tx: &rusqlite::Connection| announcements::add(tx, &body, traceparent.as_deref(), now_ms());
        self.shared.connection.call("announce", Durability::Process, Some(Topic::Announcements), add).await
    }

    async fn listen(&self) -> Result<Box<dyn Announcements>, TransportError> {
        let wake = self.shared.wake_receiver(Topic::Announcements)?;
        let read = self.shared.connection.call("listen", Durability::Read, None, announcements::newest);
        Ok(Box::new(Listener::new(Arc::clone(&self.shared), wake, read.await?)))
    }

    async fn depth(&self) -> Result<Depth, TransportError> {
        let read = |tx: &rusqlite::Connection| queue::depth(tx, now_ms());
        self.shared.connection.call("count jobs", Durability::Read, None, read).await
    }

    async fn dead_letters(&self) -> Result<Vec<DeadJob>, TransportError> {
        self.shared.connection.call("read dead letters", Durability::Read, None, dead::list).await
    }

    async fn forget_dead(&self, dead: &DeadJob) -> Result<usize, TransportError> {
        let dead = dead.clone();
        let forget = move |tx: &rusqlite::Connection| dead::forget(tx, &dead);
        self.shared.connection.call("forget a dead letter", Durability::Process, None, forget).await
    }

    async fn check(&self) -> Result<(), TransportError> {
        // Takes the write lock and writes nothing.
        self.shared.connection.call("begin to write", Durability::Process, None, |_| Ok(())).await
    }

    fn times_begun_anew(&self) -> u64 {
        self.shared.connection.times_begun_anew()
    }

    async fn close(&self) {
        self.shared.closing.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, ResizeJob, UploadId, transport::Lane};

    #[tokio::test]
    async fn a_full_disk_is_told_as_such_and_what_was_promised_is_there_once_it_has_room() {
        let directory = tempfile::tempdir().unwrap();
        let transport = SqliteTransport::open(&directory.path().join("queue.sqlite"), u64::MAX).unwrap();
        let allow = async |pages: u32| {
            let allow = move |tx: &rusqlite::Connection| tx.pragma_update(None, "max_page_count", pages);
            transport
                .shared
                .connection
                .call("bound the file", Durability::Process, None, allow)
                .await
                .unwrap();
        };
        let post = || {
            let job = ResizeJob::new(UploadId::new(), Format::Png);
            transport.publish(Posting { job, generation: 1, lane: Lane::Interactive, traceparent: None })
        };
        allow(20).await;
        let mut posted = 0;
        let refused = loop {
            match post().await {
                Ok(()) => posted += 1,
                Err(error) => break error,
            }
        };
        assert!(posted > 0 && matches!(refused, TransportError::DiskFull), "{refused}");
        allow(u32::MAX).await;
        post().await.unwrap();
        assert_eq!(transport.depth().await.unwrap().ready, posted + 1);
    }
}
