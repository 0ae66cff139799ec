//! The two clocks: the wall clock for people, the monotonic clock for everything that waits.

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// The wall clock, to the millisecond: finer digits are noise in an answer. It may step, so nothing waits for it.
#[must_use]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// Milliseconds of the clock that all processes of a host share and that never steps. It restarts at each boot.
pub(crate) fn monotonic_ms() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000)
}
