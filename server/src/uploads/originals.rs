//! `GET /uploads/{id}/original`: the bytes as received, served so that no browser takes them for a page.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use worker::UploadRecord;

use super::{
    Id,
    ranges::Wanted,
    thumbnails::{IMMUTABLE, matches},
};
use crate::{app::App, problem::Problem};

/// What strangers' bytes are served with: nothing in them may run, and no other site may read them.
pub(crate) const SAFE_HEADERS: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What RFC 8187 lets stand in an extended value.
const ATTRIBUTE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// Streams an original, or a part of it.
pub(crate) async fn original(
    State(app): State<Arc<App>>,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let record = app.storage.record(id).await?.ok_or_else(Problem::unknown_upload)?;
    // An original never changes, so its id is as good as a digest.
    let etag = format!("\"{id}\"");
    let head = [(header::ETAG, etag.as_str()), (header::CACHE_CONTROL, IMMUTABLE)];
    if matches(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, head).into_response());
    }
    let (status, range) = match Wanted::parse(&headers, record.bytes) {
        Wanted::Whole => (StatusCode::OK, None),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, Some(range)),
        Wanted::Outside => {
            let total = [(header::CONTENT_RANGE, format!("bytes */{}", record.bytes))];
            return Ok((total, Problem::outside_range(record.bytes)).into_response());
        }
    };
    let content_range = range.as_ref().map(|range| {
        let value = format!("bytes {}-{}/{}", range.start, range.end - 1, record.bytes);
        [(header::CONTENT_RANGE, value)]
    });
    let length = range.as_ref().map_or(record.bytes, |range| range.end - range.start);
    let stored = app.storage.stream_original(id, range).await?;
    let facts = [
        (header::CONTENT_TYPE, record.format.content_type().to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CONTENT_DISPOSITION, disposition(&record)),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
    ];
    let mut response = (status, head, SAFE_HEADERS, facts, Body::from_stream(stored.bytes)).into_response();
    if let Some(content_range) = content_range {
        response.headers_mut().extend(
            content_range
                .into_iter()
                .filter_map(|(name, value)| value.parse().ok().map(|value| (name, value))),
        );
    }
    Ok(response)
}

/// RFC 6266: a plain name for old clients, and the real one.
fn disposition(record: &UploadRecord) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ');
    let plain: String = record.name.chars().map(|c| if harmless(c) { c } else { '_' }).collect();
    let real = utf8_percent_encode(&record.name, ATTRIBUTE);
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{real}")
}
