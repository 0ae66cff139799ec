//! The sandbox status: which layers the kernel enforces on a decoder.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The status of one sandbox layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LayerStatus {
    /// The kernel enforces all of it.
    Enforced,
    /// The kernel is too old to enforce all of it.
    Partial,
    /// Nothing is enforced, for this reason.
    Missing(String),
}

/// The status of every sandbox layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SandboxStatus {
    pub(crate) limits: LayerStatus,
    pub(crate) landlock: LayerStatus,
    /// The Landlock ABI of the kernel; 0 where Landlock enforces nothing.
    #[serde(default)]
    pub(crate) landlock_abi: u32,
    pub(crate) filter: LayerStatus,
}

impl LayerStatus {
    /// One word: `enforced`, `partial` or `missing`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Partial => "partial",
            Self::Missing(_) => "missing",
        }
    }
}

impl SandboxStatus {
    /// Whether every layer is fully enforced.
    pub(crate) fn is_enforced(&self) -> bool {
        [&self.limits, &self.landlock, &self.filter].into_iter().all(|layer| *layer == LayerStatus::Enforced)
    }
}

/// One line for the log: each layer, and why one is missing.
impl fmt::Display for SandboxStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers = [("limits", &self.limits), ("landlock", &self.landlock), ("seccomp", &self.filter)];
        for (name, layer) in layers {
            write!(f, "{name} {}", layer.name())?;
            if let LayerStatus::Missing(why) = layer {
                write!(f, " ({why})")?;
            }
            write!(f, ", ")?;
        }
        write!(f, "Landlock ABI {}", self.landlock_abi)
    }
}
