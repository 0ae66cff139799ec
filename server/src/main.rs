//! `up-server`: takes pictures and tells whoever waits when their thumbnails are there.

use std::{env, process::ExitCode};

use anyhow::Context;
use server::{
    check,
    config::{Command, Config},
    embedded::WORKER_ARGUMENT,
};
use tokio::net::TcpListener;
use tracing::error;
use worker::{config, confinement, logging, shutdown};

fn main() -> ExitCode {
    if let Some(code) = confinement::run_if_asked(env::args_os()) {
        return code;
    }
    if env::args_os().nth(1).is_some_and(|first| first == WORKER_ARGUMENT) {
        return worker::process::main(env::args_os().skip(1));
    }
    let config: Config = match config::parse(env::args_os()) {
        Ok(config) => config,
        Err(code) => return code,
    };
    match config.command {
        None => logging::init(config.log_format),
        Some(Command::Check) => logging::init_quiet(config.log_format),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.context("could not start").and_then(|runtime| runtime.block_on(run(config))) {
        Ok(code) => code,
        Err(error) => {
            error!("the server stops: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> anyhow::Result<ExitCode> {
    if config.command == Some(Command::Check) {
        return Ok(if check::run(&config).await { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let draining = shutdown::on_signal();
    let listening = TcpListener::bind(config.listen).await;
    let listener = listening.with_context(|| format!("could not listen on {}", config.listen))?;
    server::run(config, listener, draining).await?;
    Ok(ExitCode::SUCCESS)
}
