//! Why a file is left to another decoder.

/// Why a file was not decoded. None of these says that the file is broken: a complete decoder may well accept it, so it
/// should decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file uses something that this decoder leaves to a complete one.
    #[error("the JPEG uses a feature that is not supported: {0}")]
    Unsupported(&'static str),
    /// The file breaks the format, or ends early.
    #[error("the JPEG is damaged: {0}")]
    Damaged(&'static str),
    /// The planes and coefficients would exceed [`Options::max_bytes`](crate::Options::max_bytes), or could not be
    /// allocated.
    #[error("decoding the JPEG would need too much memory")]
    NeedsTooMuchMemory,
}
