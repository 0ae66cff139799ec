//! `POST /uploads/{id}/retry`: a failed upload goes round once more.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use tracing::{info, warn};
use worker::{State as UploadState, Upload};

use super::{
    Id,
    negotiate::{Form, see_other},
    status,
};
use crate::{
    app::App,
    live::origin,
    problem::{Problem, RETRY_SOON},
};

/// Raises the generation, which makes the old outcome count as none, and posts the job again. Should the server die
/// in between, the sweeper finds an upload without an outcome.
pub(crate) async fn retry(
    State(app): State<Arc<App>>,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !origin::is_allowed(&headers, &app.config) {
        return Err(Problem::cross_site());
    }
    if app.draining.is_cancelled() {
        return Err(Problem::draining());
    }
    let mut record = app.storage.record(id).await?.ok_or_else(Problem::unknown_upload)?;
    let outcome = app.storage.outcome(id).await?;
    if Upload::assemble(&record, outcome.as_ref(), &app.links).state != UploadState::Failed {
        return Err(Problem::not_failed());
    }
    if app.outbox.waiting().await? >= app.config.max_outbox {
        return Err(Problem::busy());
    }
    record.generation += 1;
    app.storage.put_record(&record).await?;
    // From here on it goes round.
    if let Err(error) = app.outbox.post(&record).await {
        warn!(%id, error = &error as &dyn std::error::Error, "a retry is posted with the next sweep");
    }
    info!(%id, generation = record.generation, "a failed upload goes round again");
    let upload = Upload::assemble(&record, None, &app.links);
    app.hub.deliver(&upload);
    if Form::wanted(&headers) == Form::Html {
        return Ok(see_other(upload.links.this));
    }
    let mut response = status::json(&upload);
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_SOON));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}
