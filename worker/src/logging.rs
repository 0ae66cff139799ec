//! Logs go to standard error, a record a line.

mod json;

use std::io::IsTerminal;

use clap::ValueEnum;
use strum::IntoStaticStr;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use self::json::JsonLines;

/// The format of log records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON object a line
    Json,
}

/// The log filter, unless `RUST_LOG` is set. Two libraries log needless records at every start. The clients of broker and
/// storage log several records for one event, of which ours tell: the AMQP client is silent, and the storage client keeps
/// its retries to itself.
const DEFAULT_FILTER: &str = "info,memory_serve=warn,rusqlite_migration=warn,lapin=off,object_store=warn";

/// The log filter of commands that print to a terminal.
const QUIET_FILTER: &str = "error";

/// Starts logging, filtered by `RUST_LOG`. A second call has no effect.
pub fn init(format: LogFormat) {
    init_filtered(format, DEFAULT_FILTER);
}

/// Starts logging errors only, for a command that prints to a terminal.
pub fn init_quiet(format: LogFormat) {
    init_filtered(format, QUIET_FILTER);
}

fn init_filtered(format: LogFormat, otherwise: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(otherwise));
    let records = match format {
        LogFormat::Text => tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .boxed(),
        LogFormat::Json => JsonLines.boxed(),
    };
    let _ = tracing_subscriber::registry().with(filter).with(records).try_init();
}
