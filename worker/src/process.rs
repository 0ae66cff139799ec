//! A worker process, from its command line to its exit code. It runs in `up-worker`, and in `up-server`, which starts
//! its own executable for its workers.

use std::{ffi::OsString, num::NonZeroUsize, path::Path, process::ExitCode, sync::Arc, thread};

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    Storage,
    config::{self, WorkerCommand, WorkerConfig},
    confinement::Launch,
    consumer::Consumer,
    dead_letter_commands, directory, drill, logging,
    maker::Maker,
    shutdown, telemetry,
    transport::{
        Slots, Transport, broker_url::BrokerUrl, rabbitmq::RabbitTransport, sqlite::SqliteTransport,
    },
};

/// Runs `up-worker`.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match config::parse(arguments) {
        Ok(config) => start(&config),
        Err(code) => code,
    }
}

/// Runs a worker process with these settings, or the command that they name.
#[must_use]
pub fn start(config: &WorkerConfig) -> ExitCode {
    match &config.command {
        Some(WorkerCommand::Sandbox(command)) => return command.run(),
        Some(WorkerCommand::Dead(_) | WorkerCommand::Drill(_)) => logging::init_quiet(config.log_format),
        None => logging::init(config.log_format),
    }
    // One thread for messages; pixels have their own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.context("could not start the async runtime").and_then(|runtime| {
        runtime.block_on(async {
            if let Some(WorkerCommand::Dead(dead)) = &config.command {
                let storage = Storage::open(&config.storage)?;
                let transport = open_transport(&config.broker, u64::MAX)?;
                let done = dead_letter_commands::run(dead, &storage, &transport).await;
                transport.disconnect().await;
                return done.map(|()| ExitCode::SUCCESS);
            }
            if let Some(WorkerCommand::Drill(drill)) = &config.command {
                return drill::run(&config.pixels, drill).await;
            }
            let draining = shutdown::on_signal();
            if config.with_parent {
                shutdown::with_parent(draining.clone());
            }
            run(config, draining).await.map(|()| ExitCode::SUCCESS)
        })
    });
    match ended {
        Ok(code) => code,
        Err(error) => {
            match config.command {
                None => error!("the worker stops: {error:#}"),
                Some(_) => eprintln!("{error:#}"),
            }
            ExitCode::FAILURE
        }
    }
}

/// Works until `draining`, then finishes its jobs.
///
/// # Errors
/// When storage or transport cannot be opened.
pub async fn run(config: &WorkerConfig, draining: CancellationToken) -> anyhow::Result<()> {
    if let Some(address) = config.admin_listen {
        telemetry::serve(address)?;
    } else if config.tell_parent {
        telemetry::forward_to_parent()?;
    }
    let storage = Storage::open(&config.storage)?;
    let transport = open_transport(&config.broker, u64::MAX)?;
    let slots = Slots {
        any: config.concurrency.map_or_else(|| cores().get(), usize::from),
        interactive: config.interactive_slots.into(),
    };
    anyhow::ensure!(
        slots.total() > 0,
        "--concurrency and --interactive-slots are both 0: no picture could be processed"
    );
    let maker =
        Maker::new(&config.pixels, Launch::own(config.pixels.confinement, config.pixels.job_memory_bytes));
    maker.warm(slots.total()).await?;
    info!(storage = %config.storage, broker = %config.broker, slots = slots.total(), "the worker is ready");
    let consumer = Consumer::new(storage, Arc::clone(&transport), Box::new(maker), draining);
    tokio::select! {
        () = Arc::new(consumer).run(slots) => {}
        directory = lost_queue(&config.broker) => {
            anyhow::bail!(
                "the directory {} of the queue was removed or replaced; start the worker again",
                directory.display()
            )
        }
    }
    transport.disconnect().await;
    Ok(())
}

/// Resolves once the directory of an embedded queue was removed. Returns it.
async fn lost_queue(broker: &BrokerUrl) -> &Path {
    let directory = match broker {
        BrokerUrl::Sqlite(path) => path.parent(),
        BrokerUrl::Amqp(_) => None,
    };
    match directory {
        Some(path) => {
            directory::vanished(path).await;
            path
        }
        None => std::future::pending().await,
    }
}

/// Opens the transport that a URL names. `capacity` bounds the jobs that an embedded queue holds.
///
/// # Errors
/// When the transport cannot be used.
pub fn open_transport(url: &BrokerUrl, capacity: u64) -> anyhow::Result<Arc<dyn Transport>> {
    match url {
        BrokerUrl::Sqlite(path) => Ok(Arc::new(SqliteTransport::open(path, capacity)?)),
        BrokerUrl::Amqp(url) => Ok(Arc::new(RabbitTransport::open(url)?)),
    }
}

/// Opens the outbox of a server whose broker is elsewhere. `capacity` bounds the jobs that it holds.
///
/// # Errors
/// When its file cannot be used.
pub fn open_outbox(path: &Path, capacity: u64) -> anyhow::Result<Arc<SqliteTransport>> {
    Ok(Arc::new(SqliteTransport::open_outbox(path, capacity)?))
}

/// How many cores this process may use.
#[must_use]
pub fn cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
