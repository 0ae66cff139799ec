//! The parts of answers: JSON, headers, links and conditions.

use axum::{
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use headers::{ETag, HeaderMapExt, IfNoneMatch};
use serde::Serialize;
use worker::LinkBase;

use crate::config::Embedding;

/// `Cache-Control` of an original and of a thumbnail: neither ever changes. A retry follows a failure, which has no
/// thumbnails.
pub(crate) const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// `Cache-Control` of an answer that may change at any moment.
pub(crate) const NO_STORE: &str = "no-store";

/// Headers of untrusted bytes: scripts in them do not run, and the [`Embedding`] tells whose pages may show them.
pub(crate) const fn safe_headers(embedding: Embedding) -> [(HeaderName, &'static str); 3] {
    let policy = match embedding {
        Embedding::Anywhere => "cross-origin",
        Embedding::SameOrigin => "same-origin",
    };
    [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        (HeaderName::from_static("cross-origin-resource-policy"), policy),
    ]
}

/// A JSON answer. It ends with a newline, for people who read it in a terminal.
pub(crate) fn json<T: Serialize>(value: &T) -> Response {
    let mut body = serde_json::to_string(value).expect("an answer has only string keys and finite numbers");
    body.push('\n');
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, body).into_response()
}

/// Redirects a browser with 303.
pub(crate) fn see_other(location: String) -> Response {
    let headers = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, NO_STORE.to_owned()),
        (header::VARY, "accept".to_owned()),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// A link as a full URL, for clients that cannot use a path. Without a public URL the request's `Host` is used: the
/// answer goes to that client only.
pub(crate) fn absolute(base: &LinkBase, headers: &HeaderMap, link: &str) -> String {
    if base.is_absolute() {
        return link.to_owned();
    }
    match headers.typed_get::<headers::Host>() {
        Some(host) => format!("http://{host}{link}"),
        None => link.to_owned(),
    }
}

/// Whether the client has this version already (`If-None-Match`, RFC 9110 §13.1.2).
pub(crate) fn client_has(headers: &HeaderMap, etag: &str) -> bool {
    let Ok(etag) = etag.parse::<ETag>() else { return false };
    headers.typed_get::<IfNoneMatch>().is_some_and(|condition| !condition.precondition_passes(&etag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_the_versions_that_its_if_none_match_lists() {
        for (known, has) in [
            ("\"0a-1b\"", true),
            ("W/\"0a-1b\"", true),
            ("\"other\", \"0a-1b\"", true),
            ("*", true),
            ("\"other\"", false),
            ("0a-1b", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, known.parse().unwrap())]);
            assert_eq!(client_has(&headers, "\"0a-1b\""), has, "{known}");
        }
        assert!(!client_has(&HeaderMap::new(), "\"0a-1b\""));
    }
}
