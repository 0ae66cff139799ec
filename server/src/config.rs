//! Every setting of the server: flag, environment variable, unit and default.

mod values;

use std::{
    iter,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use axum::http::HeaderName;
use clap::{Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use url::{Origin, Url};
use worker::{
    Format, LinkBase,
    config::{PixelConfig, QUEUE_FILE, WorkerConfig},
    confinement::SandboxCommand,
    logging::LogFormat,
    storage::StorageUrl,
    transport::broker_url::BrokerUrl,
};

use self::values::{parse_delay, parse_format, parse_network, parse_origin, parse_public_url};
use crate::{keep::Keep, ticket_args::TicketArgs};

/// One more than the uploads that one client may have in the interactive lane, so that a client that occupies every
/// other worker leaves one.
const INTERACTIVE_WORKERS: u16 = 2;

/// The lanes of a worker process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lanes {
    Any,
    Interactive,
}

/// The settings of `up-server`. Every flag has a variable: `UP_` and its name.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "up-server",
    version,
    about = "Accepts pictures, answers at once, and notifies subscribers when three thumbnails are ready.",
    // Settings are accepted before and after a command.
    mut_args(|setting| setting.global(true))
)]
pub struct Config {
    /// Address that clients connect to. Port 0 picks a free port, which is printed
    #[arg(long, env = "UP_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Directory of the outbox, and of local storage
    #[arg(long, env = "UP_DATA", default_value = "./data", value_name = "DIRECTORY")]
    pub data: PathBuf,

    /// Storage of pictures: file:///absolute/path, or s3://bucket/prefix with the usual AWS_* variables
    /// [default: the data directory]
    #[arg(long, env = "UP_STORAGE", value_name = "URL")]
    pub storage: Option<StorageUrl>,

    /// Queue of jobs: sqlite:///absolute/path/to/file, or amqp(s)://user:password@host/vhost;
    /// several URLs, separated by commas, for the nodes of a cluster
    /// [default: a file in the data directory]
    #[arg(long, env = "UP_BROKER", value_name = "URL", hide_env_values = true)]
    pub broker: Option<BrokerUrl>,

    /// Number of worker processes that the server starts itself. 0 if workers run elsewhere [default: the number of
    /// cores, or 0 with an amqp broker]
    #[arg(long, env = "UP_WORKERS", value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(..=1024))]
    pub workers: Option<u16>,

