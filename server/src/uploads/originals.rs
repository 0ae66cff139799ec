//! `GET /uploads/{id}/original`: the bytes as received, with headers that prevent a browser from rendering them.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

use worker::storage::StorageError;

use super::{name, ranges::RequestedBytes};
use crate::{
    answer::{IMMUTABLE, client_has, safe_headers},
    app::{App, Found},
    client::Client,
    config::Embedding,
    extract::Id,
    problem::Problem,
};

/// Streams an original, or a range of it.
pub(crate) async fn original(
    State(app): State<Arc<App>>,
    Id(id): Id,
    client: Client,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let record = match app.find_for(client, id).await? {
        Found::Ready(result) => result.record.clone(),
        Found::Pending(record) => record,
        Found::Failed(failure) => failure.record,
        missing @ (Found::Gone(_) | Found::Unknown) => return Err(missing.problem()),
    };
    // An original never changes, so its id is a strong ETag.
    let etag = format!("\"{id}\"");
    let head = [(header::ETAG, etag.as_str()), (header::CACHE_CONTROL, IMMUTABLE)];
    if client_has(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, head).into_response());
    }
    let (status, range) = match RequestedBytes::parse(&method, &headers, &etag, record.bytes) {
        RequestedBytes::Whole => (StatusCode::OK, None),
        RequestedBytes::Part(range) => (StatusCode::PARTIAL_CONTENT, Some(range)),
        RequestedBytes::Outside => {
            let total = [(header::CONTENT_RANGE, format!("bytes */{}", record.bytes))];
            return Ok((total, Problem::outside_range(record.bytes)).into_response());
        }
    };
    let content_range = range.as_ref().map(|range| {
        let value = format!("bytes {}-{}/{}", range.start, range.end - 1, record.bytes);
        [(header::CONTENT_RANGE, value)]
    });
    let length = range.as_ref().map_or(record.bytes, |range| range.end - range.start);
    let original = match app.storage.stream_original(id, range).await {
        Err(StorageError::NotFound(_)) => return Err(app.missing_file(id, "an original").await),
        read => read?,
    };
    let facts = [
        (header::CONTENT_TYPE, record.format.content_type().to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CONTENT_DISPOSITION, name::as_attachment(&record.name)),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
    ];
    let safe = safe_headers(Embedding::SameOrigin);
    let mut response = (status, head, safe, facts, Body::from_stream(original)).into_response();
    if let Some(content_range) = content_range {
        response.headers_mut().extend(
            content_range
                .into_iter()
                .filter_map(|(name, value)| value.parse().ok().map(|value| (name, value))),
        );
    }
    Ok(response)
}
