//! `GET /metrics` for operators, on a listener of its own that no client reaches.

use std::{fmt::Write, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    net::TcpListener,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{app::App, health, readiness::Report};

/// How often samples of histograms are sorted into their buckets without a scrape: until then each sample is kept.
const UPKEEP: Duration = Duration::from_secs(5);

/// Serves `/metrics` until the server drains.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    recorded: PrometheusHandle,
) -> std::io::Result<()> {
    let draining = app.draining.clone();
    tokio::spawn(draining.clone().run_until_cancelled_owned(upkeep(recorded.clone())));
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/readyz", get(readyz))
        .with_state((app, recorded));
    axum::serve(listener, router).with_graceful_shutdown(draining.cancelled_owned()).await
}

/// The readiness of the server, with the reasons against it and the sandbox of its decoders, a line each.
async fn readyz(State((app, recorded)): State<(Arc<App>, PrometheusHandle)>) -> (StatusCode, String) {
    let (status, name, reasons) = match health::report(&app).await {
        Report::Ready => (StatusCode::OK, "ready", Vec::new()),
        Report::Degraded(reasons) => (StatusCode::OK, "degraded", reasons),
        Report::NotReady(reasons) => (StatusCode::SERVICE_UNAVAILABLE, "not ready", reasons),
    };
    let lines = std::iter::once(name.to_owned()).chain(reasons).chain(sandbox(&recorded.render()));
    (status, lines.map(|line| line + "\n").collect())
}

/// The layers of the sandbox of the decoders of this server, as its metrics tell them; `None` until one has started.
fn sandbox(metrics: &str) -> Option<String> {
    let labels = metrics.lines().find_map(|line| line.strip_prefix("up_sandbox_info{"))?.split('}').next()?;
    Some(format!("sandbox of decoders: {}", labels.replace("=\"", " ").replace("\",", ", ").replace('"', "")))
}

async fn upkeep(recorded: PrometheusHandle) {
    let mut ticks = interval(UPKEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        recorded.run_upkeep();
    }
}

/// All metrics in the text format of Prometheus: counters, histograms, and gauges that are read now.
async fn metrics(State((app, recorded)): State<(Arc<App>, PrometheusHandle)>) -> impl IntoResponse {
    worker::telemetry::measure_process();
    let mut text = recorded.render();
    queues(&app, &mut text).await;
    saturation(&app, &mut text).await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

/// The gauges of outbox and queue. An unknown value is left out, because a zero would be wrong.
async fn queues(app: &App, text: &mut String) {
    if let Ok(outbox) = app.outbox.depth().await {
        gauge(text, "up_outbox_jobs", "Jobs in this server's outbox.", count(outbox.waiting()));
        gauge(
            text,
            "up_outbox_oldest_seconds",
            "Age of the oldest job in the outbox, in seconds.",
            seconds(outbox.oldest),
        );
    }
    let queue = app.transport.depth().await;
    gauge(text, "up_broker_up", "Whether the broker answers.", if queue.is_ok() { 1.0 } else { 0.0 });
    if let Ok(depth) = queue {
        gauge(text, "up_queue_ready", "Jobs that are ready for a worker.", count(depth.ready));
        gauge(
            text,
            "up_queue_delayed",
            "Jobs that are delayed until their next attempt.",
            count(depth.delayed),
        );
        if let Some(unacked) = depth.unacked {
            gauge(
                text,
                "up_queue_unacked",
                "Jobs that a worker has and has not acknowledged.",
                count(unacked),
            );
        }
        gauge(text, "up_queue_dead", "Dead letters: jobs that no worker gets any more.", count(depth.dead));
    }
    let oldest = app.sightings.oldest(worker::clock::now(), Instant::now());
    gauge(
        text,
        "up_pending_oldest_seconds",
        "Age of the oldest upload that has not ended, in seconds.",
        seconds(oldest),
    );
}

/// The gauges of what can be used up, beside their bounds.
async fn saturation(app: &App, text: &mut String) {
    let wanted = app.config.worker_processes().count();
    for (name, help, number) in [
        ("up_outbox_max_jobs", "The most jobs in this server's outbox.", app.config.max_outbox),
        ("up_subscriptions", "Subscriptions of clients to uploads.", app.hub.subscriptions() as u64),
        ("up_sockets", "Open sockets and event streams.", app.watching.taken() as u64),
        (
            "up_upload_memory_bytes",
            "Memory that the bodies of uploads in flight have reserved, in bytes.",
            app.memory.reserved() as u64,
        ),
        ("up_uploads_in_flight", "Upload requests in flight.", app.uploading.taken() as u64),
        ("up_connections", "Open connections, without sockets.", app.connections.open() as u64),
        (
            "up_embedded_workers",
            "Worker processes of this server that run.",
            app.worker_processes.running() as u64,
        ),
        ("up_embedded_workers_wanted", "Worker processes that this server is to run.", wanted as u64),
    ] {
        gauge(text, name, help, count(number));
    }
    let disks = app.free_space.disks().await;
    let disks: Vec<_> =
        disks.iter().map(|disk| (format!("{{disk=\"{}\"}}", disk.name), count(disk.available))).collect();
    gauges(text, "up_free_disk_bytes", "Bytes on a disk that are free.", &disks);
}

fn seconds(age: Option<Duration>) -> f64 {
    age.map_or(0.0, |age| age.as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and no count here comes near to 2^53")]
fn count(count: u64) -> f64 {
    count as f64
}

fn gauge(text: &mut String, name: &str, help: &str, value: f64) {
    gauges(text, name, help, &[(String::new(), value)]);
}

/// Writes a gauge with a value for each set of labels.
fn gauges(text: &mut String, name: &str, help: &str, values: &[(String, f64)]) {
    let written = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
    written.expect("a string can be written to");
    for (labels, value) in values {
        writeln!(text, "{name}{labels} {value}").expect("a string can be written to");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_read_the_layers_of_the_sandbox() {
        let metrics = "up_sandbox_enforced 0\nup_sandbox_info{mode=\"best-effort\",landlock=\"missing\"} 1\n";
        assert_eq!(sandbox(metrics).unwrap(), "sandbox of decoders: mode best-effort, landlock missing");
        assert_eq!(sandbox("up_sandbox_enforced 0\n"), None);
    }
}
