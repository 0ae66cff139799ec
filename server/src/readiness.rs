//! Reports of readiness: whether the server can accept uploads.

use tokio::{sync::Mutex, time::Instant};

/// The result of a check. Reasons are for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// Storage, outbox and broker answer.
    Ready,
    /// The broker is unavailable; jobs wait in the outbox.
    Degraded(Vec<String>),
    /// Uploads cannot be accepted.
    NotReady(Vec<String>),
}

/// The last report of a server, and its time.
pub(crate) type LastReport = Mutex<Option<(Instant, Report)>>;
