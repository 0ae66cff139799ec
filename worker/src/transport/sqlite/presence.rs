//! Liveness: every process that uses the queue holds a lock on its own file. The kernel releases the lock when the
//! process dies, so a killed worker is detected at once and not after a lease expires.
//!
//! A process that is stopped or swapped out keeps its lock. Running processes touch their files; a file that is not
//! touched for too long belongs to a stalled process.

use std::{
    collections::HashMap,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

/// The time after which the jobs of a stalled process are requeued. Settling is fenced, so a process that resumes later
/// does no harm. It is long, because a requeued job is decoded twice.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// After a longer gap between two checks the count restarts: this process may itself have been stopped.
const MAX_CHECK_GAP: Duration = Duration::from_secs(5);

/// The time limit between creating a lock file and locking it.
const LOCKED_WITHIN: Duration = Duration::from_secs(10);

const SUFFIX: &str = ".lock";

/// The lock of this process.
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

    /// Shows that this process is running.
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

/// Watches the processes of a queue. A stalled process is detected by this process's monotonic clock: by how long its
/// file stays unchanged between checks, never by the file's timestamp.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: HashMap<String, LastTouch>,
    /// Lock files that no process holds, and since when.
    free: HashMap<String, Instant>,
}

/// The timestamp of a file, since when it is unchanged, and when it was last checked.
#[derive(Debug, Clone, Copy)]
struct LastTouch {
    touched: SystemTime,
    since: Instant,
    checked: Instant,
}

impl Watch {
    /// Whether the process has died, or has stalled for too long. Must be called at short intervals: a pause of this
    /// process says nothing about the others.
    pub(super) fn is_gone(&mut self, directory: &Path, name: &str, now: Instant) -> bool {
        let file = match File::open(lock_path(directory, name)) {
            Ok(file) => file,
            // The process removed its file, or another process did after its death. Any other error, such as too many
            // open files, says nothing about the process.
            Err(error) => return error.kind() == io::ErrorKind::NotFound,
        };
        match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => self.is_stalled(&file, name, now),
            Err(TryLockError::Error(_)) => false,
        }
    }

    fn is_stalled(&mut self, file: &File, name: &str, now: Instant) -> bool {
        let Ok(touched) = file.metadata().and_then(|meta| meta.modified()) else { return false };
        let new = LastTouch { touched, since: now, checked: now };
        let seen = self.seen.entry(name.to_owned()).or_insert(new);
        if seen.touched != touched || now.duration_since(seen.checked) > MAX_CHECK_GAP {
            *seen = new;
        }
        seen.checked = now;
        now.duration_since(seen.since) > STALL_TIMEOUT
    }

    /// Removes the locks and pipes of dead processes. A new lock file may not be locked yet, so it must be free in two
    /// checks.
    pub(super) fn tidy(&mut self, directory: &Path, now: Instant) {
        let mut found = HashMap::new();
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let file_name = entry.file_name();
            let Some(name) = file_name.to_str().and_then(|name| name.strip_suffix(SUFFIX)) else {
                continue;
            };
            let is_free = File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
            if !is_free {
                continue;
            }
            let since = self.free.get(name).copied().unwrap_or(now);
            if now.duration_since(since) > LOCKED_WITHIN {
                remove_of(directory, name);
            } else {
                found.insert(name.to_owned(), since);
            }
        }
        self.free = found;
        self.seen.retain(|name, _| lock_path(directory, name).exists());
    }
}

fn remove_of(directory: &Path, name: &str) {
    for leftover in fs::read_dir(directory).into_iter().flatten().flatten() {
        if leftover.file_name().to_string_lossy().starts_with(name) {
            let _ = fs::remove_file(leftover.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dead_processes_are_gone() {
        let (directory, now) = (tempfile::tempdir().unwrap(), Instant::now());
        let mut watch = Watch::default();
        let alive = Presence::new(directory.path(), "alive").unwrap();
        assert!(!watch.is_gone(directory.path(), "alive", now));
        drop(alive);
        assert!(watch.is_gone(directory.path(), "alive", now));
        // A killed process leaves an unlocked file.
        File::create(lock_path(directory.path(), "killed")).unwrap();
        assert!(watch.is_gone(directory.path(), "killed", now));
    }

    /// Checks once a second for this time. Returns whether the other process counts as gone at the end.
    fn watched(watch: &mut Watch, directory: &Path, from: Instant, time: Duration) -> bool {
        let steps = u32::try_from(time.as_secs()).unwrap();
        (0..=steps)
            .fold(false, |_, step| watch.is_gone(directory, "other", from + Duration::from_secs(1) * step))
    }

    #[test]
    fn a_stalled_process_is_gone_until_it_resumes() {
        let (directory, now) = (tempfile::tempdir().unwrap(), Instant::now());
        let mut watch = Watch::default();
        let stopped = Presence::new(directory.path(), "other").unwrap();
        assert!(!watched(&mut watch, directory.path(), now, STALL_TIMEOUT));
        let later = now + STALL_TIMEOUT;
        assert!(watched(&mut watch, directory.path(), later, Duration::from_secs(2)));
        stopped.touch();
        assert!(!watch.is_gone(directory.path(), "other", later + Duration::from_secs(3)));
    }

    #[test]
    fn a_step_of_the_wall_clock_stalls_no_process() {
        let (directory, now) = (tempfile::tempdir().unwrap(), Instant::now());
        let mut watch = Watch::default();
        let other = Presence::new(directory.path(), "other").unwrap();
        for hours in [-5, 5] {
            let hour = Duration::from_secs(3600);
            let stepped = if hours < 0 { SystemTime::now() - hour } else { SystemTime::now() + hour };
            other.file.set_modified(stepped).unwrap();
            assert!(!watch.is_gone(directory.path(), "other", now));
        }
    }

    #[test]
    fn a_pause_of_the_watcher_stalls_no_process() {
        let (directory, now) = (tempfile::tempdir().unwrap(), Instant::now());
        let mut watch = Watch::default();
        let _other = Presence::new(directory.path(), "other").unwrap();
        assert!(!watch.is_gone(directory.path(), "other", now));
        assert!(!watch.is_gone(directory.path(), "other", now + STALL_TIMEOUT * 10));
    }

    #[test]
    fn a_cleanup_removes_only_leftovers_of_dead_processes() {
        let (directory, now) = (tempfile::tempdir().unwrap(), Instant::now());
        let mut watch = Watch::default();
        let _alive = Presence::new(directory.path(), "alive").unwrap();
        File::create(lock_path(directory.path(), "dead")).unwrap();
        File::create(directory.path().join("dead-0.jobs")).unwrap();
        let left = || fs::read_dir(directory.path()).unwrap().count();
        watch.tidy(directory.path(), now);
        assert_eq!(left(), 3, "a lock may not be held yet");
        watch.tidy(directory.path(), now + LOCKED_WITHIN + Duration::from_secs(1));
        assert_eq!(left(), 1);
    }
}
