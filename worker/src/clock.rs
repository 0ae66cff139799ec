//! The two clocks: the wall clock for people, the monotonic clock for every wait.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// The wall clock, to the millisecond: finer digits are noise in a response. It may step, so no wait depends on it.
#[must_use]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// A clock for the age of files: the earlier of the wall clock and of the time since this process started. No step of
/// the wall clock makes a file look older than it is.
#[derive(Debug, Clone, Copy)]
pub struct AgeClock {
    began_at: Timestamp,
    began: Instant,
}

impl AgeClock {
    /// Starts the clock. Call it before files are written whose age is measured.
    #[must_use]
    pub fn start() -> Self {
        Self { began_at: Timestamp::now(), began: Instant::now() }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.earlier(self.began.elapsed(), Timestamp::now())
    }

    fn earlier(&self, elapsed: Duration, wall: Timestamp) -> Timestamp {
        self.began_at.checked_add(elapsed).map_or(wall, |steady| steady.min(wall))
    }
}

/// Milliseconds of the clock that all processes of a host share and that never steps. It restarts at each boot.
pub(crate) fn monotonic_ms() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_the_wall_clock_makes_nothing_older() {
        const HOUR: Duration = Duration::from_secs(60 * 60);
        let clock = AgeClock::start();
        let an_hour_later = clock.began_at + HOUR;
        assert_eq!(clock.earlier(HOUR, an_hour_later), an_hour_later);
        assert_eq!(clock.earlier(HOUR, an_hour_later + 24 * HOUR), an_hour_later);
        assert_eq!(clock.earlier(HOUR, an_hour_later - 24 * HOUR), an_hour_later - 24 * HOUR);
    }
}
