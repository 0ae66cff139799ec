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
    time::{MissedTickBehavior, interval},
};
use worker::transport::Depth;

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

/// The readiness of the server, with the reasons against it, a line each.
async fn readyz(State((app, _)): State<(Arc<App>, PrometheusHandle)>) -> (StatusCode, String) {
    let (status, name, reasons) = match health::report(&app).await {
        Report::Ready => (StatusCode::OK, "ready", Vec::new()),
        Report::Degraded(reasons) => (StatusCode::OK, "degraded", reasons),
        Report::NotReady(reasons) => (StatusCode::SERVICE_UNAVAILABLE, "not ready", reasons),
    };
    let lines = std::iter::once(name.to_owned()).chain(reasons);
    (status, lines.map(|line| line + "\n").collect())
}

async fn upkeep(recorded: PrometheusHandle) {
    let mut ticks = interval(UPKEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        recorded.run_upkeep();
    }
}

/// All metrics in the text format of Prometheus: counters, histograms, and gauges of outbox, queue,
/// subscriptions and connections.
async fn metrics(State((app, recorded)): State<(Arc<App>, PrometheusHandle)>) -> impl IntoResponse {
    let mut text = recorded.render();
    // An unknown value is left out, because a zero would be wrong.
    if let Ok(outbox) = app.outbox.depth().await {
        gauge(&mut text, "up_outbox_jobs", "Jobs in this server's outbox.", count(outbox.waiting()));
        gauge(
            &mut text,
            "up_outbox_oldest_seconds",
            "Age of the oldest job in the outbox, in seconds.",
            age(&outbox),
        );
    }
    let queue = app.transport.depth().await;
    gauge(&mut text, "up_broker_up", "Whether the broker answers.", if queue.is_ok() { 1.0 } else { 0.0 });
    if let Ok(depth) = queue {
        gauge(&mut text, "up_queue_ready", "Jobs that are ready for a worker.", count(depth.ready));
        gauge(
            &mut text,
            "up_queue_delayed",
            "Jobs that are delayed until their next attempt.",
            count(depth.delayed),
        );
        if let Some(unacked) = depth.unacked {
            gauge(
                &mut text,
                "up_queue_unacked",
                "Jobs that a worker has and has not acknowledged.",
                count(unacked),
            );
        }
        gauge(
            &mut text,
            "up_queue_dead",
            "Dead letters: jobs that no worker gets any more.",
            count(depth.dead),
        );
    }
    for (name, help, number) in [
        ("up_subscriptions", "Subscriptions of clients to uploads.", app.hub.subscriptions()),
        ("up_sockets", "Open sockets and event streams.", app.watching.taken()),
        (
            "up_upload_memory_bytes",
            "Memory that the bodies of uploads in flight have reserved, in bytes.",
            app.memory.reserved(),
        ),
        ("up_uploads_in_flight", "Upload requests in flight.", app.uploading.taken()),
        ("up_connections", "Open connections, without sockets.", app.connections.open()),
    ] {
        gauge(&mut text, name, help, count(number as u64));
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

fn age(depth: &Depth) -> f64 {
    depth.oldest.map_or(0.0, |oldest| oldest.as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and no count here comes near to 2^53")]
fn count(count: u64) -> f64 {
    count as f64
}

fn gauge(text: &mut String, name: &str, help: &str, value: f64) {
    let written = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
    written.expect("a string can be written to");
}
