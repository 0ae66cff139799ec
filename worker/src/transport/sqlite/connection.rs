//! One thread owns the connection and commits calls in batches.
//!
//! Callers send closures. The thread runs all waiting ones in one transaction, so that a hundred concurrent uploads
//! share a few syncs of the disk.

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

/// The most calls in one transaction, so that no caller waits long for a commit.
const MAX_BATCH: usize = 64;

/// The time limit of waiting for transactions of other processes, which are far shorter.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one wait for another process's transaction lasts. SQLite's own handler sleeps up to 100 ms, which is more
/// than a whole picture takes.
const BUSY_STEP: Duration = Duration::from_micros(300);

/// How often the file is checked for damage that this process does not notice. A check takes a fraction of a
/// millisecond.
const CHECK_FOR_DAMAGE: Duration = Duration::from_secs(3);

/// How durable a call must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Durability {
    /// A call that only reads.
    Read,
    /// Survives the death of every process, but not a power failure: then a job is done twice, which is harmless.
    Process,
    /// Synced to the disk: an upload is confirmed on it.
    Disk,
}

/// Why a transaction failed, shared by all of its callers.
type SharedError = Arc<QueueError>;
type OnCommit = Box<dyn FnOnce(Result<(), SharedError>)>;
type Work = Box<dyn FnOnce(Result<&mut Transaction<'_>, SharedError>) -> Uncommitted + Send>;

/// A call that waits for its transaction to be committed.
struct Uncommitted {
    /// The error, if the file is damaged.
    damage: Option<SharedError>,
    /// The topics to wake after the commit.
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
    /// Opens the file, migrates its schema and starts the thread. `opening` is the file to lock meanwhile. A damaged
    /// file is an error, unless it was used as a queue before: then it is recreated.
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

    /// Runs `work` in a transaction and returns after the commit. Then the topics that `wakes` returns for the result
    /// are woken.
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
                    // The caller may be gone; the work is committed anyway.
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

/// A failure of one caller does not undo the work of others in the transaction.
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

/// Converts an error by what the caller can do about it.
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
    let mut checked = Instant::now();
    while let Ok(first) = waiting.recv() {
        let mut batch = vec![first];
        batch.extend(waiting.try_iter().take(MAX_BATCH - 1));
        let is_due = checked.elapsed() >= CHECK_FOR_DAMAGE;
        if is_due {
            checked = Instant::now();
        }
        let is_lost =
            |queue: &mut OpenQueue| file.was_replaced(queue) || is_due && file.is_damaged_for_others();
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
            // A synced commit also syncs all earlier commits in the log, of any process.
            let level = if needed == Durability::Disk { "FULL" } else { "NORMAL" };
            if queue.sqlite.pragma_update(None, "synchronous", level).is_ok() {
                durability = needed;
            }
        }
        match run(&mut queue.sqlite, needed, batch) {
            Ok(wakes) => waker.wake(&wakes),
            Err(error) if error.is_damage() => {
                // The next batch reopens it.
                if let Some(damaged) = open.take() {
                    before = damaged.abandon();
                }
            }
            Err(_) => {}
        }
    }
}

/// Runs a batch, commits it and sends the results to the callers. Returns the topics to wake.
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
        // The file will be replaced, so nothing is committed: dropping the transaction rolls back.
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