    /// Number of worker processes for the interactive lane alone, in addition to --workers, so that no picture of it waits
    /// while slow pictures take the others. None is started if --workers is 0
    #[arg(long, env = "UP_INTERACTIVE_WORKERS", default_value_t = INTERACTIVE_WORKERS, value_name = "NUMBER",
          value_parser = clap::value_parser!(u16).range(..=1024))]
    pub interactive_workers: u16,

    /// Size limit of one picture, in bytes. A larger picture is refused with 413
    #[arg(long, env = "UP_MAX_UPLOAD_BYTES", default_value_t = MAX_UPLOAD_BYTES, value_name = "BYTES",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub max_upload_bytes: u64,

    /// Formats that are accepted, separated by commas, such as jpeg,png,heic. Others are refused with 415 [default: all
    /// that this build decodes]
    #[arg(long, env = "UP_FORMATS", value_delimiter = ',', value_parser = parse_format, value_name = "FORMATS")]
    pub formats: Vec<Format>,

    /// Limits for decoding a picture
    #[command(flatten)]
    pub pixels: PixelConfig,

    /// Limit of jobs that wait in the outbox. At the limit, uploads are refused with 503
    #[arg(long, env = "UP_MAX_OUTBOX", default_value_t = 10_000, value_name = "JOBS",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub max_outbox: u64,

    /// Limit of upload requests in flight, over all clients. At the limit, the oldest upload of a client that is over
    /// its fair share is evicted. If no client is over its share, the request is refused with 503
    #[arg(long, env = "UP_MAX_CONCURRENT_UPLOADS", default_value_t = 512, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_concurrent_uploads: u32,

    /// Limit of upload requests in flight of one client. Further requests are refused with 429
    #[arg(long, env = "UP_MAX_UPLOADS_PER_CLIENT", default_value_t = 256, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_uploads_per_client: u32,

    /// Limit of unended uploads of one client in the interactive lane. Further ones go to the bulk lane, where clients
    /// take turns. Uploads that ask for the bulk lane do not count
    #[arg(long, env = "UP_INTERACTIVE_PER_CLIENT", default_value_t = 1, value_name = "NUMBER")]
    pub interactive_per_client: u32,

    /// Limit of unended uploads of one client. Further ones are refused with 429
    #[arg(long, env = "UP_MAX_UNENDED_PER_CLIENT", default_value_t = 5_000, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_unended_per_client: u32,

    /// Memory for the bodies of all uploads in flight, in bytes. When it is used up, the largest upload of the client
    /// that holds the most is evicted. An upload that gets no memory within 5 s is refused with 503
    #[arg(long, env = "UP_UPLOAD_MEMORY_BYTES", default_value_t = 256 * 1024 * 1024, value_name = "BYTES",
          value_parser = clap::value_parser!(u64).range(16 * 1024 * 1024..))]
    pub upload_memory_bytes: u64,

    /// Minimum free space on the disks of storage and outbox, in bytes. Below it, uploads are refused with 507, so that
    /// workers can finish accepted ones [default: 1 GiB, or 5 % of a disk below 20 GiB]
    #[arg(long, env = "UP_MIN_FREE_BYTES", value_name = "BYTES")]
    pub min_free_bytes: Option<u64>,

    /// Remove the place where a picture was taken from JPEG, PNG, WebP, HEIC and AVIF files before they are stored.
    /// Pixels stay as they are
    #[arg(long, env = "UP_STRIP_LOCATION", value_parser = clap::builder::BoolishValueParser::new())]
    pub strip_location: bool,

    /// File of the keys that may send uploads, a name and a hash on each line. It is read again when it changes. `up-server
    /// key add NAME` adds a key [default: everybody may send]
    #[arg(long, env = "UP_UPLOAD_KEYS", value_name = "FILE")]
    pub upload_keys: Option<PathBuf>,

    /// Limit of bytes that a key or user may send on one day (UTC), then 429 until the next [default: none]
    #[arg(long, env = "UP_KEY_BYTES_PER_DAY", value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    pub key_bytes_per_day: Option<u64>,

    /// Limit of bytes of the stored originals of a key or user, of those sent since this was set. Further uploads are
    /// refused with 507 until some are deleted or expire [default: none]
    #[arg(long, env = "UP_KEY_STORED_BYTES", value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    pub key_stored_bytes: Option<u64>,

    /// Header in which a trusted proxy names the user that it has signed in. Uploads of others need a key, if
    /// --upload-keys is set, and are refused otherwise [default: none]
    #[arg(long, env = "UP_TRUSTED_USER_HEADER", value_name = "HEADER")]
    pub trusted_user_header: Option<HeaderName>,

    /// Time that uploads are kept, as DEFAULT or DEFAULT,MAXIMUM; for example 30d, or 1h,7d. An upload that asks for
    /// no time is deleted after the default, and any upload after the maximum [default: uploads are kept for ever,
    /// unless they ask for a time]
    #[arg(long, env = "UP_KEEP", value_name = "TIMES")]
    pub keep: Option<Keep>,

    /// Host names of this server, separated by commas. A page that was loaded under another name is treated as a page
    /// of another site, which prevents DNS rebinding [default: the name in --public-url, and loopback names; unless
    /// --listen is a loopback address, IP addresses too, and without --public-url all names]
    #[arg(long, env = "UP_HOSTS", value_delimiter = ',', value_name = "NAMES")]
    pub hosts: Vec<String>,

    /// Limit of open connections, without sockets. At the limit, the oldest idle connection of the client that holds
    /// the most is closed
    #[arg(long, env = "UP_MAX_CONNECTIONS", default_value_t = 8192, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,

    /// Limit of open sockets and event streams, over all clients. At the limit, a socket is closed with 4029 and an
    /// event stream is refused with 503. Clients poll instead
    #[arg(long, env = "UP_MAX_SOCKETS", default_value_t = 10_000, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_sockets: u32,

    /// Limit of open sockets and event streams of one client. At the limit, a socket is closed with 4029 and an event
    /// stream is refused with 429. Clients poll instead
    #[arg(long, env = "UP_MAX_SOCKETS_PER_CLIENT", default_value_t = 2_000, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_sockets_per_client: u32,

    /// Addresses and networks of trusted proxies, separated by commas. Their X-Forwarded-For names the client [default:
    /// none, so the client is the address that connects]
    #[arg(long, env = "UP_TRUSTED_PROXIES", value_delimiter = ',', value_parser = parse_network, value_name = "NETWORKS")]
    pub trusted_proxies: Vec<IpNet>,

    /// Origins of other sites whose pages may use the socket and send forms, separated by commas. Requests from
    /// pages of unlisted sites are refused with 403
    #[arg(long, env = "UP_ALLOWED_ORIGINS", value_delimiter = ',', value_parser = parse_origin, value_name = "ORIGINS")]
    pub allowed_origins: Vec<Origin>,

    /// Origins of other sites whose pages may use the socket, send forms and read answers (CORS), separated by commas
    #[arg(long, env = "UP_CORS_ORIGINS", value_delimiter = ',', value_parser = parse_origin, value_name = "ORIGINS")]
    pub cors_origins: Vec<Origin>,

    /// Pages that may show thumbnails. Browsers refuse them to other pages. Originals are always for pages of this server
    #[arg(long, env = "UP_EMBED_THUMBNAILS", value_enum, default_value_t, value_name = "PAGES")]
    pub embed_thumbnails: Embedding,

    /// URL that links begin with, for a proxy with a path prefix [default: links are paths from the root]
    #[arg(long, env = "UP_PUBLIC_URL", value_parser = parse_public_url, value_name = "URL")]
    pub public_url: Option<Url>,

    /// Address of /metrics, for operators [default: off]
    #[arg(long, env = "UP_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub admin_listen: Option<SocketAddr>,

    /// Time from the first SIGTERM until the server refuses uploads, in seconds or with a unit such as 500ms. /readyz
    /// answers 503 meanwhile, so that load balancers turn to other servers first; 0s is off
    #[arg(long, env = "UP_DRAIN_DELAY", default_value = "1s", value_parser = parse_delay, value_name = "TIME")]
    pub drain_delay: Duration,

    /// Format of log records
    #[arg(long, env = "UP_LOG_FORMAT", value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// Command to run instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The pages that may show a file of this server, as `Cross-Origin-Resource-Policy` tells browsers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Embedding {
    /// Pages of every site: a copied link works in an `<img>` anywhere
    #[default]
    Anywhere,
    /// Pages of this server only
    SameOrigin,
}

