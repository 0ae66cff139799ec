//! The `Range` header (RFC 9110), one range of bytes at a time.

use std::ops::Range;

use axum::http::{HeaderMap, header};

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Everything: no range, or one that is not understood, which the RFC wants ignored.
    Whole,
    /// These bytes; never empty.
    Part(Range<u64>),
    /// Bytes that are not there.
    Outside,
}

impl Wanted {
    /// Reads the header for a file of `total` bytes. Several ranges at once are answered with the whole.
    pub(crate) fn parse(headers: &HeaderMap, total: u64) -> Self {
        let Some(range) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else {
            return Self::Whole;
        };
        let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
            return Self::Whole;
        };
        let (first, last) = (first.trim(), last.trim());
        let part = match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first <= last => first..total.min(last.saturating_add(1)),
            (Ok(first), Err(_)) if last.is_empty() => first..total,
            (Err(_), Ok(suffix)) if first.is_empty() => total.saturating_sub(suffix)..total,
            _ => return Self::Whole,
        };
        if part.is_empty() { Self::Outside } else { Self::Part(part) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        for (range, wanted) in [
            ("bytes=0-9", Wanted::Part(0..10)),
            ("bytes=90-", Wanted::Part(90..100)),
            ("bytes=90-1000", Wanted::Part(90..100)),
            ("bytes=-10", Wanted::Part(90..100)),
            ("bytes=-1000", Wanted::Part(0..100)),
            ("bytes=100-", Wanted::Outside),
            ("bytes=-0", Wanted::Outside),
            ("bytes=9-0", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
            ("bytes=x-y", Wanted::Whole),
        ] {
            let headers = HeaderMap::from_iter([(header::RANGE, range.parse().unwrap())]);
            assert_eq!(Wanted::parse(&headers, 100), wanted, "{range}");
        }
        assert_eq!(Wanted::parse(&HeaderMap::new(), 100), Wanted::Whole);
    }
}
