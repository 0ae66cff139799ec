//! Reports of readiness: whether the server can accept uploads.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::{sync::Mutex, time::Instant};

/// The result of a check. Reasons are for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// Storage, outbox and broker answer.
    Ready,
    /// The broker is unavailable, or no worker process runs; jobs wait.
    Degraded(Vec<String>),
    /// Uploads cannot be accepted.
    NotReady(Vec<String>),
}

/// The last report of a server, and its time.
pub(crate) type LastReport = Mutex<Option<(Instant, Report)>>;

/// The worker processes of a server.
#[derive(Default)]
pub(crate) struct WorkerProcesses {
    running: AtomicUsize,
    /// Those that ended, or could not be started, and were not started again since.
    down: AtomicUsize,
}

impl WorkerProcesses {
    /// Counts a process as running until the guard is dropped. `was_down`: it was counted as down before.
    pub(crate) fn on_started(&self, was_down: bool) -> RunningProcess<'_> {
        self.running.fetch_add(1, Ordering::Relaxed);
        if was_down {
            self.down.fetch_sub(1, Ordering::Relaxed);
        }
        RunningProcess(self)
    }

    /// Counts a process that ended, or could not be started.
    pub(crate) fn on_down(&self) {
        self.down.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of processes that run.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Whether none of so many runs any more.
    pub(crate) fn are_all_down(&self, of: usize) -> bool {
        of > 0 && self.down.load(Ordering::Relaxed) >= of
    }
}

/// A worker process that runs.
pub(crate) struct RunningProcess<'server>(&'server WorkerProcesses);

impl Drop for RunningProcess<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}
