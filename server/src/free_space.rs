//! The minimum of free disk space. Below it, uploads are refused with 507, so that workers can finish accepted ones.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustix::fs::statvfs;
use tokio::time::Instant;

/// The default floor, in bytes. On a small disk it is one part in [`DEFAULT_PART`] of the disk.
const DEFAULT_FLOOR: u64 = 1024 * 1024 * 1024;
const DEFAULT_PART: u64 = 20;

/// How long a measurement is reused. Uploads write a few hundred megabytes at most in this time.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The disks of the outbox and of local storage.
pub(crate) struct FreeSpace {
    directories: Vec<PathBuf>,
    floor: Option<u64>,
    seen: Mutex<Option<(Instant, u64)>>,
}

/// Sizes of a disk, in bytes.
#[derive(Debug, Clone, Copy)]
struct Disk {
    available: u64,
    total: u64,
}

impl Disk {
    /// The bytes above the floor.
    fn above(self, floor: Option<u64>) -> u64 {
        let floor = floor.unwrap_or_else(|| DEFAULT_FLOOR.min(self.total / DEFAULT_PART));
        self.available.saturating_sub(floor)
    }
}

impl FreeSpace {
    pub(crate) fn new(directories: Vec<PathBuf>, floor: Option<u64>) -> Self {
        Self { directories, floor, seen: Mutex::default() }
    }

    /// Whether a body of this many bytes leaves the floor free. Blocks for a moment, once in [`LOOK_EVERY`].
    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        self.room() > bytes
    }

    fn room(&self) -> u64 {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, room)) = *seen
            && at.elapsed() < LOOK_EVERY
        {
            return room;
        }
        let disk = |directory: &PathBuf| {
            // A directory that cannot be measured is skipped: the next write to it reports the error.
            let disk = statvfs(directory).ok()?;
            let size = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
            Some(Disk { available: size(disk.f_bavail), total: size(disk.f_blocks) }.above(self.floor))
        };
        let room = self.directories.iter().filter_map(disk).min().unwrap_or(u64::MAX);
        *seen = Some((Instant::now(), room));
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1024 * 1024 * 1024;

    #[test]
    fn the_floor_is_a_gibibyte_or_the_twentieth_part_of_a_small_disk_or_what_is_set() {
        let large = Disk { available: 3 * GIB, total: 100 * GIB };
        let small = Disk { available: GIB, total: 10 * GIB };
        assert_eq!((large.above(None), small.above(None)), (2 * GIB, GIB / 2));
        assert_eq!((large.above(Some(0)), large.above(Some(4 * GIB))), (3 * GIB, 0));
    }

    #[test]
    fn a_directory_that_is_not_there_stops_nobody() {
        let directory = tempfile::tempdir().unwrap();
        assert!(FreeSpace::new(vec![directory.path().join("missing")], None).has_room_for(u64::MAX - 1));
        assert!(!FreeSpace::new(vec![directory.path().to_owned()], Some(u64::MAX)).has_room_for(0));
    }
}
