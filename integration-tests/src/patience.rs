//! Waiting for a condition, with a deadline, and never for a time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long a condition may take that is expected at once: generous, since tests share two cores.
pub const SOON: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits until `look` answers something.
///
/// # Panics
/// When it has not by the deadline.
pub async fn eventually<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "{what}: not within {within:?}");
        sleep(LOOK_EVERY).await;
    }
}
