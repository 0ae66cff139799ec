//! How long uploads are kept: the setting `--keep`, and what a client asks for.

use std::{fmt, str::FromStr, time::Duration};

/// The longest time that can be asked for: a hundred years, which every calendar can add.
const MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// How long uploads are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    default: Duration,
    maximum: Duration,
}

impl Keep {
    /// The longest time that an upload is kept, in seconds.
    #[must_use]
    pub fn maximum_seconds(self) -> u64 {
        self.maximum.as_secs()
    }
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (default, maximum) = text.split_once(',').unwrap_or((text, text));
        let keep = Self { default: parse_time(default)?, maximum: parse_time(maximum)? };
        if keep.default > keep.maximum {
            return Err("the default is longer than the maximum".to_owned());
        }
        Ok(keep)
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", humantime::format_duration(self.default), humantime::format_duration(self.maximum))
    }
}

/// Reads a time: a bare number counts seconds.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let seconds = text.parse().map(Duration::from_secs);
    let time = seconds.or_else(|_| humantime::parse_duration(text)).map_err(|error| error.to_string())?;
    if time < Duration::from_secs(1) || time > MAX {
        return Err("a time must be at least one second and at most a hundred years".to_owned());
    }
    Ok(time)
}

/// How long an upload is kept that asks for `asked`. Without a setting everything is kept that does not ask.
pub(crate) fn kept_for(keep: Option<Keep>, asked: Option<Duration>) -> Option<Duration> {
    match (keep, asked) {
        (None, asked) => asked,
        (Some(keep), None) => Some(keep.default),
        (Some(keep), Some(asked)) => Some(asked.min(keep.maximum)),
    }
}

/// Reads the seconds that a client asks for. An empty text, as an empty field of a form has it, asks for nothing.
pub(crate) fn parse_expires(text: &str) -> Result<Option<Duration>, BadExpires> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadExpires);
    }
    // More digits than a number has are more than the maximum.
    let seconds = text.parse().map_or(MAX, Duration::from_secs).min(MAX);
    if seconds.is_zero() { Err(BadExpires) } else { Ok(Some(seconds)) }
}

/// The text is no number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadExpires;

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn a_setting_has_a_default_and_a_maximum() {
        let keep: Keep = "30d".parse().unwrap();
        assert_eq!(keep, Keep { default: keep.maximum, maximum: Duration::from_secs(30 * 86_400) });
        let keep: Keep = "1h, 7d".parse().unwrap();
        assert_eq!((kept_for(Some(keep), None), keep.maximum_seconds()), (seconds(3600), 604_800));
        assert_eq!(kept_for(Some(keep), seconds(60)), seconds(60));
        assert_eq!(kept_for(Some(keep), seconds(999_999_999)), seconds(604_800));
        assert_eq!(keep.to_string().parse(), Ok(keep));
        for bad in ["", "0", "never", "7d,1h", "1h,", "1h,2h,3h", "0s", "101years", "-1"] {
            assert!(bad.parse::<Keep>().is_err(), "{bad}");
        }
    }

    #[test]
    fn without_a_setting_an_upload_is_kept_for_as_long_as_it_asks() {
        assert_eq!(kept_for(None, None), None);
        assert_eq!(kept_for(None, seconds(60)), seconds(60));
    }

    #[test]
    fn seconds_are_read_and_nonsense_is_refused() {
        assert_eq!(parse_expires("3600"), Ok(seconds(3600)));
        assert_eq!(parse_expires(" "), Ok(None));
        assert_eq!(parse_expires("99999999999999999999999"), Ok(Some(MAX)));
        for bad in ["0", "-1", "1.5", "1h", "soon", "+5", "1e3", "\u{fffd}"] {
            assert_eq!(parse_expires(bad), Err(BadExpires), "{bad}");
        }
    }
}
