//! How often a job is tried, and when.

use std::time::Duration;

/// The delays after the first, second and third failure of a job. After one more it is dead: what has not passed in
/// five minutes needs an operator.
pub const RETRY_DELAYS: [Duration; 3] =
    [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(300)];

/// Whether a job has failed as often as it may.
pub(super) const fn spent(failures: u32) -> bool {
    failures as usize > RETRY_DELAYS.len()
}

/// The delay of a delivery that failed after so many earlier failures.
pub(super) fn retry_delay(failures: u32) -> Duration {
    let last = RETRY_DELAYS.len() - 1;
    RETRY_DELAYS[usize::try_from(failures).unwrap_or(last).min(last)]
}
