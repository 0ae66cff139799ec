//! Pixels in a process that can do nothing but compute.
//!
//! Decoders read strangers' bytes: they panic, hang, ask for memory without end, and now and then somebody finds a way
//! to make one do worse. So they run in a child process that has no files, no network, no environment, bounded memory
//! and bounded time, and that is killed when in doubt. One costs a few milliseconds to start, so it is kept warm and
//! does one job after the other.
//!
//! ```text
//!  worker                                        confined process (the same executable, with a hidden argument)
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

use std::{ffi::OsString, process::ExitCode};

use clap::ValueEnum;
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

/// The first argument that makes an executable a confined process.
const CHILD_ARGUMENT: &str = "confined-decoder";

/// The first argument that makes an executable try to break out.
const SELF_TEST_ARGUMENT: &str = "confinement-self-test";

/// Runs the confined process, or its self-test, if the command line asks for that. Every executable whose process
/// makes thumbnails calls this first, because the confined process is started from it.
pub fn run_if_asked(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments =
        arguments.into_iter().skip(1).map(|argument| argument.into_string().unwrap_or_default());
    match arguments.next()?.as_str() {
        CHILD_ARGUMENT => Some(child::run(arguments)),
        SELF_TEST_ARGUMENT => Some(self_test::run(arguments)),
        _ => None,
    }
}
