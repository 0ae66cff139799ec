//! `GET /uploads/{id}/small`, `/medium`, `/large`: 404 until the thumbnail is ready; then it never changes.

use std::sync::Arc;

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use worker::{Size, UploadResult, storage::StorageError};

use crate::{
    answer::{IMMUTABLE, client_has, safe_headers},
    app::{App, Found},
    client::Client,
    extract::Id,
    problem::Problem,
};

/// Answers one thumbnail.
pub(crate) async fn thumbnail(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String)>, PathRejection>,
    Id(id): Id,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Path((_, size)) = path.map_err(|_| Problem::not_found())?;
    let size: Size = size.parse().map_err(|_| Problem::not_found())?;
    match app.find_for(client, id).await? {
        Found::Ready(result) => match serve(&app, &result, size, &headers).await? {
            Some(response) => Ok(response),
            None => Err(app.missing_file(id, "a thumbnail").await),
        },
        Found::Pending(_) => Err(Problem::not_yet()),
        Found::Failed(failure) => Err(Problem::failed(&failure.problem)),
        missing @ (Found::Gone(_) | Found::Unknown) => Err(missing.problem()),
    }
}

/// The thumbnail; `None` if its file is not in storage.
async fn serve(
    app: &App,
    result: &UploadResult,
    size: Size,
    headers: &HeaderMap,
) -> Result<Option<Response>, Problem> {
    let fact = result.thumbnail(size).ok_or_else(Problem::not_found)?;
    let etag = format!("\"{}\"", fact.etag);
    let head = [(header::ETAG, etag.as_str()), (header::CACHE_CONTROL, IMMUTABLE)];
    if client_has(headers, &etag) {
        return Ok(Some((StatusCode::NOT_MODIFIED, head).into_response()));
    }
    let bytes = match app.storage.thumbnail(result.record.id, result.making, fact).await {
        Err(StorageError::NotFound(_)) => return Ok(None),
        read => read?,
    };
    let media_type = [(header::CONTENT_TYPE, fact.content_type.content_type())];
    Ok(Some((head, safe_headers(app.config.embed_thumbnails), media_type, bytes).into_response()))
}
