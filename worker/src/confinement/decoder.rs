//! A confined process as the worker sees it. Nothing that comes back is trusted.

use std::{io, os::unix::process::ExitStatusExt, path::PathBuf, process::Stdio, time::Duration};

use bytes::Bytes;
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::timeout,
};
use tracing::{debug, warn};

use super::{
    ConfinementMode, DECODER_COMMAND,
    protocol::{self, DecodeReply, DecodeRequest, FileHeader, Ready},
};
use crate::{
    Encoding, Format, Size, fit,
    probe::{self, Orientation},
    telemetry,
    thumbnail::{Recipe, Thumbnail, ThumbnailError, ThumbnailSet},
};

/// How long a confined process may take to raise its walls. It takes milliseconds; a machine may be busy.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a process that has closed its pipe may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of its last words that are read.
const MAX_LAST_WORDS: u64 = 4 * 1024;

/// Characters of a child's text that reach a log.
const MAX_DETAIL_CHARS: usize = 200;

/// Bytes that a pipe to the child holds, so that an original goes over in few turns: what Linux lets anybody have.
const PIPE_BYTES: usize = 1024 * 1024;

/// Bytes that a thumbhash has at most, by its format.
const MAX_THUMBHASH_BYTES: usize = 64;

/// Bytes that a thumbnail may have on top of four for each of its pixels, which no encoding here exceeds.
const FILE_MARGIN_BYTES: u64 = 64 * 1024;

/// What the C library of a confined process is told, and all that it is told: to keep memory for the next job, where
/// giving it back and asking again costs a tenth of a job.
pub const ALLOCATOR: [(&str, &str); 4] = [
    // The largest that glibc takes.
    ("MALLOC_MMAP_THRESHOLD_", "33554432"),
    ("MALLOC_TRIM_THRESHOLD_", "67108864"),
    ("MALLOC_TOP_PAD_", "1048576"),
    ("MALLOC_ARENA_MAX", "1"),
];

/// How confined processes are started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// An executable that has the [`SandboxCommand`](super::SandboxCommand)s.
    pub executable: PathBuf,
    /// How much of the confinement must hold.
    pub mode: ConfinementMode,
    /// Bytes that a process may take on top of what it has when it starts.
    pub job_memory_bytes: u64,
}

impl Launch {
    /// The executable of this very process, even if another lies in its place by now.
    #[must_use]
    pub fn own(mode: ConfinementMode, job_memory_bytes: u64) -> Self {
        Self { executable: "/proc/self/exe".into(), mode, job_memory_bytes }
    }
}

/// Why there is no confined process. It may pass.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system refuses a process, or it did not get ready.
    #[error("could not start a confined process")]
    Io(#[from] io::Error),
    /// It did not get ready in time.
    #[error("a confined process did not get ready within {START_TIMEOUT:?}")]
    Late,
    /// Confinement is required, and does not hold.
    #[error("the confinement does not hold on this kernel: {0}")]
    NotConfined(String),
}

/// A warm confined process.
pub(crate) struct Decoder {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    last_words: ChildStderr,
    jobs: u32,
}

/// How a process ended that should not have.
#[derive(Debug)]
pub(crate) enum DecoderExit {
    /// By a limit that it ran into.
    Limit(ThumbnailError),
    /// By a signal that neither this worker nor the process itself caused: an out-of-memory kill, or a signal to the
    /// whole group. Says nothing of the picture.
    Killed(String),
    /// By anything else: another try may help. The text is for the log.
    Crash(String),
}

