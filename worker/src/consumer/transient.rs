//! Transient failures.

use crate::{confinement::StartError, maker::MakeError, storage::StorageError, transport::TransportError};

/// A transient failure: a retry may succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransientError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Start(#[from] StartError),
    /// The decoder was killed from outside.
    #[error("{0}")]
    Machine(String),
    #[error("could not post an expired job again")]
    Queue(#[from] TransportError),
}

impl From<MakeError> for TransientError {
    fn from(error: MakeError) -> Self {
        match error {
            MakeError::Start(error) => Self::Start(error),
            MakeError::Machine(how) => Self::Machine(how),
            MakeError::Unreadable(error) => Self::Machine(error.to_string()),
            MakeError::Picture(error) => Self::Machine(error.to_string()),
        }
    }
}
