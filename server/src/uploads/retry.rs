//! `POST /uploads/{id}/retry`: requeues a failed upload.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use worker::{
    JobName, Lane,
    requeue::{self, RequeueError, requeue},
};

use super::representation::Representation;
use crate::{
    answer::{NO_STORE, json, see_other},
    app::App,
    client::Client,
    extract::Id,
    problem::{Problem, RETRY_SOON},
};

/// Requeues a failed upload and answers its new state.
pub(crate) async fn retry(
    State(app): State<Arc<App>>,
    Id(id): Id,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    app.check_change(&headers)?;
    if app.outbox.room_taken().await? >= app.config.max_outbox {
        return Err(Problem::busy());
    }
    if !app.unknown_reads.allows(client) {
        return Err(Problem::slow_down());
    }
    let mut place = app.unended.add(client)?;
    let in_queue = requeue::Place { client: Some(place.tag()), bulk: place.lane(false) == Lane::Bulk };
    let requeued = requeue(&app.storage, app.outbox.queue(), &*app.transport, id, in_queue).await;
    if matches!(requeued, Err(RequeueError::Unknown)) {
        app.unknown_reads.charge(client);
    }
    let upload = requeued.map_err(requeue_problem)?.relink(&app.links);
    place.keep(JobName { id, generation: upload.generation });
    // Subscribers of this server receive it before the announcement arrives.
    app.hub.deliver(&upload);
    if Representation::preferred(&headers) == Representation::Html {
        return Ok(see_other(upload.links.this));
    }
    let mut response = json(&upload);
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_SOON));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

fn requeue_problem(error: RequeueError) -> Problem {
    match error {
        RequeueError::Unknown => Problem::unknown_upload(),
        RequeueError::Gone => Problem::gone(),
        RequeueError::Ready | RequeueError::Queued => Problem::not_failed(),
        RequeueError::Storage(error) => error.into(),
    }
}
