//! Pixels in a process that can do nothing but compute.
//!
//! Decoders read strangers' bytes: they panic, hang, ask for memory without end, and now and then somebody finds a way
//! to make one do worse. So they run in a child process that has no files, no network, no environment, bounded memory
//! and bounded time, and that is killed when in doubt. One costs a few milliseconds to start, so it is kept warm and
//! does one job after the other.
//!
//! ```text
//!  worker                                        confined process (the same executable, a hidden subcommand)
//!    decoder   request, original ── pipe ──►       child    sandbox first, then read, make, write
//!              reply, checked    ◄── pipe ──       layers   limits, landlock, filter
//! ```
//!
//! | what a job does | what ends it | what the upload is told |
//! | --- | --- | --- |
//! | asks for memory without end | `RLIMIT_AS` | too much memory |
//! | takes for ever | the clock of the worker, and `RLIMIT_CPU` | took too long |
//! | panics | is caught | cannot be decoded |
//! | crashes | one more try in a new process | cannot be decoded |

mod child;
mod decoder;
mod filter;
mod layers;
mod protocol;
mod self_test;
mod status;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use strum::IntoStaticStr;

pub use self::decoder::{ALLOCATOR, Launch, StartError};
pub(crate) use self::decoder::{Decoder, DecoderExit};

/// How much of the confinement must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum ConfinementMode {
    /// What the kernel offers; what it does not is logged.
    #[default]
    BestEffort,
    /// All of it: without, no picture is decoded.
    Require,
    /// None. Only for tests and measurements.
    #[value(hide = true)]
    Off,
}

impl ConfinementMode {
    /// The name on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The subcommand that a worker starts a decoder with.
const DECODER_COMMAND: &str = "confined-decoder";

/// Hidden subcommands. Every executable that makes thumbnails has them, because it starts decoders from its own file.
#[derive(Debug, Clone, Parser)]
pub enum SandboxCommand {
    /// Make thumbnails in a sandbox, for the worker at the other end of the pipes
    #[command(name = DECODER_COMMAND, hide = true)]
    Decoder {
        /// What to do when the kernel cannot fully sandbox the decoder
        mode: ConfinementMode,
        /// Bytes that a job may allocate
        memory: u64,
    },
    /// Attempt to escape from a sandbox with some layers; exit code 0 if every attempt is refused
    #[command(name = "confinement-self-test", hide = true)]
    SelfTest {
        /// Bytes that the process may allocate
        memory: u64,
        /// The layers to enforce: limits, landlock, filter
        layers: Vec<String>,
    },
}

impl SandboxCommand {
    /// The subcommand on the command line of this process, for an executable without other arguments.
    #[must_use]
    pub fn from_command_line() -> Option<Self> {
        Self::try_parse().ok()
    }

    /// Runs the subcommand. Must be called before the process opens a file or starts a thread.
    pub fn run(&self) -> ExitCode {
        match self {
            Self::Decoder { mode, memory } => child::run(*mode, *memory),
            Self::SelfTest { memory, layers } => self_test::run(*memory, layers),
        }
    }
}
