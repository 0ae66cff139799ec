//! What operators see, on a listener of its own that no client reaches.

use std::{fmt::Write, sync::Arc};

use axum::{Router, extract::State, http::header, response::IntoResponse, routing::get};
use tokio::net::TcpListener;

use crate::{app::App, problem::Problem};

/// Serves `/metrics` until the server drains.
pub(crate) async fn serve(listener: TcpListener, app: Arc<App>) -> std::io::Result<()> {
    let draining = app.draining.clone();
    let router = Router::new().route("/metrics", get(metrics)).with_state(app);
    axum::serve(listener, router).with_graceful_shutdown(draining.cancelled_owned()).await
}

/// The state of the queue and of those who wait, in the text format of Prometheus.
async fn metrics(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Problem> {
    let depth = app.transport.depth().await?;
    let oldest = depth.oldest.map_or(0.0, |oldest| oldest.as_secs_f64());
    let mut text = String::new();
    for (name, help, value) in [
        ("up_queue_ready", "Jobs that a worker could have now.", depth.ready.to_string()),
        ("up_queue_delayed", "Jobs that wait for their next try.", depth.delayed.to_string()),
        (
            "up_queue_unacked",
            "Jobs that a worker has.",
            depth.unacked.map_or("NaN".to_owned(), |jobs| jobs.to_string()),
        ),
        ("up_queue_dead", "Dead letters.", depth.dead.to_string()),
        ("up_queue_oldest_seconds", "Age of the oldest job that has not ended.", oldest.to_string()),
        ("up_subscriptions", "Uploads that somebody waits for.", app.hub.subscriptions().to_string()),
    ] {
        let written = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
        written.expect("a string can be written to");
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}