/// A command that `up-server` runs instead of serving.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Check whether a server could run with these settings. Exit code 0 if so, 1 if not
    Check,
    /// Manage the secrets that sign delete tokens and tickets
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Manage the keys of --upload-keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Print a link that permits uploads for a limited time
    Ticket(TicketArgs),
    /// Make thumbnails, for the server that started this process
    #[command(name = WORKER_COMMAND, hide = true)]
    Worker(Box<WorkerConfig>),
    /// Decode in a sandbox
    #[command(flatten)]
    Sandbox(SandboxCommand),
}

/// A command about the keys of uploads.
#[derive(Debug, Clone, Subcommand)]
pub enum KeyCommand {
    /// Make a key, add its hash to the file, and print the key once
    Add {
        /// The name of its holder: letters, digits, '-', '_', '.' and '@'
        name: String,
    },
}

/// A command about the secret of delete tokens and tickets.
#[derive(Debug, Clone, Subcommand)]
pub enum SecretCommand {
    /// Add a secret for new tokens. Tokens of the three secrets before it stay valid
    Rotate,
}

/// How long storage may take for one request of a handler, and for a read as a whole. Then the client is told to come
/// back: it has waited long enough, and its connection is needed.
pub(crate) const STORAGE_WITHIN: Duration = Duration::from_secs(5);

/// The default size limit of one picture, in bytes. The start page in the repository names it, too.
pub(crate) const MAX_UPLOAD_BYTES: u64 = 50 * 1024 * 1024;

