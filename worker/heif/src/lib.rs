//! Decodes the picture of a HEIF file for a thumbnail: HEIC (HEVC) and AVIF (AV1).
//!
//! A file holds many items; the primary one is the picture. It is one coded picture, or a grid of them. Each is decoded,
//! shrunk by averaging squares of pixels and dropped, so that a grid of 200 megapixels needs the memory of one tile and
//! of the shrunk picture.
//!
//! ```text
//!  container   boxes, items, properties; the kind, the sides and the turning of the picture   heifer-isobmff
//!  turning     crops, turns and mirrors, in the order of the file
//!  hevc  av1   one coded picture                                                              heifer-hevc-dec, re_rav1d
//!  frame       planes of samples, shrunk
//!  tiles       the coded pictures that it is made of
//!  canvas      the shrunk picture, from its tiles
//!  matrix      YCbCr to RGB
//!  hdr         PQ and HLG to sRGB
//!  overlay     pictures on top of each other
//!  picture     all of it together
//! ```
//!
//! [`describe`] needs only the boxes `ftyp` and `meta`, so a server can look at a file without reading its pixels. Every
//! size and count is checked before memory is allocated. Orientation in EXIF is never read: writers that set it repeat
//! what the boxes say.

#[cfg(feature = "avif")]
mod av1;
#[cfg(any(feature = "heic", feature = "avif"))]
mod canvas;
#[cfg_attr(not(any(feature = "heic", feature = "avif")), expect(dead_code, reason = "what decoding needs"))]
mod container;
mod error;
#[cfg(any(feature = "heic", feature = "avif"))]
mod frame;
#[cfg(any(feature = "heic", feature = "avif"))]
mod hdr;
#[cfg(feature = "heic")]
mod hevc;
#[cfg(any(feature = "heic", feature = "avif"))]
mod matrix;
#[cfg(any(feature = "heic", feature = "avif"))]
mod overlay;
#[cfg(any(feature = "heic", feature = "avif"))]
mod picture;
#[cfg(any(feature = "heic", feature = "avif"))]
mod tiles;
#[cfg_attr(not(any(feature = "heic", feature = "avif")), expect(dead_code, reason = "what decoding needs"))]
mod turning;

#[cfg(any(feature = "heic", feature = "avif"))]
pub use self::picture::{Colour, Picture, decode};
pub use self::{
    container::{Codec, Description, MAX_META_BYTES, describe},
    error::{Error, Unsupported},
};
