//! The worker's side of a decoder process. Its replies are untrusted input.

use std::{
    io,
    os::{fd::AsFd, unix::process::ExitStatusExt},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, setpriority_process};
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::timeout,
};
use tracing::{debug, warn};

use super::{
    ATTACKER_COMMAND, ConfinementMode, DECODER_COMMAND, Priority,
    attack::AttackOrder,
    checks::{
        LONG_MESSAGE, LONG_THUMBNAIL, NO_THUMBNAIL, OTHER_SIDES, WRONG_DIMENSIONS, check, failed,
        is_thumbnail, printable,
    },
    protocol::{self, DecodeReply, DecodeRequest, FileHeader, Ready},
    status::SandboxStatus,
};
use crate::{
    Encoding, Size, fit,
    original::{self, NotSent, Original, Unreadable},
    telemetry,
    thumbnail::{Recipe, Thumbnail, ThumbnailError, ThumbnailSet},
};

/// The time limit of a decoder's start. It takes milliseconds, but the machine may be busy.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// The time limit of a decoder's exit after its pipe closed.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of a dead decoder's standard error that are read.
const MAX_STDERR_BYTES: u64 = 4 * 1024;

/// The capacity of the pipes to and from the child, in bytes: the most that Linux gives an unprivileged process.
const PIPE_BYTES: usize = 1024 * 1024;

/// The niceness of decoders of low priority. Linux gives such a process a tenth of the time of one with niceness 0
/// (`sched_prio_to_weight` in the kernel).
const LOW_PRIORITY_NICENESS: i32 = 10;

/// The longest thumbhash of the format, in bytes.
const MAX_THUMBHASH_BYTES: usize = 64;

/// As many warnings as there are kinds.
const MAX_WARNINGS: usize = 1;

/// Bytes that a thumbnail may have on top of four per pixel. No encoding here exceeds that.
const FILE_MARGIN_BYTES: u64 = 64 * 1024;

/// The whole environment of a decoder: glibc keeps freed memory for the next job. Returning it to the kernel and
/// allocating it again costs a tenth of a job.
pub const ALLOCATOR: [(&str, &str); 4] = [
    // The largest value that glibc accepts.
    ("MALLOC_MMAP_THRESHOLD_", "33554432"),
    ("MALLOC_TRIM_THRESHOLD_", "67108864"),
    ("MALLOC_TOP_PAD_", "1048576"),
    ("MALLOC_ARENA_MAX", "1"),
];

/// How decoders are started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// An executable that has the [`SandboxCommand`](super::SandboxCommand)s.
    pub executable: PathBuf,
    /// How much of the sandbox must be enforced.
    pub mode: ConfinementMode,
    /// Bytes that a decoder may allocate on top of its address space at the start.
    pub job_memory_bytes: u64,
    /// An attack in place of jobs. Only the drill orders one.
    pub attack: Option<AttackOrder>,
}

impl Launch {
    /// The executable of this process, even if the file was replaced since.
    #[must_use]
    pub fn own(mode: ConfinementMode, job_memory_bytes: u64) -> Self {
        Self { executable: "/proc/self/exe".into(), mode, job_memory_bytes, attack: None }
    }

    /// The command line of a decoder.
    fn arguments(&self) -> Vec<String> {
        let memory = self.job_memory_bytes.to_string();
        match &self.attack {
            None => vec![DECODER_COMMAND.to_owned(), self.mode.name().to_owned(), memory],
            Some(order) => vec![ATTACKER_COMMAND.to_owned(), memory, order.to_string()],
        }
    }
}

/// Why no decoder could be started. A later try may succeed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The process could not be started, or ended before it was ready.
    #[error("could not start a decoder")]
    Io(#[from] io::Error),
    /// The decoder was not ready in time.
    #[error("could not start a decoder: it was not ready within {START_TIMEOUT:?}")]
    Late,
    /// The sandbox is required, and the kernel does not enforce it.
    #[error("could not sandbox the decoder: {0}; use a newer kernel, or --confinement best-effort")]
    NotConfined(String),
}

/// A warm decoder process.
pub(crate) struct Decoder {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    stderr: ChildStderr,
    jobs: u32,
    /// Whether a file is on its way to the process.
    is_sending: bool,
}

/// Why a job has no reply.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The original could not be read to its end. The decoder still waits for the rest.
    Original(Unreadable),
    /// The decoder died or broke the protocol.
    Decoder(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Decoder(error)
    }
}

