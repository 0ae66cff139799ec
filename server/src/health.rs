//! `/healthz`, `/readyz` and `/limits`.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::timeout;
use worker::{Format, Size};

use crate::{answer::json, app::App, problem::Problem};

/// Timeout of a check.
const CHECK_WITHIN: Duration = Duration::from_secs(5);

/// The process is alive.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Health {
    status: Alive,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Alive {
    Alive,
}

/// Uploads can be accepted.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "status", rename_all = "lowercase")]
pub(crate) enum Readiness {
    /// Storage, outbox and broker answer.
    Ready,
    /// The broker is unavailable; jobs wait in the outbox.
    Degraded {
        /// Messages for operators.
        reasons: Vec<String>,
    },
}

/// The limits of uploads.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Limits {
    /// The largest file, in bytes.
    max_upload_bytes: u64,
    /// The most pixels of a picture, width times height.
    max_pixels: u64,
    /// The accepted formats.
    formats: [Format; Format::ALL.len()],
    /// The longest side of each thumbnail, in pixels.
    sizes: Sides,
}

#[derive(Serialize, JsonSchema)]
struct Sides {
    small: u32,
    medium: u32,
    large: u32,
}

/// The process is alive.
pub(crate) async fn healthz() -> Response {
    json(&Health { status: Alive::Alive })
}

/// Uploads can be accepted: storage is writable, the outbox is not full, and the server does not drain.
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
        // Uploads are accepted without the broker, as long as the outbox is not full.
        Ok(match app.transport.check().await {
            Ok(()) => json(&Readiness::Ready),
            Err(error) => json(&Readiness::Degraded { reasons: vec![error.to_string()] }),
        })
    } else {
        Err(Problem::not_ready(reasons))
    }
}

/// The limits of uploads, so that clients can refuse a file before they send it.
pub(crate) async fn limits(State(app): State<Arc<App>>) -> Response {
    let side = |size| app.config.pixels.sizes.longest_side(size);
    json(&Limits {
        max_upload_bytes: app.config.max_upload_bytes,
        max_pixels: app.config.pixels.max_pixels,
        formats: Format::ALL,
        sizes: Sides { small: side(Size::Small), medium: side(Size::Medium), large: side(Size::Large) },
    })
}
