//! `up-server`: accepts pictures and notifies subscribers when their thumbnails are ready.

use std::{env, process::ExitCode};

use anyhow::Context;
use server::{
    check,
    config::{Command, Config, KeyCommand, SecretCommand},
    keys, rotate, tickets,
};
use tokio::net::TcpListener;
use tracing::error;
use worker::{
    config::{self, EXIT_USAGE},
    logging, process, shutdown,
};

fn main() -> ExitCode {
    let config: Config = match config::parse(env::args_os()) {
        Ok(config) => config,
        Err(code) => return code,
    };
    match &config.command {
        Some(Command::Sandbox(command)) => return command.run(),
        Some(Command::Worker(worker)) => return process::start(worker),
        Some(Command::Check | Command::Secret(_) | Command::Key(_) | Command::Ticket(_)) => {
            logging::init_quiet(config.log_format)
        }
        None => logging::init(config.log_format),
    }
    if config.command.is_none()
        && let Err(error) = check::before_start(&config)
    {
        error!("the server does not start: {error:#}");
        return ExitCode::from(EXIT_USAGE);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.context("could not start the runtime").and_then(|runtime| runtime.block_on(run(config))) {
        Ok(code) => code,
        Err(error) => {
            error!("the server stops: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> anyhow::Result<ExitCode> {
    match config.command {
        Some(Command::Check) => {
            return Ok(if check::run(&config).await { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Some(Command::Secret(SecretCommand::Rotate)) => {
            return rotate::run(&config).await.map(|()| ExitCode::SUCCESS);
        }
        Some(Command::Key(KeyCommand::Add { name })) => {
            return keys::add(config.upload_keys.as_deref(), &name).map(|()| ExitCode::SUCCESS);
        }
        Some(Command::Ticket(ref ticket)) => {
            return tickets::run(&config, ticket).await.map(|()| ExitCode::SUCCESS);
        }
        _ => {}
    }
    let draining = shutdown::on_signal();
    let listening = TcpListener::bind(config.listen).await;
    let listener = listening.with_context(|| format!("could not listen on {}", config.listen))?;
    server::run(config, listener, draining).await?;
    Ok(ExitCode::SUCCESS)
}
