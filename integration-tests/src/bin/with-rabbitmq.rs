//! Runs a command with a RabbitMQ node that all its tests share, and stops the node afterwards.
//!
//! ```text
//! with-rabbitmq cargo nextest run
//! ```

use std::{env, process::ExitCode};

use integration_tests::rabbit::{Node, SHARED};
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: with-rabbitmq COMMAND [ARGUMENT…]");
        return ExitCode::from(64);
    };
    let node = Node::start().await;
    let mut command = Command::new(program);
    command.args(arguments).env(SHARED, node.shared());
    let (mut interrupted, mut terminated) =
        match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
            (Ok(interrupted), Ok(terminated)) => (interrupted, terminated),
            (Err(error), _) | (_, Err(error)) => {
                eprintln!("could not listen for signals: {error}");
                return ExitCode::FAILURE;
            }
        };
    let status = match command.spawn() {
        Ok(mut child) => loop {
            tokio::select! {
                status = child.wait() => break status,
                // The command hears of it too, and the node must not be left running.
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
        },
        Err(error) => Err(error),
    };
    match status {
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("could not run the command: {error}");
            ExitCode::FAILURE
        }
    }
}
