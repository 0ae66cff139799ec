//! The `Range` header (RFC 9110 §14) with a single range of bytes. `headers::Range` is not used: it accepts `+0-9`, and
//! ignores a suffix that is longer than the file.

use std::ops::Range;

use axum::http::{HeaderMap, Method, header};
use headers::{ETag, HeaderMapExt, IfRange};

/// The bytes of a file that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RequestedBytes {
    /// The whole file: no Range, an unparsable one, a failed If-Range, or not GET (RFC 9110 §14.2).
    Whole,
    /// These bytes. The range is never empty.
    Part(Range<u64>),
    /// A range outside the file.
    Outside,
}

impl RequestedBytes {
    /// Parses the headers for a file of `total` bytes. A request for several ranges gets the whole file.
    pub(crate) fn parse(method: &Method, headers: &HeaderMap, etag: &str, total: u64) -> Self {
        if method != Method::GET || !if_range_holds(headers, etag) {
            return Self::Whole;
        }
        let Some(range) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else {
            return Self::Whole;
        };
        let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
            return Self::Whole;
        };
        let (first, last) = (first.trim(), last.trim());
        let part = match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => first..total.min(last.saturating_add(1)),
            (Some(first), None) if last.is_empty() => first..total,
            (None, Some(suffix)) if first.is_empty() => total.saturating_sub(suffix)..total,
            _ => return Self::Whole,
        };
        if part.is_empty() { Self::Outside } else { Self::Part(part) }
    }
}

fn if_range_holds(headers: &HeaderMap, etag: &str) -> bool {
    match headers.typed_try_get::<IfRange>() {
        Ok(None) => true,
        Ok(Some(condition)) => !condition.is_modified(etag.parse::<ETag>().ok().as_ref(), None),
        Err(_) => false,
    }
}

/// Parses digits only: `u64::from_str` would accept a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"this\"";

    #[test]
    fn ranges_are_parsed_as_rfc_9110_specifies() {
        for (range, wanted) in [
            ("bytes=0-9", RequestedBytes::Part(0..10)),
            ("bytes=90-", RequestedBytes::Part(90..100)),
            ("bytes=90-1000", RequestedBytes::Part(90..100)),
            ("bytes=-10", RequestedBytes::Part(90..100)),
            ("bytes=-1000", RequestedBytes::Part(0..100)),
            ("bytes=100-", RequestedBytes::Outside),
            ("bytes=-0", RequestedBytes::Outside),
            ("bytes=9-0", RequestedBytes::Whole),
            ("bytes=0-1,3-4", RequestedBytes::Whole),
            ("lines=1-2", RequestedBytes::Whole),
            ("bytes=x-y", RequestedBytes::Whole),
            ("bytes=+0-9", RequestedBytes::Whole),
        ] {
            let headers = HeaderMap::from_iter([(header::RANGE, range.parse().unwrap())]);
            assert_eq!(RequestedBytes::parse(&Method::GET, &headers, ETAG, 100), wanted, "{range}");
            assert_eq!(
                RequestedBytes::parse(&Method::HEAD, &headers, ETAG, 100),
                RequestedBytes::Whole,
                "{range}"
            );
        }
        assert_eq!(RequestedBytes::parse(&Method::GET, &HeaderMap::new(), ETAG, 100), RequestedBytes::Whole);
    }

    #[test]
    fn a_range_is_ignored_unless_if_range_matches_the_etag() {
        for (known, wanted) in [
            (ETAG, RequestedBytes::Part(0..10)),
            ("\"another\"", RequestedBytes::Whole),
            ("W/\"this\"", RequestedBytes::Whole),
            ("Fri, 27 Nov 2026 12:00:00 GMT", RequestedBytes::Whole),
        ] {
            let headers = HeaderMap::from_iter([
                (header::RANGE, "bytes=0-9".parse().unwrap()),
                (header::IF_RANGE, known.parse().unwrap()),
            ]);
            assert_eq!(RequestedBytes::parse(&Method::GET, &headers, ETAG, 100), wanted, "{known}");
        }
    }
}
