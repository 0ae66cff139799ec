//! One thread that owns one connection and commits what has gathered while it was committing.
//!
//! Callers hand over closures; the thread runs all that wait in one transaction, so that a hundred uploads at once
//! share a few syncs of the disk instead of waiting for a hundred.

use std::{
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use rusqlite::{Connection as Sqlite, DropBehavior, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::wake::{Topic, Waker};
use crate::transport::TransportError;

/// Calls that one transaction takes in at most, so that nobody waits long for a commit.
const MAX_BATCH: usize = 64;

/// How long a transaction waits for other processes before it gives up: far longer than any of ours lasts.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one wait for another process's transaction lasts. SQLite's own handler sleeps up to 100 ms, which is more
/// than a whole picture takes.
const BUSY_STEP: Duration = Duration::from_micros(300);

/// How sure a call wants to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Durability {
    /// Nothing is written.
    Read,
    /// Survives every process, and may be undone by a loss of power: then a job is done twice, which does no harm.
    Process,
    /// On the disk. An upload was promised on it.
    Disk,
}

/// Why a transaction did not begin, or was not committed: one reason for all who were in it.
type Shared = Arc<rusqlite::Error>;
type Answer = Box<dyn FnOnce(Result<(), Shared>)>;
type Work = Box<dyn FnOnce(Result<&mut Transaction<'_>, Shared>) -> Answer + Send>;

struct Call {
    durability: Durability,
    wakes: Option<Topic>,
    work: Work,
}

/// A handle on the thread. The thread ends when the last handle is dropped.
#[derive(Clone)]
pub(super) struct Connection {
    calls: mpsc::Sender<Call>,
}

impl Connection {
    /// Opens the file, brings its schema up to date and starts the thread.
    pub(super) fn open(path: &Path, waker: Waker) -> Result<Self, rusqlite_migration::Error> {
        let sqlite = super::schema::open(path, wait_briefly)?;
        let (calls, waiting) = mpsc::channel();
        thread::Builder::new()
            .name("queue".into())
            .spawn(move || serve(sqlite, &waiting, &waker))
            .expect("a process that starts can start a thread");
        Ok(Self { calls })
    }

    /// Runs `work` in a transaction and answers once that is committed; then whoever waits on `wakes` is woken.
    ///
    /// Dropping the future does not undo the work.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        attempted: &'static str,
        durability: Durability,
        wakes: Option<Topic>,
        work: impl FnOnce(&Sqlite) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, TransportError> {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |begun| {
            let done = begun.and_then(|tx| in_savepoint(tx, work).map_err(Arc::new));
            Box::new(move |committed: Result<(), Shared>| {
                // The caller may have gone; what it asked for is done all the same.
                let _ = answer.send(done.and_then(|done| committed.map(|()| done)));
            })
        });
        self.calls.send(Call { durability, wakes, work }).map_err(|_| TransportError::Closed)?;
        match answered.await {
            Ok(result) => result.map_err(|error| sort(attempted, error)),
            Err(_) => Err(TransportError::Closed),
        }
    }
}

/// One caller's failure does not undo what the others of its transaction did.
fn in_savepoint<T>(
    tx: &mut Transaction<'_>,
    work: impl FnOnce(&Sqlite) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let mut savepoint = tx.savepoint()?;
    savepoint.set_drop_behavior(DropBehavior::Rollback);
    let done = work(&savepoint)?;
    savepoint.commit()?;
    Ok(done)
}

/// Sorts an error by what the caller can do about it.
fn sort(attempted: &'static str, error: Shared) -> TransportError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => TransportError::DiskFull,
        _ => TransportError::Unavailable { attempted, source: Box::new(error) },
    }
}

fn wait_briefly(tries: i32) -> bool {
    thread::sleep(BUSY_STEP);
    BUSY_STEP * tries.unsigned_abs() < BUSY_TIMEOUT
}

fn serve(mut sqlite: Sqlite, waiting: &mpsc::Receiver<Call>, waker: &Waker) {
    let mut durability = Durability::Disk;
    while let Ok(first) = waiting.recv() {
        let mut batch = vec![first];
        batch.extend(waiting.try_iter().take(MAX_BATCH - 1));
        let needed = batch.iter().map(|call| call.durability).max().unwrap_or(Durability::Disk);
        if needed != Durability::Read && needed != durability {
            // A commit that syncs also syncs every earlier one of the log, whoever made it.
            let level = if needed == Durability::Disk { "FULL" } else { "NORMAL" };
            if sqlite.pragma_update(None, "synchronous", level).is_ok() {
                durability = needed;
            }
        }
        let wakes: Vec<Topic> = batch.iter().filter_map(|call| call.wakes).collect();
        if run(&mut sqlite, needed, batch) {
            waker.wake(&wakes);
        }
    }
}

/// Runs a batch and answers its callers; tells whether it was committed.
fn run(sqlite: &mut Sqlite, needed: Durability, batch: Vec<Call>) -> bool {
    let behavior = match needed {
        Durability::Read => TransactionBehavior::Deferred,
        Durability::Process | Durability::Disk => TransactionBehavior::Immediate,
    };
    let (answers, ended): (Vec<Answer>, Result<(), Shared>) = match sqlite.transaction_with_behavior(behavior)
    {
        Ok(mut tx) => {
            let answers = batch.into_iter().map(|call| (call.work)(Ok(&mut tx))).collect();
            (answers, tx.commit().map_err(Arc::new))
        }
        Err(error) => {
            let error = Arc::new(error);
            let answers = batch.into_iter().map(|call| (call.work)(Err(Arc::clone(&error)))).collect();
            (answers, Err(error))
        }
    };
    for answer in answers {
        answer(ended.clone());
    }
    ended.is_ok()
}
