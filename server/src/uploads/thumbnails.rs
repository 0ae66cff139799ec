//! `GET /uploads/{id}/small`, `/medium`, `/large`: 404 until it is there, then the same for ever.

use std::sync::Arc;

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use worker::{Outcome, Size, UploadId, outcome::Verdict};

use super::{Id, originals::SAFE_HEADERS};
use crate::{app::App, problem::Problem};

/// A thumbnail never changes: a retry only ever follows a failure, which had none.
pub(crate) const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// Answers one thumbnail.
pub(crate) async fn thumbnail(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String)>, PathRejection>,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Path((_, size)) = path.map_err(|_| Problem::not_found())?;
    let size: Size = size.parse().map_err(|_| Problem::not_found())?;
    let record = app.storage.record(id).await?.ok_or_else(Problem::unknown_upload)?;
    let outcome = app.storage.outcome(id).await?;
    let Some(outcome) = outcome.filter(|outcome| outcome.generation == record.generation) else {
        return Err(Problem::not_yet());
    };
    if let Verdict::Failed { problem } = &outcome.verdict {
        return Err(Problem::failed(problem));
    }
    serve(&app, record.id, &outcome, size, &headers).await
}

async fn serve(
    app: &App,
    id: UploadId,
    outcome: &Outcome,
    size: Size,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let fact = outcome.thumbnail(size).ok_or_else(Problem::internal)?;
    let etag = format!("\"{}\"", fact.etag);
    let head = [(header::ETAG, etag.as_str()), (header::CACHE_CONTROL, IMMUTABLE)];
    if matches(headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, head).into_response());
    }
    let bytes = app.storage.thumbnail(id, size).await?;
    Ok((head, SAFE_HEADERS, [(header::CONTENT_TYPE, fact.content_type.content_type())], bytes)
        .into_response())
}

/// Whether the client has this very version.
pub(crate) fn matches(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag)
}
