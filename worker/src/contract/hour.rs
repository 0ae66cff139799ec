//! The hours that the expiry index is divided into.

use std::{fmt, str::FromStr};

use jiff::Timestamp;

/// An hour of UTC, which names a part of the expiry index. Hours sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(i64);

/// The text is not an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an hour such as 2026-11-24T06")]
pub struct NotAnHour;

impl Hour {
    const SECONDS: i64 = 60 * 60;
    const FORMAT: &str = "%Y-%m-%dT%H";

    /// The hour of a time.
    #[must_use]
    pub fn of(time: Timestamp) -> Self {
        Self(time.as_second().div_euclid(Self::SECONDS))
    }

    /// The hour before.
    #[must_use]
    pub const fn before(self) -> Self {
        Self(self.0 - 1)
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begins = Timestamp::from_second(self.0.saturating_mul(Self::SECONDS)).unwrap_or(Timestamp::MAX);
        write!(f, "{}", begins.strftime(Self::FORMAT))
    }
}

impl FromStr for Hour {
    type Err = NotAnHour;

    fn from_str(text: &str) -> Result<Self, NotAnHour> {
        let begins: Timestamp = format!("{text}:00:00Z").parse().map_err(|_| NotAnHour)?;
        let hour = Self::of(begins);
        if hour.to_string() == text { Ok(hour) } else { Err(NotAnHour) }
    }
}
