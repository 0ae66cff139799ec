//! Content negotiation: an answer is JSON, unless the `Accept` header names another type.

use axum::http::{HeaderMap, header};

/// A representation of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Representation {
    /// JSON, for programs and for clients that accept anything.
    Json,
    /// A page, for browsers, which name `text/html`.
    Html,
    /// The bare URL, for shell scripts.
    Plain,
}

impl Representation {
    /// The preferred representation of the `Accept` header; the first one if several have the same quality.
    pub(crate) fn preferred(headers: &HeaderMap) -> Self {
        let named = quality_of(headers, |media_type| match media_type {
            "text/html" => Some(Self::Html),
            "text/plain" => Some(Self::Plain),
            "application/json" | "application/*" | "*/*" => Some(Self::Json),
            _ => None,
        });
        named.map_or(Self::Json, |(representation, _)| representation)
    }
}

/// The first of the media types of `Accept` that `pick` knows and that has the highest quality, with its quality (RFC 9110
/// §12.5.1), above 0. Media types are in lower case.
pub(crate) fn quality_of<T>(headers: &HeaderMap, pick: impl Fn(&str) -> Option<T>) -> Option<(T, f32)> {
    let ranges = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut best: Option<(T, f32)> = None;
    for range in ranges.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let Some(picked) = pick(&parts.next().unwrap_or_default().to_ascii_lowercase()) else { continue };
        let quality = parts
            .find_map(|part| part.strip_prefix(['q', 'Q'])?.strip_prefix('='))
            .map_or(Some(1.0), |quality| quality.parse().ok());
        let least = best.as_ref().map_or(0.0, |(_, quality)| *quality);
        if let Some(quality) = quality.filter(|quality: &f32| *quality > least) {
            best = Some((picked, quality));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_and_plain_text_are_answered_only_if_named() {
        for (accept, representation) in [
            ("*/*", Representation::Json),
            ("", Representation::Json),
            ("image/png", Representation::Json),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Representation::Html),
            ("application/json, text/html", Representation::Json),
            ("text/html;q=0.5, application/json", Representation::Json),
            ("text/plain", Representation::Plain),
            ("TEXT/HTML", Representation::Html),
            ("text/html;Q=0.5, application/json", Representation::Json),
            ("text/html;q=0, */*;q=0.1", Representation::Json),
            ("text/*", Representation::Json),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            assert_eq!(Representation::preferred(&headers), representation, "{accept}");
        }
        assert_eq!(Representation::preferred(&HeaderMap::new()), Representation::Json);
    }
}
