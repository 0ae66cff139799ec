//! The embedded default: the server starts its own worker processes, from its own executable, and starts them again
//! when they die.

use std::{
    io,
    process::{ExitStatus, Stdio},
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
use worker::telemetry;

use crate::config::{Config, WORKER_COMMAND};

/// How long a slot stays empty after its worker died, at first and at most. It doubles while workers die young.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A worker that lived so long did not die of starting.
const GROWN_UP: Duration = Duration::from_secs(10);

/// What a worker gets on top of its job's own time to finish when the server drains.
const DRAIN_MARGIN: Duration = Duration::from_secs(5);

/// Keeps worker processes running until `draining`, then lets them finish their jobs.
pub(crate) async fn supervise(config: &Config, draining: CancellationToken) {
    let mut slots = JoinSet::new();
    for _ in 0..config.worker_processes() {
        slots.spawn(keep_one(config.clone(), draining.clone()));
    }
    slots.join_all().await;
}

async fn keep_one(config: Config, draining: CancellationToken) {
    let mut pauses = pauses();
    while !draining.is_cancelled() {
        let started = Instant::now();
        match start(&config) {
            Ok(mut child) => {
                if let Some(figures) = child.stdout.take() {
                    tokio::spawn(count(figures));
                }
                // The worker drains when this end closes, which it does when the server dies, however it dies.
                // Taken out, because waiting for a child would close it.
                let _lifeline = child.stdin.take();
                tokio::select! {
                    status = child.wait() => report(status),
                    () = draining.cancelled() => {
                        return drain(child, config.pixels.job_timeout + DRAIN_MARGIN).await;
                    }
                }
            }
            Err(error) => error!(%error, "could not start a worker"),
        }
        if started.elapsed() >= GROWN_UP {
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

fn start(config: &Config) -> io::Result<Child> {
    let log_format: &str = config.log_format.into();
    let broker = match config.broker_url() {
        worker::transport::broker_url::BrokerUrl::Amqp(url) => url,
        embedded => embedded.to_string(),
    };
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg(WORKER_COMMAND)
        .arg("--with-parent")
        .args(["--concurrency", "1", "--log-format", log_format])
        .args(["--max-pixels", &config.pixels.max_pixels.to_string()])
        .args(["--job-timeout", &format!("{}ms", config.pixels.job_timeout.as_millis())])
        .args(["--job-memory-bytes", &config.pixels.job_memory_bytes.to_string()])
        .args(["--confinement", config.pixels.confinement.name()])
        .args(["--sizes", &config.pixels.sizes.to_string()])
        // One address cannot be listened on by all of them.
        .env_remove("UP_ADMIN_LISTEN")
        // By variable: a broker's password does not belong on a command line.
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

/// Counts what a worker tells of its work, for as long as it lives.
async fn count(figures: ChildStdout) {
    let mut lines = BufReader::new(figures).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        telemetry::record_forwarded(&line);
    }
}

fn report(status: io::Result<ExitStatus>) {
    match status {
        Ok(status) => warn!(%status, "a worker ended and is started again"),
        Err(error) => warn!(%error, "a worker was lost and is started again"),
    }
}

/// Asks a worker to finish, and ends it if it does not.
async fn drain(mut child: Child, within: Duration) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process(pid, Signal::TERM);
    }
    if timeout(within, child.wait()).await.is_err() {
        warn!("a worker does not finish and is killed; its job comes again");
        let _ = child.kill().await;
    }
    info!("a worker has finished");
}
