//! Logs go to standard error, a record a line.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

/// How records look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// What is logged unless `RUST_LOG` says otherwise: two libraries say at every start what nobody asked.
const DEFAULT_FILTER: &str = "info,memory_serve=warn,rusqlite_migration=warn";

/// Begins to log. `RUST_LOG` chooses what. Does nothing the second time.
pub fn init(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let records = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let records = match format {
        LogFormat::Text => records.boxed(),
        LogFormat::Json => records.json().flatten_event(true).boxed(),
    };
    let _ = tracing_subscriber::registry().with(filter).with(records).try_init();
}
