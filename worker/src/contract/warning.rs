//! What is not as it should be with thumbnails that were made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A shortcoming of a ready upload. Clients ignore those that they do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Warning {
    /// The file ends too early, or a part of it is damaged: at least half of the picture is there, the rest is blank.
    CutShort,
}
