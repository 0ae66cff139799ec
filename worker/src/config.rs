//! The settings of a worker process, and the parts that the server's share.

use std::{ffi::OsString, net::SocketAddr, process::ExitCode, time::Duration};

use clap::{
    Args, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{
    Sizes, WebpSizes,
    confinement::{ConfinementMode, SandboxCommand},
    dead_letter_commands::DeadLetterArgs,
    logging::LogFormat,
    storage::StorageUrl,
    transport::broker_url::BrokerUrl,
};

/// The exit code for a bad setting: `EX_USAGE` of sysexits.h.
pub const EXIT_USAGE: u8 = 64;

/// The file of the embedded queue inside the data directory.
pub const QUEUE_FILE: &str = "queue.sqlite";

/// Slots for the interactive lane alone: one more than the uploads that one client may have in it, so that a client
/// that occupies every other slot leaves one.
const INTERACTIVE_SLOTS: u16 = 2;

/// The settings of `up-worker`. Every flag has an environment variable: `UP_` and its name.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "up-worker",
    version,
    about = "Makes three thumbnails of every uploaded picture. Jobs come from a queue."
)]
pub struct WorkerConfig {
    /// The storage of pictures: file:///absolute/path, or s3://bucket/prefix with the usual AWS_* variables
    #[arg(long, global = true, env = "UP_STORAGE", default_value = "file:data", value_name = "URL")]
    pub storage: StorageUrl,

    /// The queue of jobs: sqlite:///absolute/path/to/file, or amqp(s)://user:password@host/vhost;
    /// several URLs, separated by commas, for the nodes of a cluster
    #[arg(
        long,
        global = true,
        env = "UP_BROKER",
        default_value = "sqlite:data/queue.sqlite",
        value_name = "URL",
        hide_env_values = true
    )]
    pub broker: BrokerUrl,

    /// The number of pictures that are processed at a time. 0 leaves the slots for the interactive lane alone [default:
    /// the number of cores]
    #[arg(long, env = "UP_CONCURRENCY", value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(..=1024))]
    pub concurrency: Option<u16>,

    /// Additional pictures of the interactive lane, so that none waits while slow pictures take the others. Decoders of
    /// the bulk lane have a lower CPU priority
    #[arg(long, env = "UP_INTERACTIVE_SLOTS", default_value_t = INTERACTIVE_SLOTS, value_name = "NUMBER",
          value_parser = clap::value_parser!(u16).range(..=1024))]
    pub interactive_slots: u16,

    /// The limits of one picture
    #[command(flatten)]
    pub pixels: PixelConfig,

    /// The address of the operators' endpoint, /metrics [default: off]
    #[arg(long, env = "UP_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub admin_listen: Option<SocketAddr>,

    /// The format of log records
    #[arg(long, env = "UP_LOG_FORMAT", value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// Drain when standard input closes; a server sets it for its own workers
    #[arg(long, hide = true)]
    pub with_parent: bool,

    /// Write metrics to standard output; a server sets it for its own workers
    #[arg(long, hide = true)]
    pub tell_parent: bool,

    /// A command to run instead of a worker
    #[command(subcommand)]
    pub command: Option<WorkerCommand>,
}

/// The commands of a worker's executable.
#[derive(Debug, Clone, Subcommand)]
pub enum WorkerCommand {
    /// List, show, replay and drop dead letters
    Dead(DeadLetterArgs),
    /// Attack the sandbox of decoders on this host, and print which layer stopped each attack
    ///
    /// A process with the sandbox of a decoder tries to get out: it opens files, connects, forks, takes memory and lies
    /// about its thumbnails. Each layer that has to stop it is tested alone. Run it where the worker runs: in the same
    /// container, with the same unit and user. The exit code is 0 if every layer held, else 1.
    Drill(DrillArgs),
    /// Decode in a sandbox
    #[command(flatten)]
    Sandbox(SandboxCommand),
}

/// The settings of `up-worker drill`.
#[derive(Debug, Clone, Args)]
pub struct DrillArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,

    /// The sandbox to attack, in place of the worker's setting
    #[arg(long, hide = true)]
    pub confinement: Option<ConfinementMode>,
}

