//! Shutdown: the first signal drains, the second exits at once.

use std::{io::Read, process, thread};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The exit code that a shell reports after SIGTERM.
const KILLED_BY_SIGTERM: i32 = 128 + 15;

/// A token that is cancelled by the first SIGTERM or SIGINT. A second one ends the process.
///
/// # Panics
/// Outside a runtime, or when the system refuses a signal handler.
#[must_use]
pub fn on_signal() -> CancellationToken {
    let draining = CancellationToken::new();
    let (mut terminate, mut interrupt) = (handle(SignalKind::terminate()), handle(SignalKind::interrupt()));
    // A file that grows past RLIMIT_FSIZE is an error like any other, not a reason to die.
    let too_large = handle(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
    let drain = draining.clone();
    tokio::spawn(async move {
        let _kept = too_large;
        for signals in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if signals > 0 {
                warn!("second signal: exiting at once");
                process::exit(KILLED_BY_SIGTERM);
            }
            info!("received a signal: draining");
            drain.cancel();
        }
    });
    draining
}

fn handle(kind: SignalKind) -> Signal {
    signal(kind).expect("a process may handle its own signals")
}

/// Cancels the token when standard input closes. It closes when the parent process dies, because that holds the other
/// end.
pub(crate) fn with_parent(draining: CancellationToken) {
    // A separate thread, because the runtime would wait for this read at shutdown.
    thread::spawn(move || {
        while matches!(std::io::stdin().read(&mut [0]), Ok(read) if read > 0) {}
        info!("the parent process ended: draining");
        draining.cancel();
    });
}
