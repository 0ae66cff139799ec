//! The sandbox status: which layers the kernel enforces on a decoder.

use serde::{Deserialize, Serialize};

/// The status of one sandbox layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LayerStatus {
    /// The kernel enforces all of it.
    Enforced,
    /// The kernel is too old to enforce all of it.
    Partial,
    /// Nothing is enforced, for this reason.
    Missing(String),
}

/// The status of every sandbox layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SandboxStatus {
    pub(super) limits: LayerStatus,
    pub(super) landlock: LayerStatus,
    pub(super) filter: LayerStatus,
}

impl SandboxStatus {
    /// Whether every layer is fully enforced.
    pub(super) fn is_enforced(&self) -> bool {
        [&self.limits, &self.landlock, &self.filter].into_iter().all(|layer| *layer == LayerStatus::Enforced)
    }
}
