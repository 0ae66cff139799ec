//! The `Range` header (RFC 9110 §14), one range of bytes at a time. `headers::Range` does not do: it takes `+0-9` for a
//! range, and drops a suffix that is longer than the file instead of answering the whole file.

use std::ops::Range;

use axum::http::{HeaderMap, Method, header};
use headers::{ETag, HeaderMapExt, IfRange};

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Everything: no Range, an unparsable one, a failed If-Range, or not GET (RFC 9110 §14.2).
    Whole,
    /// These bytes; never empty.
    Part(Range<u64>),
    /// Bytes that are not there.
    Outside,
}

impl Wanted {
    /// Reads the headers for a file of `total` bytes. Several ranges at once are answered with the whole.
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

/// Digits only: a sign would be read as well.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"this\"";

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
            ("bytes=+0-9", Wanted::Whole),
        ] {
            let headers = HeaderMap::from_iter([(header::RANGE, range.parse().unwrap())]);
            assert_eq!(Wanted::parse(&Method::GET, &headers, ETAG, 100), wanted, "{range}");
            assert_eq!(Wanted::parse(&Method::HEAD, &headers, ETAG, 100), Wanted::Whole, "{range}");
        }
        assert_eq!(Wanted::parse(&Method::GET, &HeaderMap::new(), ETAG, 100), Wanted::Whole);
    }

    #[test]
    fn a_part_is_one_of_the_file_that_the_client_has() {
        for (known, wanted) in [
            (ETAG, Wanted::Part(0..10)),
            ("\"another\"", Wanted::Whole),
            ("W/\"this\"", Wanted::Whole),
            ("Fri, 27 Nov 2026 12:00:00 GMT", Wanted::Whole),
        ] {
            let headers = HeaderMap::from_iter([
                (header::RANGE, "bytes=0-9".parse().unwrap()),
                (header::IF_RANGE, known.parse().unwrap()),
            ]);
            assert_eq!(Wanted::parse(&Method::GET, &headers, ETAG, 100), wanted, "{known}");
        }
    }
}
