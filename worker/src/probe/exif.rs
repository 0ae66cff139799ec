//! The orientation in an EXIF block, which is a small TIFF.

use std::io::Cursor;

use super::{Orientation, source::Source, tiff::Tiff};

/// How JPEG, and by mistake some writers of WebP and PNG, mark an EXIF block; a byte of padding follows.
pub(super) const PREFIX: &[u8] = b"Exif\0";

/// The orientation in an EXIF block, with or without its prefix; upright if it has none or is broken.
pub(super) fn orientation(exif: &[u8]) -> Orientation {
    let exif = exif.strip_prefix(PREFIX).map_or(exif, |rest| rest.get(1..).unwrap_or_default());
    let Ok(mut tiff) = Tiff::open(Source::new(Cursor::new(exif))) else { return Orientation::Upright };
    match tiff.first() {
        Ok(directory) => tiff.orientation(&directory),
        Err(_) => Orientation::Upright,
    }
}