/// Signals that a process causes itself, by what its code does.
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
    /// Starts a process and waits until it is confined.
    ///
    /// Dropping the future, or the decoder, kills the process.
    pub(crate) async fn start(launch: &Launch) -> Result<Self, StartError> {
        let mut child = Command::new(&launch.executable)
            .arg0("up-decoder")
            .arg(DECODER_COMMAND)
            .arg(launch.mode.name())
            .arg(launch.job_memory_bytes.to_string())
            .env_clear()
            .envs(ALLOCATOR)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // An interrupt from a terminal is for the worker, which finishes its jobs.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let missing = || io::Error::other("a pipe is missing");
        let mut decoder = Self {
            input: child.stdin.take().ok_or_else(missing)?,
            output: child.stdout.take().ok_or_else(missing)?,
            last_words: child.stderr.take().ok_or_else(missing)?,
            child,
            jobs: 0,
        };
        // A smaller pipe only costs time.
        let _ = rustix::pipe::fcntl_setpipe_size(&decoder.input, PIPE_BYTES);
        let ready: Ready =
            timeout(START_TIMEOUT, decoder.message()).await.map_err(|_| StartError::Late)??;
        let status = ready.status;
        if status.is_enforced() || launch.mode == ConfinementMode::Off {
            debug!(?status, "a decoder is ready");
        } else if launch.mode == ConfinementMode::Require {
            return Err(StartError::NotConfined(format!("{status:?}")));
        } else {
            warn!(?status, "the kernel cannot fully sandbox decoders: it is too old");
        }
        Ok(decoder)
    }

    /// Whether it has done a job before, whose memory it may still hold.
    pub(crate) fn is_used(&self) -> bool {
        self.jobs > 0
    }

    /// Whether it still lives.
    pub(crate) fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Has thumbnails made. `Err` is a process that broke off or misbehaved; it is of no more use.
    ///
    /// The header of `original` must have passed the limits of `recipe`.
    pub(crate) async fn work(
        &mut self,
        original: &Bytes,
        recipe: &Recipe,
        displayed: (u32, u32),
        time: Duration,
    ) -> io::Result<Result<ThumbnailSet, ThumbnailError>> {
        self.jobs += 1;
        let request = DecodeRequest {
            format: recipe.format,
            sizes: recipe.sizes.to_string(),
            max_pixels: recipe.max_pixels,
            timeout: time,
            original_bytes: original.len() as u64,
        };
        self.input.write_all(&protocol::encode(&request)?).await?;
        self.input.write_all(original).await?;
        match self.message().await? {
            DecodeReply::Failed(error) => failed(error).map(Err),
            DecodeReply::Made { width, height, thumbhash, files, took } => {
                let sides = (width, height) == displayed;
                demand(
                    sides && (1..=MAX_THUMBHASH_BYTES).contains(&thumbhash.len()),
                    "what it says is wrong",
                )?;
                let [small, medium, large] = files;
                let thumbnails = [
                    self.thumbnail(Size::Small, small, recipe, displayed).await?,
                    self.thumbnail(Size::Medium, medium, recipe, displayed).await?,
                    self.thumbnail(Size::Large, large, recipe, displayed).await?,
                ];
                for (stage, took) in ["decode", "scale", "encode"].into_iter().zip(took) {
                    telemetry::stage(stage, took.min(time));
                }
                Ok(Ok(ThumbnailSet { width, height, thumbnails, thumbhash }))
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
        let FileHeader { width, height, encoding, bytes: length } = file;
        let expected = fit(displayed, recipe.sizes.longest_side(size));
        demand((width, height) == expected, "a thumbnail has other sides")?;
        let most = u64::from(width) * u64::from(height) * 4 + FILE_MARGIN_BYTES;
        demand(length <= most, "a thumbnail is too long")?;
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.output.read_exact(&mut bytes).await?;
        demand(is_thumbnail(&bytes, encoding, expected), "a thumbnail is none")?;
        Ok(Thumbnail { size, width, height, encoding, bytes })
    }

    async fn message<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let length = self.output.read_u32_le().await?;
        demand(length <= protocol::MAX_JSON_BYTES, "a message is too long")?;
        let mut json = vec![0; length as usize];
        self.output.read_exact(&mut json).await?;
        Ok(serde_json::from_slice(&json)?)
    }

    /// Ends a process that takes too long.
    pub(crate) async fn kill(mut self) {
        if let Err(error) = self.child.kill().await {
            warn!(%error, "a confined process could not be killed");
        }
    }

    /// Finds out how a process ended after [`work`](Self::work) failed with `error`; ends it if it did not.
    pub(crate) async fn ending(mut self, time: Duration, error: &io::Error) -> DecoderExit {
        drop(self.input);
        drop(self.output);
        let status = match timeout(END_TIMEOUT, self.child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                let _ = self.child.kill().await;
                return DecoderExit::Crash(format!("it misbehaved: {error}"));
            }
        };
        let mut words = Vec::new();
        let _ = timeout(END_TIMEOUT, self.last_words.take(MAX_LAST_WORDS).read_to_end(&mut words)).await;
        let words = printable(&String::from_utf8_lossy(&words));
        match status.ok().and_then(|status| status.signal()).and_then(Signal::from_named_raw) {
            Some(Signal::XCPU) => DecoderExit::Limit(ThumbnailError::TookTooLong(time)),
            // What the standard library says before it aborts.
            Some(Signal::ABORT) if words.contains("memory allocation of ") => {
                DecoderExit::Limit(ThumbnailError::NeedsTooMuchMemory)
            }
            Some(signal) if !OWN_FAULT.contains(&signal) => DecoderExit::Killed(format!("{signal:?}")),
            signal => DecoderExit::Crash(format!("{error}, {signal:?}, {words}")),
        }
    }
}

/// Holds a child to its word.
fn demand(holds: bool, otherwise: &'static str) -> io::Result<()> {
    if holds { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidData, otherwise)) }
}

/// What a child may say of a failure. The limits of the header and the clock are the worker's to tell.
fn failed(error: ThumbnailError) -> io::Result<ThumbnailError> {
    match error {
        ThumbnailError::CannotBeDecoded(detail) => Ok(ThumbnailError::CannotBeDecoded(printable(&detail))),
        ThumbnailError::NeedsTooMuchMemory => Ok(error),
        ThumbnailError::TooManyPixels(_) | ThumbnailError::TookTooLong(_) => {
            demand(false, "it tells what is not its own to tell").map(|()| error)
        }
    }
}

/// A child's text as a log may hold it: one line, of bounded length.
fn printable(text: &str) -> String {
    text.trim().chars().flat_map(char::escape_default).take(MAX_DETAIL_CHARS).collect()
}

/// Whether bytes are a picture of that encoding and those sides, upright.
fn is_thumbnail(bytes: &[u8], encoding: Encoding, sides: (u32, u32)) -> bool {
    let format = match encoding {
        Encoding::Jpeg => Format::Jpeg,
        Encoding::Png => Format::Png,
    };
    probe::sniff(bytes) == probe::Sniff::Format(format)
        && probe::probe(io::Cursor::new(bytes), format).is_ok_and(|header| {
            (header.width, header.height) == sides && header.orientation == Orientation::Upright
        })
}
