//! The queue file. One process at a time opens it. A replaced file is reopened; a damaged file is renamed to
//! `queue.sqlite.damaged` and recreated.
//!
//! ```text
//! queue.sqlite{,-wal,-shm}           in use
//! queue.sqlite.damaged{,-wal,-shm}   the last damaged file
//! ```
//!
//! A queue can be recreated at any time, because pending uploads are posted again from storage. Only the list of dead
//! letters is lost with the file; their uploads are still `failed`.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};
use tracing::{error, warn};

use super::{queue, schema};

/// The suffixes of the files of a SQLite database; the database file itself first.
const PARTS: [&str; 3] = ["", "-wal", "-shm"];

/// A query that reads a little of every table.
const GLANCE: &str = "SELECT (SELECT max(seq) FROM jobs), (SELECT max(seq) FROM announcements)";

/// The path of the queue, and how to open it.
#[derive(Debug)]
pub(super) struct QueueFile {
    path: PathBuf,
    /// The path of the lock that is held while the queue is opened or renamed.
    opening: PathBuf,
    /// Whether to keep waiting for other processes; see [`schema::open`].
    busy: fn(i32) -> bool,
}

/// An open queue.
pub(super) struct OpenQueue {
    pub(super) sqlite: Connection,
    identity: Identity,
}

/// Device and inode of each file; `None` for a missing file. They do not change while a process has the file open.
pub(super) type Identity = [Option<(u64, u64)>; PARTS.len()];

/// Why a queue could not be opened or used.
#[derive(Debug, thiserror::Error)]
pub(super) enum QueueError {
    #[error("could not lock {}", path.display())]
    Lock {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("could not rename the damaged file {}", path.display())]
    RenameDamaged {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Schema(rusqlite_migration::Error),
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

impl QueueFile {
    pub(super) fn new(path: &Path, opening: PathBuf, busy: fn(i32) -> bool) -> Self {
        Self { path: path.to_owned(), opening, busy }
    }

    /// Opens the queue, and creates a missing file.
    pub(super) fn open(&self) -> Result<OpenQueue, QueueError> {
        let _opening = self.lock()?;
        self.open_locked()
    }

    /// Opens a queue that was used before. A damaged file is renamed, and the queue recreated.
    pub(super) fn open_used(&self) -> Result<OpenQueue, QueueError> {
        self.open_again(&self.identity())
    }

    /// Reopens the queue after the open file was found damaged or replaced.
    pub(super) fn open_again(&self, before: &Identity) -> Result<OpenQueue, QueueError> {
        let _opening = self.lock()?;
        let now = self.identity();
        if now[0] != before[0] {
            // SQLite would use the log and index of the replaced file for the new one.
            let stale = |at: &usize| now[*at].is_some() && now[*at] == before[*at];
            self.rename_damaged((1..PARTS.len()).filter(stale))?;
        }
        match self.open_locked().and_then(|queue| queue.check_integrity().map(|()| queue)) {
            Err(error) if error.is_damage() => {
                error!(
                    file = %self.path.display(),
                    damaged = %self.damaged_path("").display(),
                    error = &error as &dyn std::error::Error,
                    "the queue file is damaged and is recreated; pending uploads are posted again from storage"
                );
                self.rename_damaged(0..PARTS.len())?;
                self.open_locked()
            }
            opened => opened,
        }
    }

    /// Whether a process that opens the file now finds it damaged. A process that has it open may not notice for long,
    /// because of its cache.
    pub(super) fn is_damaged_for_others(&self) -> bool {
        let look = || {
            let sqlite = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            sqlite.busy_handler(Some(self.busy))?;
            sqlite.query_row(GLANCE, [], |_| Ok(()))
        };
        look().is_err_and(|error| QueueError::from(error).is_damage())
    }

    /// Whether the open file was replaced or removed.
    pub(super) fn was_replaced(&self, open: &OpenQueue) -> bool {
        let replaced = self.identity() != open.identity;
        if replaced {
            warn!(file = %self.path.display(), "the queue file was replaced or removed; reopening it");
        }
        replaced
    }

    /// Dropping the file releases the lock.
    fn lock(&self) -> Result<fs::File, QueueError> {
        let lock = || {
            let file = fs::File::create(&self.opening)?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(|source| QueueError::Lock { path: self.opening.clone(), source })
    }

    fn open_locked(&self) -> Result<OpenQueue, QueueError> {
        let sqlite = schema::open(&self.path, self.busy)?;
        Ok(OpenQueue { sqlite, identity: self.identity() })
    }

    fn rename_damaged(&self, parts: impl Iterator<Item = usize>) -> Result<(), QueueError> {
        for part in parts.map(|part| PARTS[part]) {
            let (from, to) = (with_end(&self.path, part), self.damaged_path(part));
            for done in [fs::remove_file(&to), fs::rename(&from, &to)] {
                match done {
                    Err(source) if source.kind() != io::ErrorKind::NotFound => {
                        return Err(QueueError::RenameDamaged { path: from, source });
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn damaged_path(&self, part: &str) -> PathBuf {
        with_end(&with_end(&self.path, ".damaged"), part)
    }

    fn identity(&self) -> Identity {
        PARTS.map(|part| {
            let metadata = fs::metadata(with_end(&self.path, part)).ok()?;
            Some((metadata.dev(), metadata.ino()))
        })
    }
}

impl OpenQueue {
    /// Closes a damaged or replaced queue without a checkpoint. Otherwise the last process to close would copy the log
    /// into the file and remove the log by its name, where another process may have recreated it.
    pub(super) fn abandon(self) -> Identity {
        if let Err(error) = self.sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
            warn!(
                error = &error as &dyn std::error::Error,
                "could not close an abandoned queue without a checkpoint"
            );
        }
        self.identity
    }

    /// Checks the whole file: opening reads only parts of it.
    fn check_integrity(&self) -> Result<(), QueueError> {
        // Not `quick_check`, which does not compare indexes with tables.
        let found: String = self.sqlite.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if found == "ok" { Ok(()) } else { Err(queue::corrupt(found).into()) }
    }
}

/// An error of SQLite is unwrapped, because the migration's error would repeat its message.
impl From<rusqlite_migration::Error> for QueueError {
    fn from(error: rusqlite_migration::Error) -> Self {
        match error {
            rusqlite_migration::Error::RusqliteError { err, .. } => Self::Sqlite(err),
            other => Self::Schema(other),
        }
    }
}

impl QueueError {
    /// Whether the file is not a valid database.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
    }

    /// The error code of SQLite, if it has one.
    pub(super) fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sqlite(error) => error.sqlite_error_code(),
            Self::Schema(_) | Self::Lock { .. } | Self::RenameDamaged { .. } => None,
        }
    }
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::{
        queue::tests::{dangle, posted},
        *,
    };
    use crate::transport::Lane;

    #[test]
    fn a_used_file_whose_index_has_lost_a_job_is_renamed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queue.sqlite");
        let file = QueueFile::new(&path, directory.path().join("opening"), |_| true);
        let queue = file.open().unwrap();
        posted(&queue.sqlite, Lane::Interactive);
        posted(&queue.sqlite, Lane::Interactive);
        drop(queue);
        assert!(file.open_used().unwrap().check_integrity().is_ok());
        assert!(!file.damaged_path("").exists());
        dangle(&file.open().unwrap().sqlite);
        let recreated = file.open_used().unwrap();
        assert!(file.damaged_path("").exists());
        let jobs: u64 =
            recreated.sqlite.query_row("SELECT count(*) FROM jobs", [], |row| row.get(0)).unwrap();
        assert_eq!(jobs, 0);
    }
}
