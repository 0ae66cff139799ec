//! `/healthz`, `/readyz` and `/limits`.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use serde_json::json;
use tokio::time::timeout;
use worker::{Format, Size};

use crate::{app::App, problem::Problem, uploads::status};

/// How long a check may take before what is checked counts as away.
const CHECK_WITHIN: Duration = Duration::from_secs(5);

/// The process is alive.
pub(crate) async fn healthz() -> Response {
    status::json(&json!({ "status": "alive" }))
}

/// Uploads can be taken: storage is writable, the outbox has room, and the server does not drain.
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    if app.draining.is_cancelled() {
        return Err(Problem::draining());
    }
    let mut reasons = Vec::new();
    match timeout(CHECK_WITHIN, app.storage.check()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => reasons.push(error.to_string()),
        Err(_) => reasons.push("storage does not answer".to_owned()),
    }
    match timeout(CHECK_WITHIN, app.outbox.check()).await {
        Ok(Ok(waiting)) if waiting >= app.config.max_outbox => reasons.push("the outbox is full".to_owned()),
        Ok(Ok(_)) => {}
        Ok(Err(error)) => reasons.push(error.to_string()),
        Err(_) => reasons.push("the outbox does not answer".to_owned()),
    }
    if reasons.is_empty() {
        // Uploads go on without the broker, as long as the outbox has room.
        Ok(match app.transport.check().await {
            Ok(()) => status::json(&json!({ "status": "ready" })),
            Err(error) => status::json(&json!({ "status": "degraded", "reasons": [error.to_string()] })),
        })
    } else {
        Err(Problem::not_ready(&reasons))
    }
}

/// What this server takes, so that clients can say no before they send.
pub(crate) async fn limits(State(app): State<Arc<App>>) -> Response {
    let sizes = &app.config.pixels.sizes;
    status::json(&json!({
        "max_upload_bytes": app.config.max_upload_bytes,
        "max_pixels": app.config.pixels.max_pixels,
        "formats": Format::ALL.map(Format::name),
        "sizes": Size::ALL.into_iter().map(|size| (size.name().to_owned(), sizes.longest_side(size).into())).collect::<serde_json::Map<_, _>>(),
    }))
}
