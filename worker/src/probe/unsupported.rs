//! The kinds of pictures that are intact and not supported.

use serde::{Deserialize, Serialize};

/// A kind of picture that no decoder here reads, although its format is accepted. `Display` is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum UnsupportedKind {
    /// DNG, NEF, ARW and other raw files that begin as a TIFF.
    #[error("A camera raw file is not supported.")]
    CameraRaw,
    /// JPEG with a precision of 12 bits, or lossless with up to 16.
    #[error("A JPEG with more than 8 bits per sample is not supported.")]
    DeepJpeg,
    /// ISO 14495-1, which shares only the markers with JPEG.
    #[error("A JPEG-LS picture is not supported.")]
    JpegLs,
    /// JPEG with frames that refine each other.
    #[error("A hierarchical JPEG is not supported.")]
    HierarchicalJpeg,
    /// JPEG by arithmetic coding or without loss, in a build without libjpeg-turbo.
    #[error("This kind of JPEG is not supported.")]
    RareJpeg,
    /// A TIFF compression that is none of those listed in the decoder.
    #[error("A TIFF with this compression is not supported.")]
    TiffCompression,
    /// A TIFF whose samples are not grey, RGB, a palette, CMYK, YCbCr or Lab.
    #[error("A TIFF with this kind of colour is not supported.")]
    TiffColour,
    /// A TIFF with a sample depth or a sample format that is not listed in the decoder.
    #[error("A TIFF with samples of this kind is not supported.")]
    TiffSamples,
    /// A HEIF file whose picture is not one or several of HEVC or AV1.
    #[error("{0} is not supported.")]
    Heif(thumbnail_heif::Unsupported),
    /// A PNG, GIF, WebP or BMP with a feature that its decoder does not have.
    #[error("A picture of this kind is not supported.")]
    Other,
}

impl From<thumbnail_heif::Unsupported> for UnsupportedKind {
    fn from(kind: thumbnail_heif::Unsupported) -> Self {
        Self::Heif(kind)
    }
}
