//! The attempts, and the layers that have to stop them.
//!
//! | attempt | has to be stopped by each of |
//! | --- | --- |
//! | read a file, list a directory, create a file | seccomp; Landlock 1; limits (no new descriptor) |
//! | connect by TCP | seccomp; Landlock 4; limits |
//! | connect by a Unix socket, send a datagram | seccomp; limits. Landlock 6 knows neither |
//! | connect by an abstract socket | seccomp; Landlock 6; limits |
//! | signal the worker | seccomp; Landlock 6 |
//! | start a process, start a thread | seccomp |
//! | become another program | seccomp; Landlock 1 |
//! | trace the worker, read its memory by a call | seccomp; Landlock 1 |
//! | read the worker's memory or environment in `/proc` | seccomp; Landlock 1; limits |
//! | execute a file in memory | seccomp; limits |
//! | map executable memory, make memory executable | seccomp |
//! | raise its limits | seccomp; limits (no capability) |
//! | take more memory than allowed | limits |
//! | compute for ever, wait for ever | the worker's clock. A decoder can raise its limit of processor time |
//! | five false answers | the worker's check of a reply |
//!
//! | layer | what an operator can do |
//! | --- | --- |
//! | seccomp | allow the calls `prctl` and `seccomp` in the container or the unit; a kernel with `CONFIG_SECCOMP_FILTER` |
//! | Landlock 1 | Linux 5.13 or later, with `landlock` in `lsm=`; allow `landlock_*` in the container or the unit |
//! | Landlock 4, 6 | Linux 6.7 or later, 6.12 or later |
//! | limits | allow `prlimit64`, `prctl` and `capset` in the container or the unit |
//! | the worker's clock and check | a bug: report it |

use crate::confinement::{Attack, LONG_MESSAGE, LONG_THUMBNAIL, NO_THUMBNAIL, OTHER_SIDES, WRONG_DIMENSIONS};

/// A layer that has to stop an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// The filter of system calls.
    Seccomp,
    /// Landlock, from this version of its interface on.
    Landlock(u32),
    /// The resource limits of the process.
    Limits,
    /// The worker's clock, which kills a decoder.
    Clock,
    /// The worker's check of a reply, with this text.
    Check(&'static str),
}

impl Layer {
    /// The name in the table.
    pub(super) fn name(self) -> String {
        match self {
            Self::Landlock(abi) => format!("Landlock {abi}"),
            layer => layer.kind().to_owned(),
        }
    }

    /// The name without a version.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Seccomp => "seccomp",
            Self::Landlock(_) => "Landlock",
            Self::Limits => "limits",
            Self::Clock => "worker's clock",
            Self::Check(_) => "worker's check",
        }
    }

    /// Advice for an operator whose host lacks it.
    pub(super) const fn cure(self) -> &'static str {
        match self {
            Self::Seccomp => {
                "the container or the unit must allow the system calls prctl and seccomp, and the kernel needs CONFIG_SECCOMP_FILTER"
            }
            Self::Landlock(..4) => {
                "it needs Linux 5.13 or later with landlock in the kernel parameter lsm=, and the container or the unit must allow the system calls landlock_create_ruleset, landlock_add_rule and landlock_restrict_self"
            }
            Self::Landlock(4 | 5) => "it needs Linux 6.7 or later to refuse TCP",
            Self::Landlock(_) => "it needs Linux 6.12 or later to refuse abstract sockets and signals",
            Self::Limits => {
                "the container or the unit must allow the system calls prlimit64, prctl and capset"
            }
            Self::Clock | Self::Check(_) => {
                "it is a part of the worker, so this is a bug: report it, and accept pictures only from senders that you trust"
            }
        }
    }
}

/// An attempt to get out.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) name: &'static str,
    pub(super) attack: Attack,
    /// The layers that have to stop it: each of them alone.
    pub(super) layers: &'static [Layer],
}

const fn attempt(name: &'static str, attack: Attack, layers: &'static [Layer]) -> Attempt {
    Attempt { name, attack, layers }
}

use Layer::{Check, Clock, Landlock, Limits, Seccomp};

/// All attempts.
pub(super) const ATTEMPTS: [Attempt; 27] = [
    attempt("read a file", Attack::ReadFile, &[Seccomp, Landlock(1), Limits]),
    attempt("list a directory", Attack::ListDirectory, &[Seccomp, Landlock(1), Limits]),
    attempt("create a file", Attack::CreateFile, &[Seccomp, Landlock(1), Limits]),
    attempt("connect by TCP", Attack::ConnectTcp, &[Seccomp, Landlock(4), Limits]),
    attempt("connect by a Unix socket", Attack::ConnectUnix, &[Seccomp, Limits]),
    attempt("connect by an abstract socket", Attack::ConnectAbstract, &[Seccomp, Landlock(6), Limits]),
    attempt("send a datagram", Attack::SendDatagram, &[Seccomp, Limits]),
    attempt("signal the worker", Attack::SignalWorker, &[Seccomp, Landlock(6)]),
    attempt("start a process", Attack::Fork, &[Seccomp]),
    attempt("start a thread", Attack::StartThread, &[Seccomp]),
    attempt("become another program", Attack::Execute, &[Seccomp, Landlock(1)]),
    attempt("trace the worker", Attack::TraceWorker, &[Seccomp, Landlock(1)]),
    attempt("read the worker's memory in /proc", Attack::ReadMemoryFile, &[Seccomp, Landlock(1), Limits]),
    attempt("read the worker's memory by a call", Attack::ReadMemory, &[Seccomp, Landlock(1)]),
    attempt("read the worker's environment", Attack::ReadEnvironment, &[Seccomp, Landlock(1), Limits]),
    attempt("execute a file in memory", Attack::MemoryFileWithCode, &[Seccomp, Limits]),
    attempt("map executable memory", Attack::MapCode, &[Seccomp]),
    attempt("make memory executable", Attack::ProtectCode, &[Seccomp]),
    attempt("raise its limits", Attack::RaiseLimits, &[Seccomp, Limits]),
    attempt("take more memory than allowed", Attack::TakeMemory, &[Limits]),
    attempt("compute for ever", Attack::Compute, &[Clock]),
    attempt("wait for ever", Attack::Wait, &[Clock]),
    attempt("claim other sides", Attack::ClaimOtherSides, &[Check(OTHER_SIDES)]),
    attempt("answer wrong dimensions", Attack::AnswerWrongDimensions, &[Check(WRONG_DIMENSIONS)]),
    attempt("answer a page in place of a JPEG", Attack::AnswerPage, &[Check(NO_THUMBNAIL)]),
    attempt("announce a gigabyte", Attack::AnnounceGigabyte, &[Check(LONG_THUMBNAIL)]),
    attempt("write more than an answer has", Attack::WriteTooMuch, &[Check(LONG_MESSAGE)]),
];
