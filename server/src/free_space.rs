//! The minimum of free disk space. Below it, uploads are refused with 507, so that workers can finish accepted ones.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::fs::statvfs;
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout},
};

/// The default floor, in bytes. On a small disk it is one part in [`DEFAULT_PART`] of the disk.
const DEFAULT_FLOOR: u64 = 1024 * 1024 * 1024;
const DEFAULT_PART: u64 = 20;

/// How long a measurement is reused. What uploads write in this time is counted.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The time limit of a measurement: a local disk answers within microseconds, and a network file system that is away does
/// not answer. The last measurement counts then.
const MEASURED_WITHIN: Duration = Duration::from_secs(1);

/// The name of the disk that pictures are written to.
pub(crate) const STORAGE: &str = "storage";

/// The disks of the outbox and of local storage. Clones share the measurement.
#[derive(Clone)]
pub(crate) struct FreeSpace(Arc<Disks>);

struct Disks {
    directories: Vec<(&'static str, PathBuf)>,
    floor: Option<u64>,
    measured: Mutex<Option<(Instant, Vec<Disk>)>>,
    is_measuring: AtomicBool,
    /// Bytes that were written to storage since the last measurement.
    written: AtomicU64,
}

/// Sizes of a disk, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disk {
    /// The use of the disk: `outbox` or `storage`.
    pub(crate) name: &'static str,
    pub(crate) available: u64,
    total: u64,
}

impl Disk {
    /// `None` if it cannot be measured: the next write to it reports the error.
    fn of(name: &'static str, directory: &Path) -> Option<Self> {
        let disk = statvfs(directory).ok()?;
        let size = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Some(Self { name, available: size(disk.f_bavail), total: size(disk.f_blocks) })
    }

    /// The bytes above the floor.
    fn above(self, floor: Option<u64>) -> u64 {
        let floor = floor.unwrap_or_else(|| DEFAULT_FLOOR.min(self.total / DEFAULT_PART));
        self.available.saturating_sub(floor)
    }
}

impl FreeSpace {
    /// Of directories, each with the name of its disk.
    pub(crate) fn new(directories: Vec<(&'static str, PathBuf)>, floor: Option<u64>) -> Self {
        let (measured, is_measuring, written) = Default::default();
        Self(Arc::new(Disks { directories, floor, measured, is_measuring, written }))
    }

    /// Whether a body of this many bytes leaves the floor free.
    pub(crate) async fn has_room_for(&self, bytes: u64) -> bool {
        let disks = self.disks().await;
        let written = self.0.written.load(Ordering::Relaxed);
        let room = disks.into_iter().map(|disk| {
            let above = disk.above(self.0.floor);
            if disk.name == STORAGE { above.saturating_sub(written) } else { above }
        });
        room.min().unwrap_or(u64::MAX) > bytes
    }

    /// Whether so many bytes more can be written to storage, which then count as written. Not every body tells its
    /// length, and many may come at once.
    pub(crate) async fn take(&self, bytes: u64) -> bool {
        let has_room = self.has_room_for(bytes).await;
        if has_room {
            self.0.written.fetch_add(bytes, Ordering::Relaxed);
        }
        has_room
    }

    /// The disks that can be measured. A measurement is reused for [`LOOK_EVERY`].
    pub(crate) async fn disks(&self) -> Vec<Disk> {
        if let Some((at, disks)) = &*self.0.measured()
            && at.elapsed() < LOOK_EVERY
        {
            return disks.clone();
        }
        // One thread at most waits for a disk that does not answer.
        if !self.0.is_measuring.swap(true, Ordering::Relaxed) {
            let disks = Arc::clone(&self.0);
            let _ = timeout(MEASURED_WITHIN, spawn_blocking(move || disks.measure())).await;
        }
        self.0.measured().as_ref().map(|(_, disks)| disks.clone()).unwrap_or_default()
    }
}

impl Disks {
    fn measure(&self) {
        let disks =
            self.directories.iter().filter_map(|(name, directory)| Disk::of(name, directory)).collect();
        *self.measured() = Some((Instant::now(), disks));
        self.written.store(0, Ordering::Relaxed);
        self.is_measuring.store(false, Ordering::Relaxed);
    }

    fn measured(&self) -> MutexGuard<'_, Option<(Instant, Vec<Disk>)>> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1024 * 1024 * 1024;

    #[test]
    fn the_floor_is_a_gibibyte_or_the_twentieth_part_of_a_small_disk_or_what_is_set() {
        let large = Disk { name: STORAGE, available: 3 * GIB, total: 100 * GIB };
        let small = Disk { name: STORAGE, available: GIB, total: 10 * GIB };
        assert_eq!((large.above(None), small.above(None)), (2 * GIB, GIB / 2));
        assert_eq!((large.above(Some(0)), large.above(Some(4 * GIB))), (3 * GIB, 0));
    }

    #[tokio::test]
    async fn a_directory_that_is_not_there_stops_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let missing = vec![(STORAGE, directory.path().join("missing"))];
        assert!(FreeSpace::new(missing, None).has_room_for(u64::MAX - 1).await);
        let there = vec![(STORAGE, directory.path().to_owned())];
        assert!(!FreeSpace::new(there, Some(u64::MAX)).has_room_for(0).await);
    }

    #[tokio::test]
    async fn a_disk_that_does_not_answer_is_waited_for_by_one_measurement_at_most() {
        let directory = tempfile::tempdir().unwrap();
        let space = FreeSpace::new(vec![(STORAGE, directory.path().to_owned())], None);
        space.0.is_measuring.store(true, Ordering::Relaxed);
        assert!(timeout(Duration::ZERO, space.has_room_for(1)).await.is_ok_and(|has_room| has_room));
    }

    #[tokio::test]
    async fn bytes_that_are_written_between_two_measurements_count() {
        let with_room = |name| {
            let space = FreeSpace::new(Vec::new(), Some(0));
            // A measurement that stays new.
            let measured_at = Instant::now() + Duration::from_secs(3600);
            *space.0.measured() = Some((measured_at, vec![Disk { name, available: 100, total: 100 }]));
            space
        };
        let storage = with_room(STORAGE);
        assert_eq!(
            [storage.take(50).await, storage.take(50).await, storage.take(49).await],
            [true, false, true]
        );
        let outbox = with_room("outbox");
        assert!(outbox.take(99).await && outbox.take(99).await, "pictures are not written to it");
    }
}
