//! `/healthz`, `/readyz` and `/limits`.

use std::{error::Error, sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::{Instant, timeout};
use worker::{Format, Size, Storage};

use crate::{answer::json, app::App, config::Lanes, keep::Keep, problem::Problem, readiness::Report};

/// The timeout of the checks of outbox and broker.
const CHECK_WITHIN: Duration = Duration::from_secs(5);

/// The timeout of the check of storage: each of its requests has a shorter one.
const STORAGE_WITHIN: Duration = Duration::from_secs(30);

/// How long the check of storage may take before storage counts as slow: a second for each request. Uploads are slow
/// then, and are accepted all the same.
const SLOW_AFTER: Duration = Duration::from_secs(Storage::CHECK_REQUESTS as u64);

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
    /// Uploads are accepted, but the broker is unavailable, storage is slow, or no worker process runs.
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

/// The last report, or a new one if the last has expired.
pub(crate) async fn report(app: &Arc<App>) -> Report {
    let checking = Arc::clone(app);
    app.reports.latest(|| tokio::spawn(async move { check(&checking).await })).await
}

async fn check(app: &App) -> Report {
    let mut reasons = Vec::new();
    let begun = Instant::now();
    let checking_storage = async { (timeout(STORAGE_WITHIN, app.storage.check()).await, begun.elapsed()) };
    let ((storage, took), outbox, broker) = tokio::join!(
        checking_storage,
        timeout(CHECK_WITHIN, app.outbox.check()),
        timeout(CHECK_WITHIN, app.transport.check()),
    );
    match storage {
        Ok(Ok(())) => {}
        Ok(Err(error)) => reasons.push(match error.misconfiguration() {
            Some(mistake) => format!("{error}: {mistake}"),
            None => with_causes(&error),
        }),
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
        Ok(Ok(())) => {}
        Ok(Err(error)) => reasons.push(with_causes(&error)),
        Err(_) => reasons.push("the broker does not answer".to_owned()),
    }
    let of_all_lanes = app.config.worker_processes().filter(|lanes| *lanes == Lanes::Any).count();
    if app.worker_processes.are_all_down(of_all_lanes) {
        reasons.push("no worker process of this server runs that takes every job".to_owned());
    }
    if took >= SLOW_AFTER {
        let (requests, seconds) = (Storage::CHECK_REQUESTS, took.as_secs_f64());
        reasons.push(format!("storage is slow: a check of {requests} requests took {seconds:.1} s"));
    }
    if reasons.is_empty() { Report::Ready } else { Report::Degraded(reasons) }
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
