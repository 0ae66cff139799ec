//! `/healthz`, `/readyz` and `/limits`.

use std::{error::Error, sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::{Instant, timeout};
use worker::{Format, Size};

use crate::{answer::json, app::App, keep::Keep, problem::Problem, readiness::Report};

/// The lifetime of a report. It bounds the checks that requests for `/readyz` can cause.
const COUNTS_FOR: Duration = Duration::from_secs(3);

/// The timeout of each check.
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
    Degraded,
}

/// The limits of uploads.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Limits {
    /// The largest file, in bytes.
    max_upload_bytes: u64,
    /// The most pixels of a picture, width times height.
    max_pixels: u64,
    /// The accepted formats.
    formats: Vec<Format>,
    /// The longest side of each thumbnail, in pixels.
    sizes: Sides,
    /// The longest time that an upload is kept, in seconds; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_seconds: Option<u64>,
    /// Whether uploads need a key.
    key_required: bool,
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

/// Uploads can be accepted: storage is writable, the outbox is not full, and the server does not drain. The reasons for
/// a refusal are shown to operators only, at `/readyz` of the admin listener.
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    if app.leaving.is_cancelled() {
        return Err(Problem::draining());
    }
    match report(&app).await {
        Report::Ready => Ok(json(&Readiness::Ready)),
        Report::Degraded(_) => Ok(json(&Readiness::Degraded)),
        Report::NotReady(_) => Err(Problem::not_ready()),
    }
}

/// The last report, or a new one if the last has expired. Concurrent calls share one check.
pub(crate) async fn report(app: &App) -> Report {
    let mut last = app.last_report.lock().await;
    if let Some((at, report)) = &*last
        && at.elapsed() < COUNTS_FOR
    {
        return report.clone();
    }
    let report = check(app).await;
    *last = Some((Instant::now(), report.clone()));
    report
}

async fn check(app: &App) -> Report {
    let mut reasons = Vec::new();
    let (storage, outbox, broker) = tokio::join!(
        timeout(CHECK_WITHIN, app.storage.check()),
        timeout(CHECK_WITHIN, app.outbox.check()),
        timeout(CHECK_WITHIN, app.transport.check()),
    );
    match storage {
        Ok(Ok(())) => {}
        Ok(Err(error)) => reasons.push(error.to_string()),
        Err(_) => reasons.push("storage does not answer".to_owned()),
    }
    match outbox {
        Ok(Ok(waiting)) if waiting >= app.config.max_outbox => reasons.push("the outbox is full".to_owned()),
        Ok(Ok(_)) => {}
        Ok(Err(error)) => reasons.push(error.to_string()),
        Err(_) => reasons.push("the outbox does not answer".to_owned()),
    }
    if !reasons.is_empty() {
        return Report::NotReady(reasons);
    }
    // Uploads are accepted without the broker until the outbox is full.
    match broker {
        Ok(Ok(())) if app.worker_processes.are_all_down(app.config.worker_processes().count()) => {
            Report::Degraded(vec!["no worker process of this server runs".to_owned()])
        }
        Ok(Ok(())) => Report::Ready,
        Ok(Err(error)) => Report::Degraded(vec![with_causes(&error)]),
        Err(_) => Report::Degraded(vec!["the broker does not answer".to_owned()]),
    }
}

/// An error and its causes in one line.
fn with_causes(error: &dyn Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The limits of uploads, so that clients can refuse a file before they send it.
pub(crate) async fn limits(State(app): State<Arc<App>>) -> Response {
    let side = |size| app.config.pixels.sizes.longest_side(size);
    json(&Limits {
        max_upload_bytes: app.config.max_upload_bytes,
        max_pixels: app.config.pixels.max_pixels,
        formats: app.config.accepted(),
        sizes: Sides { small: side(Size::Small), medium: side(Size::Medium), large: side(Size::Large) },
        keep_seconds: app.config.keep.map(Keep::maximum_seconds),
        key_required: app.senders.is_key_needed(),
    })
}
