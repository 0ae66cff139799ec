//! One thread that owns one connection and commits what has gathered while it was committing.
//!
//! Callers hand over closures; the thread runs all that wait in one transaction, so that a hundred uploads at once
//! share a few syncs of the disk instead of waiting for a hundred.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection as Sqlite, DropBehavior, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::{
    file::{Identity, OpenQueue, QueueError, QueueFile},
    wake::{Topic, Waker},
};
use crate::transport::TransportError;

/// Calls that one transaction takes in at most, so that nobody waits long for a commit.
const MAX_BATCH: usize = 64;

/// How long a transaction waits for other processes before it gives up: far longer than any of ours lasts.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one wait for another process's transaction lasts. SQLite's own handler sleeps up to 100 ms, which is more
/// than a whole picture takes.
const BUSY_STEP: Duration = Duration::from_micros(300);

/// How often it is looked for damage that this process would not meet. A look takes a fraction of a millisecond.
const LOOK_FOR_DAMAGE: Duration = Duration::from_secs(3);

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
type SharedError = Arc<QueueError>;
type OnCommit = Box<dyn FnOnce(Result<(), SharedError>)>;
type Work = Box<dyn FnOnce(Result<&mut Transaction<'_>, SharedError>) -> Uncommitted + Send>;

/// A call that waits for its transaction to be committed.
struct Uncommitted {
    /// It found that the file is damaged.
    damage: Option<SharedError>,
    /// Who is to be woken once it is committed.
    wakes: &'static [Topic],
    answer: OnCommit,
}

struct Call {
    durability: Durability,
    work: Work,
}

/// A handle on the thread. The thread ends when the last handle is dropped.
#[derive(Clone)]
pub(super) struct QueueConnection {
    calls: mpsc::Sender<Call>,
}

impl QueueConnection {
    /// Opens the file, brings its schema up to date and starts the thread. `opening` is the file to lock meanwhile. A
    /// file that is no sound queue is refused, unless it was one before: then a new one is begun.
    pub(super) fn open(
        path: &Path,
        opening: PathBuf,
        waker: Waker,
        was_used: bool,
    ) -> Result<Self, QueueError> {
        let file = QueueFile::new(path, opening, wait_briefly);
        let queue = if was_used { file.open_used()? } else { file.open()? };
        let (calls, waiting) = mpsc::channel();
        thread::Builder::new()
            .name("queue".into())
            .spawn(move || serve(&file, queue, &waiting, &waker))
            .expect("a process that starts can start a thread");
        Ok(Self { calls })
    }

    /// Runs `work` in a transaction and answers once that is committed; then those who wait on the topics that `wakes`
    /// names for the answer are woken.
    ///
    /// Dropping the future does not undo the work.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        attempted: &'static str,
        durability: Durability,
        wakes: fn(&T) -> &'static [Topic],
        work: impl FnOnce(&Sqlite) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, TransportError> {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |begun| {
            let done = begun.and_then(|tx| in_savepoint(tx, work).map_err(|error| Arc::new(error.into())));
            Uncommitted {
                damage: done.as_ref().err().filter(|error| error.is_damage()).cloned(),
                wakes: done.as_ref().map_or(&[], wakes),
                answer: Box::new(move |committed: Result<(), SharedError>| {
                    // The caller may have gone; what it asked for is done all the same.
                    let _ = answer.send(done.and_then(|done| committed.map(|()| done)));
                }),
            }
        });
        self.calls.send(Call { durability, work }).map_err(|_| TransportError::Closed)?;
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
fn sort(attempted: &'static str, error: SharedError) -> TransportError {
    match error.code() {
        Some(rusqlite::ErrorCode::DiskFull) => TransportError::DiskFull,
        _ => TransportError::Unavailable { attempted, source: Box::new(error) },
    }
}

fn wait_briefly(tries: i32) -> bool {
    thread::sleep(BUSY_STEP);
    BUSY_STEP * tries.unsigned_abs() < BUSY_TIMEOUT
}

fn serve(file: &QueueFile, queue: OpenQueue, waiting: &mpsc::Receiver<Call>, waker: &Waker) {
    let (mut open, mut before) = (Some(queue), Identity::default());
    let mut durability = Durability::Disk;
    let mut looked = Instant::now();
    while let Ok(first) = waiting.recv() {
        let mut batch = vec![first];
        batch.extend(waiting.try_iter().take(MAX_BATCH - 1));
        let look = looked.elapsed() >= LOOK_FOR_DAMAGE;
        if look {
            looked = Instant::now();
        }
        let is_lost =
            |queue: &mut OpenQueue| file.was_replaced(queue) || look && file.is_damaged_for_others();
        if let Some(lost) = open.take_if(is_lost) {
            before = lost.abandon();
        }
        let queue = match &mut open {
            Some(queue) => queue,
            none => match file.open_again(&before) {
                Ok(queue) => {
                    durability = Durability::Disk;
                    none.insert(queue)
                }
                Err(error) => {
                    refuse(batch, &Arc::new(error));
                    continue;
                }
            },
        };
        let needed = batch.iter().map(|call| call.durability).max().unwrap_or(Durability::Disk);
        if needed != Durability::Read && needed != durability {
            // A commit that syncs also syncs every earlier one of the log, whoever made it.
            let level = if needed == Durability::Disk { "FULL" } else { "NORMAL" };
            if queue.sqlite.pragma_update(None, "synchronous", level).is_ok() {
                durability = needed;
            }
        }
        match run(&mut queue.sqlite, needed, batch) {
            Ok(wakes) => waker.wake(&wakes),
            Err(error) if error.is_damage() => {
                // The next batch opens it again.
                if let Some(damaged) = open.take() {
                    before = damaged.abandon();
                }
            }
            Err(_) => {}
        }
    }
}

/// Runs a batch and answers its callers, once it is committed or is not. Answers who is to be woken.
fn run(sqlite: &mut Sqlite, needed: Durability, batch: Vec<Call>) -> Result<Vec<Topic>, SharedError> {
    let behavior = match needed {
        Durability::Read => TransactionBehavior::Deferred,
        Durability::Process | Durability::Disk => TransactionBehavior::Immediate,
    };
    let mut tx = match sqlite.transaction_with_behavior(behavior) {
        Ok(tx) => tx,
        Err(error) => {
            let error = Arc::new(error.into());
            refuse(batch, &error);
            return Err(error);
        }
    };
    let done: Vec<Uncommitted> = batch.into_iter().map(|call| (call.work)(Ok(&mut tx))).collect();
    let ended = match done.iter().find_map(|done| done.damage.clone()) {
        // What the others wrote would be gone with the file; dropping the transaction undoes it.
        Some(damage) => Err(damage),
        None => tx.commit().map_err(|error| Arc::new(error.into())),
    };
    let wakes = done.iter().flat_map(|done| done.wakes).copied().collect();
    for done in done {
        (done.answer)(ended.clone());
    }
    ended.map(|()| wakes)
}

fn refuse(batch: Vec<Call>, error: &SharedError) {
    for call in batch {
        ((call.work)(Err(Arc::clone(error))).answer)(Err(Arc::clone(error)));
    }
}
