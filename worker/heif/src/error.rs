//! Why a picture could not be described or decoded.

use serde::{Deserialize, Serialize};

/// Why a picture could not be described or decoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is at fault.
    #[error("{0}")]
    Damaged(String),
    /// The file is whole, and of a kind that is not decoded.
    #[error("{0} is not supported")]
    Unsupported(Unsupported),
    /// The picture has more pixels, tiles or items than are decoded.
    #[error("it has too many {0}")]
    TooMany(&'static str),
    /// A buffer could not be allocated.
    #[error("it needs too much memory")]
    NeedsTooMuchMemory,
}

/// A kind of HEIF file that is not decoded. `Display` is the subject of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Unsupported {
    /// HEVC, in a build without it.
    #[error("A HEIC picture")]
    Heic,
    /// AV1, in a build without it.
    #[error("An AVIF picture")]
    Avif,
    /// Frames of a film, and no still picture.
    #[error("A sequence of HEIF pictures")]
    Sequence,
    /// A box `mini` instead of `meta`.
    #[error("A HEIF picture with a short header (mini)")]
    Mini,
    /// Items, and none of them is a picture.
    #[error("A HEIF file without a picture")]
    NoPicture,
    /// ISO/IEC 23001-17.
    #[error("An uncompressed HEIF picture")]
    Uncompressed,
    /// An item `jpeg`.
    #[error("A JPEG inside a HEIF file")]
    Jpeg,
    /// An item `avc1`.
    #[error("An H.264 picture inside a HEIF file")]
    H264,
    /// An item `vvc1`.
    #[error("An H.266 picture inside a HEIF file")]
    H266,
    /// An item `j2k1`.
    #[error("A JPEG 2000 picture inside a HEIF file")]
    Jpeg2000,
    /// An item of any other type.
    #[error("A HEIF picture of this coding")]
    Coding,
    /// An overlay of overlays, or a grid of pictures that are made of others.
    #[error("A HEIF picture that is made of other pictures in this way")]
    Composition,
    /// A property `a1op` or `lsel` that selects another layer than the best one.
    #[error("A HEIF picture that is a smaller layer of its coded picture")]
    Layer,
    /// An essential property that is not known.
    #[error("A HEIF picture with this property")]
    Property,
    /// Samples of more than 12 bits, or of different depths.
    #[error("A HEIF picture with samples of this kind")]
    Samples,
    /// Matrix coefficients that are not known.
    #[error("A HEIF picture with colours of this kind")]
    Colours,
}

impl Error {
    pub(crate) fn damaged(reason: impl std::fmt::Display) -> Self {
        Self::Damaged(reason.to_string())
    }
}

impl From<Unsupported> for Error {
    fn from(kind: Unsupported) -> Self {
        Self::Unsupported(kind)
    }
}

impl From<heifer_isobmff::Error> for Error {
    fn from(error: heifer_isobmff::Error) -> Self {
        Self::damaged(error)
    }
}