/// The subcommand that the server starts its own workers with.
pub(crate) const WORKER_COMMAND: &str = "worker";

impl Config {
    /// The accepted formats, each once, in the order of [`Format::ALL`].
    pub(crate) fn accepted(&self) -> Vec<Format> {
        let is_accepted = |format: &Format| {
            if self.formats.is_empty() { format.is_built_in() } else { self.formats.contains(format) }
        };
        Format::ALL.into_iter().filter(is_accepted).collect()
    }

    /// The storage of pictures.
    #[must_use]
    pub fn storage_url(&self) -> StorageUrl {
        match &self.storage {
            Some(StorageUrl::Local(path)) => StorageUrl::Local(absolute(path)),
            Some(url) => url.clone(),
            None => StorageUrl::Local(absolute(&self.data)),
        }
    }

    /// The queue that workers consume.
    #[must_use]
    pub fn broker_url(&self) -> BrokerUrl {
        match &self.broker {
            Some(BrokerUrl::Sqlite(path)) => BrokerUrl::Sqlite(absolute(path)),
            Some(url) => url.clone(),
            None => BrokerUrl::Sqlite(absolute(&self.data).join(QUEUE_FILE)),
        }
    }

    /// The file of the outbox, which holds jobs until the broker has them.
    #[must_use]
    pub fn outbox_path(&self) -> PathBuf {
        absolute(&self.data).join(QUEUE_FILE)
    }

    /// The worker processes to start.
    pub(crate) fn worker_processes(&self) -> impl Iterator<Item = Lanes> {
        let workers = match (self.workers, &self.broker) {
            (Some(workers), _) => workers.into(),
            (None, Some(BrokerUrl::Amqp(_))) => 0,
            (None, _) => worker::process::cores().get(),
        };
        let interactive = if workers == 0 { 0 } else { usize::from(self.interactive_workers) };
        iter::repeat_n(Lanes::Any, workers).chain(iter::repeat_n(Lanes::Interactive, interactive))
    }

    /// The beginning of all links.
    #[must_use]
    pub fn link_base(&self) -> LinkBase {
        self.public_url.as_ref().map(Url::as_str).unwrap_or_default().parse().unwrap_or_default()
    }
}

/// A path for worker processes, which may run in another directory.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Config, clap::Error> {
        Config::try_parse_from([&["up-server"], arguments].concat())
    }

    #[test]
    fn storage_and_queue_lie_in_the_data_directory() {
        let config = parsed(&["--data", "/var/lib/up"]).unwrap();
        assert_eq!(config.storage_url().to_string(), "file:///var/lib/up");
        assert_eq!(config.broker_url().to_string(), "sqlite:///var/lib/up/queue.sqlite");
        assert_eq!(config.max_upload_bytes, 52_428_800);
    }

    #[test]
    fn a_setting_may_stand_before_or_after_the_command() {
        for arguments in [["--data", "/x", "check"], ["check", "--data", "/x"]] {
            let config = parsed(&arguments).unwrap();
            assert!(matches!(config.command, Some(Command::Check)));
            assert_eq!(config.data.to_str(), Some("/x"));
        }
        assert!(parsed(&[]).unwrap().command.is_none());
    }

    #[test]
    fn bad_settings_name_their_flag() {
        for (flag, value) in [
            ("--listen", "somewhere"),
            ("--storage", "ftp://x"),
            ("--broker", "kafka://x"),
            ("--workers", "many"),
            ("--max-upload-bytes", "0"),
            ("--allowed-origins", "example.org"),
            ("--allowed-origins", "https://example.org/path"),
            ("--cors-origins", "*"),
            ("--embed-thumbnails", "nowhere"),
            ("--trusted-proxies", "10.0.0.0/99"),
            ("--max-connections", "0"),
            ("--public-url", "example.org"),
            ("--log-format", "xml"),
            ("--job-timeout", "0"),
            ("--drain-delay", "soon"),
            ("--drain-delay", "2h"),
            ("--keep", "soon"),
            ("--keep", "7d,1h"),
        ] {
            let error = parsed(&[flag, value]).unwrap_err().to_string();
            assert!(error.contains(flag), "{error}");
        }
    }
}
