//! The metrics of a worker, at `/metrics` on its own listener, or on that of the server that started it.

mod forward;

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::Context;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use strum::{IntoStaticStr, VariantArray};
use tokio::time::{MissedTickBehavior, interval};
use tracing::info;

pub use self::forward::ForwardedMetrics;
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

/// How long a request to storage took, in seconds, by `operation`.
const STORAGE_SECONDS: &str = "up_storage_seconds";
/// Requests to storage that failed, by `operation`.
const STORAGE_ERRORS: &str = "up_storage_errors_total";

/// The jobs that a worker may have at a time, and those that it has.
const SLOTS: &str = "up_worker_slots";
const SLOTS_BUSY: &str = "up_worker_slots_busy";

/// Always 1, by `version`.
const BUILD_INFO: &str = "up_build_info";

/// The known values of labels. Their counters exist from the start.
const STAGES: [&str; 7] = ["fetch", "make", "decode", "scale", "encode", "store", "announce"];
const OUTCOMES: [&str; 6] = ["ready", "failed", "deleted", "retried", "postponed", "dead"];
const LOSSES: [&str; 4] = ["crash", "killed", "took-too-long", "too-much-memory"];
const CONNECTION_NAMES: [&str; 2] = ["publishing", "consuming"];

/// Upper bounds in seconds: an announcement takes about one millisecond, a picture tens to hundreds, a job thirty
/// seconds at most, and a retried one five minutes and more. Behind a backlog, or over a slow line, uploads last up to an
/// hour.
const BUCKETS: [f64; 18] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0,
    3600.0,
];

/// How often a worker measures its own process: its listener cannot measure when it is asked.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

/// Records metrics and serves them at this address. Must be called inside a runtime.
///
/// # Errors
/// When listening on the address fails.
pub(crate) fn serve(address: SocketAddr) -> anyhow::Result<()> {
    let installed = builder()?.with_http_listener(address).install();
    installed.with_context(|| format!("could not listen on {address} for /metrics"))?;
    describe();
    tokio::spawn(async {
        let process = Collector::default();
        let mut ticks = interval(MEASURE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            process.collect();
        }
    });
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

/// Measures this process: memory, processor time and open files.
pub fn measure_process() {
    Collector::default().collect();
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
    describe_histogram!(STORAGE_SECONDS, "How long requests to storage took, by operation.");
    describe_counter!(STORAGE_ERRORS, "Failed requests to storage, by operation.");
    describe_gauge!(SLOTS, "Jobs that the workers may have at a time.");
    describe_gauge!(SLOTS_BUSY, "Jobs that the workers have.");
    describe_gauge!(BUILD_INFO, "The version of this program; always 1.");
    Collector::default().describe();
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    gauge!(SLOTS).set(0.0);
    gauge!(SLOTS_BUSY).set(0.0);
    begin_at_zero();
}

/// Registers every counter and histogram whose labels are known, so that a first event is a rise from zero.
fn begin_at_zero() {
    for stage in STAGES {
        let _ = histogram!(STAGE_SECONDS, "stage" => stage);
    }
    let _ = histogram!(ACCEPTED_TO_ENDED);
    for operation in StorageOperation::VARIANTS {
        let name: &str = operation.into();
        let _ = histogram!(STORAGE_SECONDS, "operation" => name);
        counter!(STORAGE_ERRORS, "operation" => name).increment(0);
    }
    OUTCOMES.into_iter().for_each(|outcome| counter!(JOBS, "outcome" => outcome).increment(0));
    LOSSES.into_iter().for_each(|reason| counter!(DECODERS_LOST, "reason" => reason).increment(0));
    CONNECTION_NAMES.into_iter().for_each(|name| counter!(CONNECTIONS, "connection" => name).increment(0));
    counter!(QUEUES_RECREATED).increment(0);
}

/// A kind of request to storage. Its name is the label in metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum StorageOperation {
    /// Writes an object, or begins or completes one in parts.
    Put,
    /// Writes a part of an object.
    Part,
    /// Reads an object up to the head of the answer; an error of the rest counts, too.
    Get,
    /// Looks whether an object exists.
    Head,
    /// Deletes an object.
    Delete,
    /// Reads a page of a listing.
    List,
}

/// Records a request to storage.
pub(crate) fn storage_request(operation: StorageOperation, took: Duration, has_failed: bool) {
    let name: &'static str = operation.into();
    histogram!(STORAGE_SECONDS, "operation" => name).record(took);
    if has_failed {
        storage_error(operation);
    }
}

/// Counts a request to storage that failed after the head of its answer.
pub(crate) fn storage_error(operation: StorageOperation) {
    let name: &'static str = operation.into();
    counter!(STORAGE_ERRORS, "operation" => name).increment(1);
}

/// The jobs that this worker has.
static BUSY: AtomicUsize = AtomicUsize::new(0);

/// Records how many jobs this worker may have at a time.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and no worker has 2^53 slots")]
pub(crate) fn slots(total: usize) {
    gauge!(SLOTS).set(total as f64);
    gauge!(SLOTS_BUSY).set(0.0);
}

/// A slot that has a job, until it is dropped.
pub(crate) struct BusySlot(());

impl BusySlot {
    /// Counts a job that begins.
    pub(crate) fn take() -> Self {
        Self::show(BUSY.fetch_add(1, Ordering::Relaxed) + 1);
        Self(())
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and no worker has 2^53 slots")]
    fn show(busy: usize) {
        gauge!(SLOTS_BUSY).set(busy as f64);
    }
}

impl Drop for BusySlot {
    fn drop(&mut self) {
        Self::show(BUSY.fetch_sub(1, Ordering::Relaxed) - 1);
    }
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
    debug_assert!(STAGES.contains(&stage), "{stage} is listed");
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
    debug_assert!(OUTCOMES.contains(&outcome), "{outcome} is listed");
    counter!(JOBS, "outcome" => outcome).increment(1);
}

/// Counts a decoder that was killed or crashed.
pub(crate) fn decoder_lost(reason: &'static str) {
    debug_assert!(LOSSES.contains(&reason), "{reason} is listed");
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
    debug_assert!(CONNECTION_NAMES.contains(&connection), "{connection} is listed");
    counter!(CONNECTIONS, "connection" => connection).increment(1);
}
