//! The embedded workers: the server starts worker processes from its own executable, and restarts them when they die.

use std::{
    io,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use worker::{consumer::RELEASE_AFTER, telemetry::ForwardedMetrics};

use crate::{
    app::App,
    config::{Config, Lanes, WORKER_COMMAND},
};

/// The shortest and the longest backoff before a worker is restarted. It doubles while workers die early.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A worker that ran this long has started successfully: its backoff is reset.
const STARTED_AFTER: Duration = Duration::from_secs(10);

/// A worker that ran this long counts as running again after it was down. One that dies at its start does within a second.
const PROVEN_AFTER: Duration = Duration::from_secs(2);

/// How long a worker may take to drain: it releases its job before, and settles it.
pub(crate) const DRAIN_WITHIN: Duration = RELEASE_AFTER.saturating_add(Duration::from_secs(2));

/// The executable of this process, even if its file was replaced or removed since, as an upgrade does.
const OWN_EXECUTABLE: &str = "/proc/self/exe";

/// Keeps worker processes running until `draining`, then lets them finish their jobs.
pub(crate) async fn supervise(app: &Arc<App>, draining: CancellationToken) {
    let mut slots = JoinSet::new();
    for lanes in app.config.worker_processes() {
        slots.spawn(keep_one(Arc::clone(app), lanes, draining.clone()));
    }
    slots.join_all().await;
}

async fn keep_one(app: Arc<App>, lanes: Lanes, draining: CancellationToken) {
    let config = &app.config;
    let mut life = app.worker_processes.watch(lanes);
    let mut pauses = pauses();
    while !draining.is_cancelled() {
        let started = Instant::now();
        match start(config, lanes) {
            Ok(mut child) => {
                let _running = app.worker_processes.on_started();
                if let Some(metrics) = child.stdout.take() {
                    tokio::spawn(count(metrics));
                }
                // The worker drains when this end of its stdin closes, which happens even if the server is killed.
                // Taken out, because `wait` would close it.
                let _lifeline = child.stdin.take();
                let proven = async {
                    sleep(PROVEN_AFTER).await;
                    life.on_proven();
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    status = child.wait() => report(status),
                    () = proven => {}
                    () = draining.cancelled() => {
                        return drain(child, DRAIN_WITHIN).await;
                    }
                }
            }
            Err(error) => error!(%error, "could not start a worker process; it is tried again"),
        }
        life.on_down();
        if started.elapsed() >= STARTED_AFTER {
            pauses = self::pauses();
        }
        tokio::select! {
            () = draining.cancelled() => {}
            () = sleep(pauses.next().unwrap_or(LONGEST_PAUSE)) => {}
        }
    }
}

fn pauses() -> ExponentialBackoff {
    let growing = ExponentialBuilder::new().with_min_delay(FIRST_PAUSE).with_max_delay(LONGEST_PAUSE);
    growing.without_max_times().build()
}

fn start(config: &Config, lanes: Lanes) -> io::Result<Child> {
    let log_format: &str = config.log_format.into();
    let broker = match config.broker_url() {
        worker::transport::broker_url::BrokerUrl::Amqp(url) => url,
        embedded => embedded.to_string(),
    };
    let mut command = Command::new(OWN_EXECUTABLE);
    command
        .arg0("up-server")
        .arg(WORKER_COMMAND)
        .arg("--with-parent")
        // One slot for each process, so that a crash is charged to the job that caused it.
        .args(match lanes {
            Lanes::Any => ["--concurrency", "1", "--interactive-slots", "0"],
            Lanes::Interactive => ["--concurrency", "0", "--interactive-slots", "1"],
        })
        .args(["--log-format", log_format])
        .args(["--max-pixels", &config.pixels.max_pixels.to_string()])
        .args(["--job-timeout", &format!("{}ms", config.pixels.job_timeout.as_millis())])
        .args(["--job-memory-bytes", &config.pixels.job_memory_bytes.to_string()])
        .args(["--confinement", config.pixels.confinement.name()])
        .args(["--sizes", &config.pixels.sizes.to_string()])
        .args(["--webp", &config.pixels.webp.to_string()])
        // The server listens on this address already.
        .env_remove("UP_ADMIN_LISTEN")
        // The URLs are passed as variables, because a command line would show a broker's password.
        .env("UP_STORAGE", config.storage_url().to_string())
        .env("UP_BROKER", broker)
        .stdin(Stdio::piped())
        .kill_on_drop(true);
    if config.admin_listen.is_some() {
        command.arg("--tell-parent").stdout(Stdio::piped());
    } else {
        command.stdout(Stdio::null());
    }
    command.spawn()
}

/// Adds a worker's metrics to those of the server, until the worker ends.
async fn count(metrics: ChildStdout) {
    let (mut lines, mut forwarded) = (BufReader::new(metrics).lines(), ForwardedMetrics::default());
    while let Ok(Some(line)) = lines.next_line().await {
        forwarded.record(&line);
    }
}

fn report(status: io::Result<ExitStatus>) {
    match status {
        Ok(status) => warn!(%status, "a worker process ended and is restarted"),
        Err(error) => warn!(%error, "could not wait for a worker process; it is restarted"),
    }
}

/// Asks a worker to drain, and kills it if it takes too long.
async fn drain(mut child: Child, within: Duration) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process(pid, Signal::TERM);
    }
    if timeout(within, child.wait()).await.is_err() {
        warn!("a worker process did not drain in time and is killed; its job is requeued");
        let _ = child.kill().await;
    }
    info!("a worker process has drained");
}