impl From<NotSent> for Broken {
    fn from(error: NotSent) -> Self {
        match error {
            NotSent::File(error) => Self::Original(error),
            NotSent::Closed => Self::Decoder(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

/// How a decoder ended unexpectedly.
#[derive(Debug)]
pub(crate) enum DecoderExit {
    /// It exceeded a limit.
    Limit(ThumbnailError),
    /// A signal from outside ended it: an out-of-memory kill, or a signal to the process group. The picture is not at
    /// fault.
    Killed(String),
    /// It crashed. A retry may succeed. The text is for the log.
    Crash(String),
}

/// Signals that a process causes by its own code.
const OWN_FAULT: [Signal; 9] = [
    Signal::SEGV,
    Signal::BUS,
    Signal::ILL,
    Signal::FPE,
    Signal::ABORT,
    Signal::SYS,
    Signal::TRAP,
    Signal::XFSZ,
    Signal::PIPE,
];

impl Decoder {
    /// Starts a decoder and waits until its sandbox is enforced.
    ///
    /// Dropping the future, or the decoder, kills the process.
    pub(crate) async fn start(launch: &Launch, priority: Priority) -> Result<Self, StartError> {
        let (decoder, status) = Self::spawn(launch, priority).await?;
        telemetry::sandbox(
            status.is_enforced(),
            &[
                ("mode", launch.mode.name().to_owned()),
                ("seccomp", status.filter.name().to_owned()),
                ("landlock", status.landlock.name().to_owned()),
                ("landlock_abi", status.landlock_abi.to_string()),
                ("limits", status.limits.name().to_owned()),
            ],
        );
        if status.is_enforced() || launch.mode == ConfinementMode::Off {
            debug!(%status, "a decoder is ready");
        } else if launch.mode == ConfinementMode::Require {
            return Err(StartError::NotConfined(status.to_string()));
        } else {
            warn!(%status, "the kernel cannot fully sandbox decoders: it is too old");
        }
        Ok(decoder)
    }

    /// Starts a decoder and waits for the status of its sandbox.
    async fn spawn(launch: &Launch, priority: Priority) -> Result<(Self, SandboxStatus), StartError> {
        let mut child = Command::new(&launch.executable)
            .arg0("up-decoder")
            .args(launch.arguments())
            .env_clear()
            .envs(ALLOCATOR)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // An interrupt from a terminal reaches only the worker, which finishes its jobs.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        if priority == Priority::Low
            && let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
            && let Err(error) = setpriority_process(Some(pid), LOW_PRIORITY_NICENESS)
        {
            debug!(%error, "could not lower the priority of a decoder; it has that of the worker");
        }
        let missing = || io::Error::other("a pipe is missing");
        let mut decoder = Self {
            input: child.stdin.take().ok_or_else(missing)?,
            output: child.stdout.take().ok_or_else(missing)?,
            stderr: child.stderr.take().ok_or_else(missing)?,
            child,
            jobs: 0,
            is_sending: false,
        };
        // A smaller pipe works too, only more slowly.
        let _ = rustix::pipe::fcntl_setpipe_size(&decoder.input, PIPE_BYTES);
        let _ = rustix::pipe::fcntl_setpipe_size(&decoder.output, PIPE_BYTES);
        let ready: Ready =
            timeout(START_TIMEOUT, decoder.message()).await.map_err(|_| StartError::Late)??;
        Ok((decoder, ready.status))
    }

    /// How many jobs it has begun.
    pub(crate) fn jobs(&self) -> u32 {
        self.jobs
    }

    /// Whether it has done a job and may still hold that job's memory.
    pub(crate) fn is_used(&self) -> bool {
        self.jobs > 0
    }

    /// Whether its job waits for the file of the original.
    pub(crate) fn is_sending(&self) -> bool {
        self.is_sending
    }

    /// Whether the process is alive.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Makes thumbnails. After an `Err` the decoder must not be used again.
    ///
    /// The header of `original` must have passed the limits of `recipe`.
    pub(crate) async fn work(
        &mut self,
        original: &Original,
        recipe: &Recipe,
        displayed: (u32, u32),
        time: Duration,
    ) -> Result<Result<ThumbnailSet, ThumbnailError>, Broken> {
        self.jobs += 1;
        let request = DecodeRequest {
            format: recipe.format,
            sizes: recipe.sizes.to_string(),
            webp: recipe.webp.to_string(),
            max_pixels: recipe.max_pixels,
            timeout: time,
            original_bytes: original.length(),
        };
        self.input.write_all(&protocol::encode(&request)?).await?;
        match original {
            Original::Bytes(bytes) => self.input.write_all(bytes).await?,
            Original::File(file, length) => {
                let pipe = self.input.as_fd().try_clone_to_owned()?;
                self.is_sending = true;
                original::send(file, *length, pipe).await?;
                self.is_sending = false;
            }
        }
        match self.message().await? {
            DecodeReply::Failed(error) => Ok(Err(failed(error)?)),
            DecodeReply::Made { width, height, thumbhash, mut warnings, files, took } => {
                warnings.truncate(MAX_WARNINGS);
                let sides = (width, height) == displayed;
                check(sides && (1..=MAX_THUMBHASH_BYTES).contains(&thumbhash.len()), OTHER_SIDES)?;
                let [small, medium, large] = files;
                let thumbnails = [
                    self.thumbnail(Size::Small, small, recipe, displayed).await?,
                    self.thumbnail(Size::Medium, medium, recipe, displayed).await?,
                    self.thumbnail(Size::Large, large, recipe, displayed).await?,
                ];
                for (stage, took) in ["decode", "scale", "encode"].into_iter().zip(took) {
                    telemetry::stage(stage, took.min(time));
                }
                Ok(Ok(ThumbnailSet { width, height, thumbnails, thumbhash, warnings }))
            }
        }
    }

    async fn thumbnail(
        &mut self,
        size: Size,
        file: FileHeader,
        recipe: &Recipe,
        displayed: (u32, u32),
    ) -> io::Result<Thumbnail> {
        let FileHeader { width, height, encoding, bytes, webp_bytes } = file;
        let expected = fit(displayed, recipe.sizes.longest_side(size));
        check((width, height) == expected, WRONG_DIMENSIONS)?;
        check(encoding != Encoding::WebP, "a thumbnail has no encoding for every client")?;
        let bytes = self.file(bytes, encoding, expected).await?;
        let webp = match webp_bytes {
            Some(length) => Some(self.file(length, Encoding::WebP, expected).await?),
            None => None,
        };
        Ok(Thumbnail { size, width, height, encoding, bytes, webp })
    }

    async fn file(&mut self, length: u64, encoding: Encoding, sides: (u32, u32)) -> io::Result<Vec<u8>> {
        let most = u64::from(sides.0) * u64::from(sides.1) * 4 + FILE_MARGIN_BYTES;
        check(length <= most, LONG_THUMBNAIL)?;
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.output.read_exact(&mut bytes).await?;
        check(is_thumbnail(&bytes, encoding, sides), NO_THUMBNAIL)?;
        Ok(bytes)
    }

    async fn message<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let length = self.output.read_u32_le().await?;
        check(length <= protocol::MAX_JSON_BYTES, LONG_MESSAGE)?;
        let mut json = vec![0; length as usize];
        self.output.read_exact(&mut json).await?;
        Ok(serde_json::from_slice(&json)?)
    }

    /// Kills a decoder that exceeded its time limit.
    pub(crate) async fn kill(mut self) {
        if let Err(error) = self.child.kill().await {
            warn!(%error, "could not kill a decoder");
        }
    }

    /// Finds out how the process ended after [`work`](Self::work) failed with `error`; kills it if it still runs.
    pub(crate) async fn exit_reason(mut self, time: Duration, error: &io::Error) -> DecoderExit {
        drop(self.input);
        drop(self.output);
        let status = match timeout(END_TIMEOUT, self.child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                let _ = self.child.kill().await;
                return DecoderExit::Crash(format!("it broke the protocol: {error}"));
            }
        };
        let mut message = Vec::new();
        let _ = timeout(END_TIMEOUT, self.stderr.take(MAX_STDERR_BYTES).read_to_end(&mut message)).await;
        let message = printable(&String::from_utf8_lossy(&message));
        match status.ok().and_then(|status| status.signal()).and_then(Signal::from_named_raw) {
            Some(Signal::XCPU) => DecoderExit::Limit(ThumbnailError::TookTooLong(time)),
            // The message of the standard library before it aborts.
            Some(Signal::ABORT) if message.contains("memory allocation of ") => {
                DecoderExit::Limit(ThumbnailError::NeedsTooMuchMemory)
            }
            Some(signal) if !OWN_FAULT.contains(&signal) => DecoderExit::Killed(format!("{signal:?}")),
            signal => DecoderExit::Crash(format!("{error}, {signal:?}, {message}")),
        }
    }
}

/// The status of the sandbox of a process that is started so, and ended.
pub(crate) async fn sandbox_status(launch: &Launch) -> Result<SandboxStatus, StartError> {
    Ok(Decoder::spawn(launch, Priority::Normal).await?.1)
}
