//! Liveness: every process that uses the queue holds a lock on a file of its own. The system releases the lock
//! when the process dies, however it dies, so a killed worker is noticed at once and not after a lease.
//!
//! A process that is alive but stopped or swapped out keeps its lock. The living touch their
//! files; a file that stays the same for too long belongs to a process that stands still.

use std::{
    collections::HashMap,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

/// How long a process may stand still before what it has claimed is given to others. Settling is fenced, so a process
/// that comes back too late does no harm; long, because it costs a second decode.
pub(super) const STANDSTILL: Duration = Duration::from_secs(30);

/// After a longer gap between two looks the count restarts: this process may itself have been stopped.
const LOOKED_AWAY: Duration = Duration::from_secs(5);

/// How long a process may take from making its lock to holding it.
const LOCKED_WITHIN: Duration = Duration::from_secs(10);

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

/// Watches the processes of a queue. A process that stands still is judged by this process's own monotonic clock: by how
/// long its file has not changed while it was looked at, never by the time that is written in the file.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: HashMap<String, LastTouch>,
    /// Locks that nobody held, since when.
    free: HashMap<String, Instant>,
}

/// The time that was written in a file, since when it has been so, and when that was last checked.
#[derive(Debug, Clone, Copy)]
struct LastTouch {
    touched: SystemTime,
    since: Instant,
    looked: Instant,
}

impl Watch {
    /// Whether the process of that name has died, or has stood still for too long. To be asked every few moments: a
    /// pause of this process between two looks tells nothing of the others.
    pub(super) fn is_gone(&mut self, directory: &Path, name: &str, now: Instant) -> bool {
        let file = match File::open(lock_path(directory, name)) {
            Ok(file) => file,
            // It removed its own sign, or another process did after it died. What else keeps the file from being opened
            // (too many open files, say) tells nothing of the process.
            Err(error) => return error.kind() == io::ErrorKind::NotFound,
        };
        match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => self.stands_still(&file, name, now),
            Err(TryLockError::Error(_)) => false,
        }
    }

    fn stands_still(&mut self, file: &File, name: &str, now: Instant) -> bool {
        let Ok(touched) = file.metadata().and_then(|meta| meta.modified()) else { return false };
        let new = LastTouch { touched, since: now, looked: now };
        let seen = self.seen.entry(name.to_owned()).or_insert(new);
        if seen.touched != touched || now.duration_since(seen.looked) > LOOKED_AWAY {
            *seen = new;
        }
        seen.looked = now;
        now.duration_since(seen.since) > STANDSTILL
    }

    /// Removes what processes that died have left in the directory: their locks and their pipes. A lock that was made a
    /// moment ago may not be held yet, so it must be found free in two looks.
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
    fn the_living_are_not_gone_and_the_dead_are() {
        let (directory, now) = (tempfile::tempdir().unwrap(), Instant::now());
        let mut watch = Watch::default();
        let alive = Presence::new(directory.path(), "alive").unwrap();
        assert!(!watch.is_gone(directory.path(), "alive", now));
        drop(alive);
        assert!(watch.is_gone(directory.path(), "alive", now));
        // A file that nobody holds is what a killed process leaves.
        File::create(lock_path(directory.path(), "killed")).unwrap();
        assert!(watch.is_gone(directory.path(), "killed", now));
    }

    /// Looks as often as a living process does, for so long; answers whether the other counts as gone at the end.
    fn watched(watch: &mut Watch, directory: &Path, from: Instant, time: Duration) -> bool {
        let steps = u32::try_from(time.as_secs()).unwrap();
        (0..=steps)
            .fold(false, |_, step| watch.is_gone(directory, "other", from + Duration::from_secs(1) * step))
    }

    #[test]
    fn a_process_that_stands_still_is_gone_until_it_moves() {
        let (directory, now) = (tempfile::tempdir().unwrap(), Instant::now());
        let mut watch = Watch::default();
        let stopped = Presence::new(directory.path(), "other").unwrap();
        assert!(!watched(&mut watch, directory.path(), now, STANDSTILL));
        let later = now + STANDSTILL;
        assert!(watched(&mut watch, directory.path(), later, Duration::from_secs(2)));
        stopped.touch();
        assert!(!watch.is_gone(directory.path(), "other", later + Duration::from_secs(3)));
    }

    #[test]
    fn a_step_of_the_wall_clock_makes_nobody_stand_still() {
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
    fn a_pause_of_the_watcher_tells_nothing_of_the_watched() {
        let (directory, now) = (tempfile::tempdir().unwrap(), Instant::now());
        let mut watch = Watch::default();
        let _other = Presence::new(directory.path(), "other").unwrap();
        assert!(!watch.is_gone(directory.path(), "other", now));
        assert!(!watch.is_gone(directory.path(), "other", now + STANDSTILL * 10));
    }

    #[test]
    fn tidying_removes_the_leftovers_of_the_dead_only() {
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
