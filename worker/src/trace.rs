//! W3C Trace Context: links log records of all processes to one request.

use std::{fmt, num::NonZero, str::FromStr};

/// The length of version 00. This build reads only this part of a later version.
const LENGTH: usize = 55;

/// The only flag of version 00: the caller records the trace.
const SAMPLED: u8 = 1;

/// A `traceparent`: the trace, and the span of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace: NonZero<u128>,
    parent: NonZero<u64>,
    flags: u8,
}

/// The text is not a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent; expected 00-<32 hexadecimal digits>-<16>-<2>, in lower case")]
pub struct BadTraceParent;

impl TraceParent {
    /// Starts a trace; the numbers should be random.
    #[must_use]
    pub const fn begin(trace: NonZero<u128>, parent: NonZero<u64>) -> Self {
        Self { trace, parent, flags: 0 }
    }

    /// The next step of the same trace; the number should be random.
    #[must_use]
    pub const fn step(self, parent: NonZero<u64>) -> Self {
        Self { parent, ..self }
    }

    /// The id of the trace.
    #[must_use]
    pub const fn trace_id(&self) -> TraceId {
        TraceId(self.trace)
    }

    /// The trace id of a message, if it carries a valid `traceparent`.
    #[must_use]
    pub fn trace_id_of(traceparent: Option<&str>) -> Option<TraceId> {
        traceparent?.parse().ok().as_ref().map(Self::trace_id)
    }
}

impl FromStr for TraceParent {
    type Err = BadTraceParent;

    /// As strict as the specification: lower case only, no zero ids, the exact length of version 00. A later version is
    /// read as far as version 00 goes.
    fn from_str(text: &str) -> Result<Self, BadTraceParent> {
        let (known, rest) = text.split_at_checked(LENGTH).ok_or(BadTraceParent)?;
        let [version, trace, parent, flags] =
            <[&str; 4]>::try_from(known.split('-').collect::<Vec<_>>()).map_err(|_| BadTraceParent)?;
        let version = digits(version, 2)?;
        if version == 0xff
            || (version == 0 && !rest.is_empty())
            || !(rest.is_empty() || rest.starts_with('-'))
        {
            return Err(BadTraceParent);
        }
        let parent = u64::try_from(digits(parent, 16)?).ok().and_then(NonZero::new).ok_or(BadTraceParent)?;
        let flags = u8::try_from(digits(flags, 2)?).map_err(|_| BadTraceParent)?;
        let trace = NonZero::new(digits(trace, 32)?).ok_or(BadTraceParent)?;
        Ok(Self { trace, parent, flags: flags & SAMPLED })
    }
}

fn digits(text: &str, count: usize) -> Result<u128, BadTraceParent> {
    let small = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if text.len() != count || !small {
        return Err(BadTraceParent);
    }
    u128::from_str_radix(text, 16).map_err(|_| BadTraceParent)
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.parent, self.flags)
    }
}

/// The id of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(NonZero<u128>);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_round_trips_and_its_next_step_stays_in_the_trace() {
        let parsed: TraceParent = EXAMPLE.parse().unwrap();
        assert_eq!(parsed.to_string(), EXAMPLE);
        assert_eq!(parsed.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        let next = parsed.step(NonZero::new(1).unwrap()).to_string();
        assert_eq!(next, "00-0af7651916cd43dd8448eb211c80319c-0000000000000001-01");
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = EXAMPLE.replacen("00", "cc", 1) + "-what-the-future-brings";
        assert_eq!(later.parse::<TraceParent>().unwrap().to_string(), EXAMPLE);
    }

    #[test]
    fn an_invalid_traceparent_is_refused() {
        for bad in [
            "",
            "00-trace",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-011",
            "ééééééééééééééééééééééééééééééééééééééé",
        ] {
            assert_eq!(bad.parse::<TraceParent>(), Err(BadTraceParent), "{bad}");
        }
    }
}
