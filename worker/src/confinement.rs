//! The sandbox: pixels are decoded in a child process that can only compute.
//!
//! Decoders read untrusted input: they panic, hang, allocate without bound, and sometimes an attacker runs code in one.
//! So they run in a child process without files, network or environment, with bounded memory and time. It is killed
//! when in doubt. A start costs a few milliseconds, so the process is kept warm and does one job after the other.
//!
//! ```text
//!  worker                                        confined process (the same executable, a hidden subcommand)
//!    decoder   request, original ── pipe ──►       child    sandbox first, then read, make, write
//!              reply, checked    ◄── pipe ──       layers   limits, landlock, filter
//! ```
//!
//! | a job | is ended by | the upload fails with |
//! | --- | --- | --- |
//! | allocates without bound | `RLIMIT_AS` | too much memory |
//! | runs for ever | the timeout of the worker, or `RLIMIT_CPU` | took too long |
//! | panics | a panic handler | cannot be decoded |
//! | crashes | the kernel; one retry in a new process | cannot be decoded |

mod attack;
mod attacker;
mod checks;
mod child;
mod decoder;
mod filter;
mod layers;
mod protocol;
mod status;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use strum::IntoStaticStr;

pub use self::{
    attack::AttackOrder,
    decoder::{ALLOCATOR, Launch, StartError},
};
pub(crate) use self::{
    attack::{Attack, Targets},
    attacker::{ESCAPED, REFUSED},
    checks::{LONG_MESSAGE, LONG_THUMBNAIL, NO_THUMBNAIL, OTHER_SIDES, WRONG_DIMENSIONS},
    decoder::{Broken, Decoder, DecoderExit, sandbox_status},
    layers::SandboxLayers,
    status::{LayerStatus, SandboxStatus},
};
use crate::contract::record::Lane;

/// How much of the sandbox must be enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum ConfinementMode {
    /// Enforce what the kernel supports, and log what it does not
    #[default]
    BestEffort,
    /// Refuse to decode pictures unless every layer is enforced
    Require,
    /// No sandbox; only for tests and measurements
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

/// The CPU priority of a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// That of the worker.
    Normal,
    /// A lower one, for the bulk lane: it takes the time that interactive pictures leave.
    Low,
}

impl From<Lane> for Priority {
    fn from(lane: Lane) -> Self {
        match lane {
            Lane::Interactive => Self::Normal,
            Lane::Bulk => Self::Low,
        }
    }
}

/// The subcommand that a worker starts a decoder with.
const DECODER_COMMAND: &str = "confined-decoder";

/// The subcommand that the drill starts an attacker with.
const ATTACKER_COMMAND: &str = "confined-attacker";

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
    /// Attack the drill at the other end of the pipes, in the sandbox of a decoder
    #[command(name = ATTACKER_COMMAND, hide = true)]
    Attacker {
        /// Bytes that the attack may allocate
        memory: u64,
        /// The attack, its targets and the layers of its sandbox
        order: AttackOrder,
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
            Self::Attacker { memory, order } => attacker::run(*memory, order),
        }
    }
}
