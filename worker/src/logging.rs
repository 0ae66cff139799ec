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

/// The log filter before `RUST_LOG`, which may name the libraries: a level for everything does not let them repeat our
/// lines, or tell each retry.
const BEFORE_OWN: &str = "lapin=off,object_store=warn,";

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
    let own = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let filter = own.and_then(|own| own_filter(&own)).unwrap_or_else(|| EnvFilter::new(otherwise));
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

/// The filter of `RUST_LOG`, if it is one.
fn own_filter(own: &str) -> Option<EnvFilter> {
    EnvFilter::try_new(format!("{BEFORE_OWN}{own}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_of_broker_and_storage_keep_to_themselves_unless_they_are_named() {
        let of = |library: &str, own: &str| {
            let filter = own_filter(own).unwrap().to_string();
            filter.split(',').filter(|part| part.starts_with(library)).collect::<Vec<_>>().join(",")
        };
        assert_eq!(of("lapin", "debug"), "lapin=off");
        assert_eq!(of("lapin", "info,lapin=warn"), "lapin=warn");
        assert_eq!(of("object_store", "info"), "object_store=warn");
        assert_eq!(of("object_store", "info,object_store=debug"), "object_store=debug");
        assert!(own_filter("a=b=c").is_none());
    }
}