/// The limits of one picture, and the sizes of its thumbnails.
#[derive(Debug, Clone, Args)]
pub struct PixelConfig {
    /// The maximum number of pixels of a picture, width times height; larger ones are refused
    #[arg(long, env = "UP_MAX_PIXELS", default_value_t = 100_000_000, value_name = "PIXELS",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub max_pixels: u64,

    /// The time limit of one picture, in seconds or with a unit such as 1m30s; the upload fails when it is exceeded
    #[arg(long, env = "UP_JOB_TIMEOUT", default_value = "30s", value_parser = parse_time, value_name = "TIME")]
    pub job_timeout: Duration,

    /// The memory limit of one picture, in bytes; the upload fails when it is exceeded
    #[arg(long, env = "UP_JOB_MEMORY_BYTES", default_value_t = 512 * 1024 * 1024, value_name = "BYTES",
          value_parser = clap::value_parser!(u64).range(MIN_JOB_MEMORY_BYTES..))]
    pub job_memory_bytes: u64,

    /// What to do when the kernel cannot fully sandbox the decoder
    #[arg(long, env = "UP_CONFINEMENT", value_enum, default_value_t, value_name = "MODE")]
    pub confinement: ConfinementMode,

    /// The longest side of each thumbnail, in pixels; pictures are never enlarged
    #[arg(long, env = "UP_SIZES", default_value_t, value_name = "SIZES")]
    pub sizes: Sizes,

    /// The thumbnails that opaque pictures have as WebP as well, for clients that accept it: small,medium,large or none.
    /// Pictures with transparency have all three, unless it is none
    #[arg(long, env = "UP_WEBP", default_value_t, value_name = "SIZES")]
    pub webp: WebpSizes,
}

/// The smallest memory limit of a job, in bytes: no photograph fits into less.
const MIN_JOB_MEMORY_BYTES: u64 = 16 * 1024 * 1024;

/// The longest time of a setting: a day. RabbitMQ redelivers an unacknowledged job after half an hour.
const MAX_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads a time: a bare number counts seconds.
///
/// # Errors
/// When the text is not a time between zero and a day.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map(Duration::from_secs);
    let time = seconds.or_else(|_| humantime::parse_duration(text)).map_err(|error| error.to_string())?;
    if time.is_zero() || time > MAX_TIME {
        return Err("the time must be more than zero and at most one day".into());
    }
    Ok(time)
}

/// Reads settings from a command line and the environment. `Err` carries the exit code; the error or the help is
/// already printed.
///
/// # Errors
/// [`EXIT_USAGE`] for a bad setting, success for `--help` and `--version`.
pub fn parse<C: Parser>(arguments: impl IntoIterator<Item = OsString>) -> Result<C, ExitCode> {
    C::try_parse_from(arguments).map_err(|mut error| {
        // A broker's URL may hold a password, so the error does not repeat it.
        let is_broker = |argument: &ContextValue| argument.to_string().contains("--broker");
        if error.get(ContextKind::InvalidArg).is_some_and(is_broker) {
            error.insert(ContextKind::InvalidValue, ContextValue::String("…".to_owned()));
        }
        // A closed terminal cannot be reported anywhere.
        let _ = error.print();
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
            _ => ExitCode::from(EXIT_USAGE),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<WorkerConfig, clap::Error> {
        WorkerConfig::try_parse_from([&["up-worker"], arguments].concat())
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let config = parsed(&[]).unwrap();
        assert_eq!(config.pixels.max_pixels, 100_000_000);
        assert_eq!(config.pixels.job_timeout, Duration::from_secs(30));
        assert_eq!(config.pixels.job_memory_bytes, 512 * 1024 * 1024);
        assert_eq!(config.pixels.sizes, Sizes::default());
    }

    #[test]
    fn a_time_is_seconds_or_has_a_unit() {
        assert_eq!(parse_time("30"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_time("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["0", "", "soon", "-1", "2days"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bad_settings_name_their_flag() {
        for (flag, value) in [
            ("--storage", "nowhere"),
            ("--broker", "x"),
            ("--sizes", "small=1"),
            ("--max-pixels", "0"),
            ("--job-memory-bytes", "1"),
            ("--confinement", "maybe"),
            ("--concurrency", "2000"),
        ] {
            let error = parsed(&[flag, value]).unwrap_err().to_string();
            assert!(error.contains(flag), "{error}");
        }
    }
}
