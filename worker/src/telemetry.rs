//! The metrics of a worker, at `/metrics` on its own listener, or on that of the server that started it.

mod forward;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Context;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing::info;

use crate::{State, Upload};

/// How long a stage of a job took, in seconds, by `stage`: fetch, make (of which decode, scale, encode), store, announce.
const STAGE_SECONDS: &str = "up_job_stage_seconds";
/// The outcomes of deliveries, by `outcome`: ready, failed, deleted, postponed, retried, dead.
const JOBS: &str = "up_jobs_total";
/// Seconds from the acceptance of an upload to its end.
const ACCEPTED_TO_ENDED: &str = "up_accepted_to_ended_seconds";
/// Established connections to the broker, by `connection`; the first one is counted too.
const CONNECTIONS: &str = "up_broker_connections_total";
/// Queues of the broker that did not respond for minutes and were recreated.
const QUEUES_RECREATED: &str = "up_broker_queues_recreated_total";
/// Decoders that were killed or crashed, by `reason`: crash, or the last part of the problem type.
const DECODERS_LOST: &str = "up_decoders_lost_total";

/// 1 if the kernel enforces every layer of the sandbox on decoders, else 0.
const SANDBOX_ENFORCED: &str = "up_sandbox_enforced";
/// Always 1, by the status of each layer: `mode`, `seccomp`, `landlock`, `landlock_abi`, `limits`.
const SANDBOX_INFO: &str = "up_sandbox_info";

/// Upper bounds in seconds: an announcement takes about one millisecond, a picture tens to hundreds, a job thirty
/// seconds at most, and a retried one five minutes and more.
const BUCKETS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 300.0];

/// Records metrics and serves them at this address. Must be called inside a runtime.
///
/// # Errors
/// When listening on the address fails.
pub(crate) fn serve(address: SocketAddr) -> anyhow::Result<()> {
    let installed = builder()?.with_http_listener(address).install();
    installed.with_context(|| format!("could not listen on {address} for /metrics"))?;
    describe();
    info!("metrics on http://{address}/metrics");
    Ok(())
}

/// Records metrics; the handle renders them.
///
/// # Errors
/// When the process already records metrics.
pub fn record() -> anyhow::Result<PrometheusHandle> {
    let handle = builder()?.install_recorder().context("could not install the metrics recorder")?;
    describe();
    Ok(handle)
}

/// Records metrics and forwards them to the server that started this worker, over standard output.
///
/// # Errors
/// When the process already records metrics.
pub(crate) fn forward_to_parent() -> anyhow::Result<()> {
    forward::install()
}

/// Records a metric that a worker with `--tell-parent` wrote: one line of its standard output.
pub fn record_forwarded(line: &str) {
    forward::replay(line);
}

fn builder() -> anyhow::Result<PrometheusBuilder> {
    PrometheusBuilder::new().set_buckets(&BUCKETS).context("invalid histogram buckets")
}

fn describe() {
    describe_histogram!(STAGE_SECONDS, "How long a stage of a job took.");
    describe_counter!(JOBS, "The outcomes of deliveries.");
    describe_histogram!(ACCEPTED_TO_ENDED, "From the acceptance of an upload to its end.");
    describe_counter!(CONNECTIONS, "Established connections to the broker.");
    describe_counter!(QUEUES_RECREATED, "Queues of the broker that did not respond and were recreated.");
    describe_counter!(DECODERS_LOST, "Decoders that were killed or crashed.");
    describe_gauge!(SANDBOX_ENFORCED, "Whether every layer of the sandbox is enforced on decoders.");
    describe_gauge!(SANDBOX_INFO, "The status of each layer of the sandbox.");
}

/// Times a stage of a job.
pub(crate) async fn timed<T>(stage: &'static str, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = work.await;
    self::stage(stage, begun.elapsed());
    done
}

/// Records the time of a stage of a job.
pub(crate) fn stage(stage: &'static str, took: Duration) {
    histogram!(STAGE_SECONDS, "stage" => stage).record(took);
}

/// Counts an upload that has ended.
pub(crate) fn ended(upload: &Upload) {
    job(match upload.state {
        State::Failed => "failed",
        State::Gone => "deleted",
        State::Queued | State::Processing | State::Ready => "ready",
    });
    let took = upload.ended_at.map(|at| at.duration_since(upload.created_at));
    if let Some(took) = took.and_then(|took| Duration::try_from(took).ok()) {
        histogram!(ACCEPTED_TO_ENDED).record(took);
    }
}

/// Counts a delivery.
pub(crate) fn job(outcome: &'static str) {
    counter!(JOBS, "outcome" => outcome).increment(1);
}

/// Counts a decoder that was killed or crashed.
pub(crate) fn decoder_lost(reason: &'static str) {
    counter!(DECODERS_LOST, "reason" => reason).increment(1);
}

/// Counts queues of the broker that were recreated.
pub(crate) fn queues_recreated(number: usize) {
    counter!(QUEUES_RECREATED).increment(number as u64);
}

/// Records the sandbox of a decoder that has started.
pub(crate) fn sandbox(is_enforced: bool, layers: &[(&'static str, String); 5]) {
    gauge!(SANDBOX_ENFORCED).set(if is_enforced { 1.0 } else { 0.0 });
    gauge!(SANDBOX_INFO, layers).set(1.0);
}

/// Counts a connection to the broker.
pub(crate) fn connected(connection: &'static str) {
    counter!(CONNECTIONS, "connection" => connection).increment(1);
}
