//! The reasons why a picture has no thumbnails: a code for programs and a text for people.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::probe::{ProbeError, TooManyPixels, UnsupportedKind};

/// Why a picture has no thumbnails: the same bytes would fail again. `Display` is for people; the detail is for the
/// log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, thiserror::Error)]
#[strum(serialize_all = "kebab-case")]
pub enum ThumbnailError {
    /// The header exceeds the pixel limit.
    #[error(transparent)]
    TooManyPixels(#[from] TooManyPixels),
    /// No decoder can read it.
    #[error("The file is damaged.")]
    CannotBeDecoded(String),
    /// It is intact, and its kind is not supported.
    #[error(transparent)]
    UnsupportedKind(UnsupportedKind),
    /// The job exceeded its time limit.
    #[error("It took longer than {} to make smaller, so we stopped.", Seconds(*.0))]
    TookTooLong(Duration),
    /// The job exceeded its memory limit.
    #[error("It needs more memory than a picture may have.")]
    #[strum(serialize = "too-much-memory")]
    NeedsTooMuchMemory,
}

impl ThumbnailError {
    /// The last part of the problem type.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.into()
    }

    /// The detail for the log.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::CannotBeDecoded(detail) => Some(detail),
            _ => None,
        }
    }

    pub(super) fn damaged(error: impl fmt::Display) -> Self {
        Self::CannotBeDecoded(error.to_string())
    }
}

impl From<ProbeError> for ThumbnailError {
    fn from(error: ProbeError) -> Self {
        match error {
            ProbeError::Unsupported(kind) => kind.into(),
            ProbeError::Other(_) => UnsupportedKind::CameraRaw.into(),
            error => Self::damaged(error),
        }
    }
}

impl From<thumbnail_heif::Error> for ThumbnailError {
    fn from(error: thumbnail_heif::Error) -> Self {
        use thumbnail_heif::Error;
        match error {
            Error::Unsupported(kind) => Self::UnsupportedKind(kind.into()),
            Error::NeedsTooMuchMemory => Self::NeedsTooMuchMemory,
            error => Self::damaged(error),
        }
    }
}

impl From<UnsupportedKind> for ThumbnailError {
    fn from(kind: UnsupportedKind) -> Self {
        Self::UnsupportedKind(kind)
    }
}

impl From<image::ImageError> for ThumbnailError {
    fn from(error: image::ImageError) -> Self {
        use image::{ImageError, error::LimitErrorKind};
        match error {
            ImageError::Limits(limit) if limit.kind() == LimitErrorKind::InsufficientMemory => {
                Self::NeedsTooMuchMemory
            }
            ImageError::Unsupported(_) => UnsupportedKind::Other.into(),
            error => Self::damaged(error),
        }
    }
}

/// A time, as text for people.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            time if time.subsec_millis() == 0 => write!(f, "{} s", time.as_secs()),
            time => write!(f, "{:.1} s", time.as_secs_f64()),
        }
    }
}
