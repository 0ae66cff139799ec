//! Who is alive: every process that uses the queue holds a lock on a file of its own. The system lets go of the lock
//! when the process dies, however it dies, so a killed worker is noticed at once and not after a lease.
//!
//! A process that is alive but stands still (stopped, or swapped out for good) keeps its lock; it is told by the
//! age of its file, which the living touch.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// How long a process may stand still before what it has claimed is given to others. Settling is fenced, so a process
/// that comes back too late does no harm; long, because it costs a second decode.
pub(super) const STANDSTILL: Duration = Duration::from_secs(30);

const SUFFIX: &str = ".lock";

/// This process's own sign of life.
#[derive(Debug)]
pub(super) struct Presence {
    /// Locked as long as it is open.
    file: File,
    path: PathBuf,
}

impl Presence {
    pub(super) fn new(directory: &Path, name: &str) -> io::Result<Self> {
        let path = lock_path(directory, name);
        let file = File::create_new(&path)?;
        file.lock()?;
        Ok(Self { file, path })
    }

    /// Says that this process still moves.
    pub(super) fn touch(&self) {
        let _ = self.file.set_modified(SystemTime::now());
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn lock_path(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}{SUFFIX}"))
}

/// Whether the process of that name has died, or has stood still for too long.
pub(super) fn is_gone(directory: &Path, name: &str) -> bool {
    let file = match File::open(lock_path(directory, name)) {
        Ok(file) => file,
        // It removed its own sign, or somebody did after it died. What else keeps the file from being opened (too
        // many open files, say) tells nothing of the process.
        Err(error) => return error.kind() == io::ErrorKind::NotFound,
    };
    match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => {
            let touched = file.metadata().and_then(|meta| meta.modified());
            touched.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > STANDSTILL))
        }
        Err(TryLockError::Error(_)) => false,
    }
}

/// Removes what processes that died have left in the directory: their locks and their pipes.
pub(super) fn tidy(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let file_name = entry.file_name();
        let Some(name) = file_name.to_str().and_then(|name| name.strip_suffix(SUFFIX)) else {
            continue;
        };
        // Older than a standstill: a lock that was made a moment ago may not be held yet.
        let old = entry.metadata().and_then(|meta| meta.modified());
        let old = old.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > STANDSTILL));
        if !old || !File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            continue;
        }
        for leftover in fs::read_dir(directory).into_iter().flatten().flatten() {
            if leftover.file_name().to_string_lossy().starts_with(name) {
                let _ = fs::remove_file(leftover.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_living_are_not_gone_and_the_dead_are() {
        let directory = tempfile::tempdir().unwrap();
        let alive = Presence::new(directory.path(), "alive").unwrap();
        assert!(!is_gone(directory.path(), "alive"));
        drop(alive);
        assert!(is_gone(directory.path(), "alive"));
        // A file that nobody holds is what a killed process leaves.
        File::create(lock_path(directory.path(), "killed")).unwrap();
        assert!(is_gone(directory.path(), "killed"));
    }

    #[test]
    fn who_stands_still_is_gone_until_it_moves() {
        let directory = tempfile::tempdir().unwrap();
        let stopped = Presence::new(directory.path(), "stopped").unwrap();
        stopped.file.set_modified(SystemTime::now() - STANDSTILL - Duration::from_secs(1)).unwrap();
        assert!(is_gone(directory.path(), "stopped"));
        stopped.touch();
        assert!(!is_gone(directory.path(), "stopped"));
    }

    #[test]
    fn tidying_removes_the_leftovers_of_the_dead_only() {
        let directory = tempfile::tempdir().unwrap();
        let alive = Presence::new(directory.path(), "alive").unwrap();
        let long_ago = SystemTime::now() - STANDSTILL * 2;
        alive.file.set_modified(long_ago).unwrap();
        File::create(lock_path(directory.path(), "dead")).unwrap().set_modified(long_ago).unwrap();
        File::create(directory.path().join("dead-0.jobs")).unwrap();
        tidy(directory.path());
        let left: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["alive.lock"]);
    }
}
