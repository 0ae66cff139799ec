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

/// The worker processes of a server that ended, or could not be started, and were not started again since.
#[derive(Default)]
pub(crate) struct DownWorkers(AtomicUsize);

impl DownWorkers {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove_one(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether none of so many runs any more.
    pub(crate) fn are_all(&self, of: usize) -> bool {
        of > 0 && self.0.load(Ordering::Relaxed) >= of
    }
}
