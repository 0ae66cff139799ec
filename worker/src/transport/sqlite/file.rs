//! The queue's file: one process at a time opens it, whoever finds another in its place opens that, and what is damaged
//! is set aside.
//!
//! ```text
//! queue.sqlite{,-wal,-shm}           in use
//! queue.sqlite.damaged{,-wal,-shm}   set aside, one at most
//! ```
//!
//! A queue can be recreated at any time, since everything that was accepted is in storage and is posted again from
//! there. Only the list of dead letters is lost with the file; their uploads say `failed` all the same.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};
use tracing::{error, warn};

use super::{queue, schema};

/// What SQLite keeps beside a file, by the ends of the names; the file itself first.
const PARTS: [&str; 3] = ["", "-wal", "-shm"];

/// Reads a little of every table.
const GLANCE: &str = "SELECT (SELECT max(seq) FROM jobs), (SELECT max(seq) FROM announcements)";

/// Where the queue is.
#[derive(Debug)]
pub(super) struct QueueFile {
    path: PathBuf,
    /// Is locked while the queue is opened or set aside.
    opening: PathBuf,
    /// How long to wait for other processes; see [`schema::open`].
    busy: fn(i32) -> bool,
}

/// An open queue.
pub(super) struct OpenQueue {
    pub(super) sqlite: Connection,
    identity: Identity,
}

/// Device and number of each part; `None` for what is not there. They stay the same as long as somebody has it open.
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
    #[error("could not set the damaged {} aside", path.display())]
    SetAside {
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

    /// Opens the queue, which is made if it is not there.
    pub(super) fn open(&self) -> Result<OpenQueue, QueueError> {
        let _opening = self.lock()?;
        self.open_locked()
    }

    /// Opens a queue that was used before. What is damaged is set aside, and a new one begun.
    pub(super) fn open_used(&self) -> Result<OpenQueue, QueueError> {
        self.open_again(&self.identity())
    }

    /// The same after what was open, and is closed, was damaged or replaced.
    pub(super) fn open_again(&self, before: &Identity) -> Result<OpenQueue, QueueError> {
        let _opening = self.lock()?;
        let now = self.identity();
        if now[0] != before[0] {
            // Log and index of a file that is gone would be taken for those of the file that is there now.
            let stale = |at: &usize| now[*at].is_some() && now[*at] == before[*at];
            self.set_aside((1..PARTS.len()).filter(stale))?;
        }
        match self.open_locked().and_then(|queue| queue.sound().map(|()| queue)) {
            Err(error) if error.is_damage() => {
                error!(
                    file = %self.path.display(),
                    aside = %self.aside("").display(),
                    error = &error as &dyn std::error::Error,
                    "the queue is damaged and is begun anew; what was accepted is posted again from storage"
                );
                self.set_aside(0..PARTS.len())?;
                self.open_locked()
            }
            opened => opened,
        }
    }

    /// Whether somebody who opens the file now would find it damaged. Who has it open may go on for long with what it
    /// remembers of it.
    pub(super) fn is_damaged_for_others(&self) -> bool {
        let look = || {
            let sqlite = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            sqlite.busy_handler(Some(self.busy))?;
            sqlite.query_row(GLANCE, [], |_| Ok(()))
        };
        look().is_err_and(|error| QueueError::from(error).is_damage())
    }

    /// Whether somebody has put another file in the place of the open one, or has removed it.
    pub(super) fn was_replaced(&self, open: &OpenQueue) -> bool {
        let replaced = self.identity() != open.identity;
        if replaced {
            warn!(file = %self.path.display(), "the queue's file was replaced or removed; it is opened again");
        }
        replaced
    }

    /// The lock is let go when the file is dropped.
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

    fn set_aside(&self, parts: impl Iterator<Item = usize>) -> Result<(), QueueError> {
        for part in parts.map(|part| PARTS[part]) {
            let (from, to) = (with_end(&self.path, part), self.aside(part));
            for done in [fs::remove_file(&to), fs::rename(&from, &to)] {
                match done {
                    Err(source) if source.kind() != io::ErrorKind::NotFound => {
                        return Err(QueueError::SetAside { path: from, source });
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn aside(&self, part: &str) -> PathBuf {
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
    /// Closes what is damaged or was replaced, and leaves the files alone: the last one to close would copy the log into
    /// the file and remove it by its name, under which another process may have recreated it.
    pub(super) fn abandon(self) -> Identity {
        if let Err(error) = self.sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
            warn!(error = &error as &dyn std::error::Error, "the log of an abandoned queue is tidied up");
        }
        self.identity
    }

    /// Reads everything once: damage may lie where opening does not look.
    fn sound(&self) -> Result<(), QueueError> {
        // Not the quick one, which does not look whether indices and tables say the same.
        let found: String = self.sqlite.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if found == "ok" { Ok(()) } else { Err(queue::corrupt(found).into()) }
    }
}

/// What SQLite says is told as it says it: around it, a migration's own error would say it once more.
impl From<rusqlite_migration::Error> for QueueError {
    fn from(error: rusqlite_migration::Error) -> Self {
        match error {
            rusqlite_migration::Error::RusqliteError { err, .. } => Self::Sqlite(err),
            other => Self::Schema(other),
        }
    }
}

impl QueueError {
    /// Whether it says that a file is no sound database.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
    }

    /// What SQLite says of it.
    pub(super) fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sqlite(error) => error.sqlite_error_code(),
            Self::Schema(_) | Self::Lock { .. } | Self::SetAside { .. } => None,
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
    fn a_used_file_whose_index_has_lost_a_job_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queue.sqlite");
        let file = QueueFile::new(&path, directory.path().join("opening"), |_| true);
        let queue = file.open().unwrap();
        posted(&queue.sqlite, Lane::Interactive);
        posted(&queue.sqlite, Lane::Interactive);
        drop(queue);
        assert!(file.open_used().unwrap().sound().is_ok());
        assert!(!file.aside("").exists());
        dangle(&file.open().unwrap().sqlite);
        let anew = file.open_used().unwrap();
        assert!(file.aside("").exists());
        let jobs: u64 = anew.sqlite.query_row("SELECT count(*) FROM jobs", [], |row| row.get(0)).unwrap();
        assert_eq!(jobs, 0);
    }
}
