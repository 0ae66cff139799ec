//! The colours of a picture, by the rules of libjpeg.

use crate::{Error, frame::Component};

/// What the segments before the first scan say of colour.
#[derive(Debug, Default)]
pub(crate) struct ColourMarkers {
    has_jfif: bool,
    adobe_transform: Option<u8>,
}

/// The transform of an Adobe segment that stands for YCbCr.
const ADOBE_YCBCR: u8 = 1;

impl ColourMarkers {
    /// Reads an APP0 segment.
    pub(crate) fn read_app0(&mut self, segment: &[u8]) {
        // Shorter ones are ignored by libjpeg.
        self.has_jfif |= segment.len() >= 14 && segment.starts_with(b"JFIF\0");
    }

    /// Reads an APP14 segment.
    pub(crate) fn read_app14(&mut self, segment: &[u8]) {
        if segment.len() >= 12 && segment.starts_with(b"Adobe") {
            self.adobe_transform = Some(segment[11]);
        }
    }

    /// Refuses three components that are not brightness and colour.
    pub(crate) fn check(&self, components: &[Component]) -> Result<(), Error> {
        let [first, second, third] = components else { return Ok(()) };
        let is_ycbcr = self.has_jfif
            || match self.adobe_transform {
                Some(transform) => transform == ADOBE_YCBCR,
                None => [first.id, second.id, third.id] != *b"RGB",
            };
        if is_ycbcr { Ok(()) } else { Err(Error::Unsupported("colours other than YCbCr")) }
    }
}
