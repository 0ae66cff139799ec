//! The attacks of the drill: the order that an attacker gets on its command line.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};

use super::layers::SandboxLayers;

/// An attack of an attacker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Attack {
    // Calls to the kernel.
    ReadFile,
    ListDirectory,
    CreateFile,
    ConnectTcp,
    ConnectUnix,
    ConnectAbstract,
    SendDatagram,
    SignalWorker,
    Fork,
    StartThread,
    Execute,
    TraceWorker,
    ReadMemoryFile,
    ReadMemory,
    ReadEnvironment,
    MemoryFileWithCode,
    MapCode,
    ProtectCode,
    RaiseLimits,
    TakeMemory,
    // Jobs without an end.
    Compute,
    Wait,
    // Lies.
    ClaimOtherSides,
    AnswerWrongDimensions,
    AnswerPage,
    AnnounceGigabyte,
    WriteTooMuch,
    /// No attack: proves that an attacker became another program.
    Executed,
}

/// The targets of attacks. The drill owns all of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Targets {
    /// A directory with a readable file.
    pub(crate) directory: PathBuf,
    pub(crate) file: PathBuf,
    pub(crate) tcp: SocketAddr,
    pub(crate) udp: SocketAddr,
    pub(crate) unix: PathBuf,
    /// The name of an abstract Unix socket.
    pub(crate) abstract_name: String,
    /// The process of the drill.
    pub(crate) worker: i32,
    /// A text in the memory of the drill.
    pub(crate) secret_address: usize,
    pub(crate) secret_bytes: usize,
}

/// An attack, its targets, and the layers of the attacker's sandbox. On a command line it is JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttackOrder {
    pub(crate) layers: SandboxLayers,
    pub(crate) attack: Attack,
    pub(crate) targets: Targets,
}

impl fmt::Display for AttackOrder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for AttackOrder {
    type Err = serde_json::Error;

    fn from_str(json: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(json)
    }
}
