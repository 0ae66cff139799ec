//! What operators see, on a listener of its own that no client reaches.

use std::{fmt::Write, sync::Arc};

use axum::{Router, extract::State, http::header, response::IntoResponse, routing::get};
use tokio::net::TcpListener;
use worker::transport::Depth;

use crate::{app::App, problem::Problem};

/// Serves `/metrics` until the server drains.
pub(crate) async fn serve(listener: TcpListener, app: Arc<App>) -> std::io::Result<()> {
    let draining = app.draining.clone();
    let router = Router::new().route("/metrics", get(metrics)).with_state(app);
    axum::serve(listener, router).with_graceful_shutdown(draining.cancelled_owned()).await
}

/// The state of outbox and queue and of those who wait, in the text format of Prometheus.
async fn metrics(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Problem> {
    let mut text = String::new();
    let outbox = app.outbox.depth().await?;
    gauge(&mut text, "up_outbox_jobs", "Jobs in this server's outbox.", count(outbox.waiting()));
    gauge(&mut text, "up_outbox_oldest_seconds", "Age of the oldest job in the outbox.", age(&outbox));
    let queue = app.transport.depth().await;
    gauge(&mut text, "up_broker_up", "Whether the broker answers.", if queue.is_ok() { 1.0 } else { 0.0 });
    // What a broker does not tell, or while it is away, is left out: a zero would be a lie.
    if let Ok(depth) = queue {
        gauge(&mut text, "up_queue_ready", "Jobs that a worker could have now.", count(depth.ready));
        gauge(&mut text, "up_queue_delayed", "Jobs that wait for their next try.", count(depth.delayed));
        if let Some(unacked) = depth.unacked {
            gauge(&mut text, "up_queue_unacked", "Jobs that a worker has.", count(unacked));
        }
        gauge(&mut text, "up_queue_dead", "Dead letters.", count(depth.dead));
    }
    gauge(
        &mut text,
        "up_subscriptions",
        "Uploads that somebody waits for.",
        count(app.hub.subscriptions() as u64),
    );
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text))
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
