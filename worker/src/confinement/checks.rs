//! The worker's checks of what a decoder answers.

use std::io;

use crate::{
    Encoding, Format, failpoint,
    probe::{self, Orientation},
    thumbnail::ThumbnailError,
};

/// Characters of a child's text that reach a log.
const MAX_DETAIL_CHARS: usize = 200;

/// Why an answer is refused. The drill looks for these texts.
pub(crate) const OTHER_SIDES: &str = "reply contradicts the header";
pub(crate) const WRONG_DIMENSIONS: &str = "a thumbnail has the wrong dimensions";
pub(crate) const LONG_THUMBNAIL: &str = "a thumbnail is too long";
pub(crate) const NO_THUMBNAIL: &str = "not a valid thumbnail";
pub(crate) const LONG_MESSAGE: &str = "a message is too long";

/// Checks a reply of the child.
pub(super) fn check(holds: bool, otherwise: &'static str) -> io::Result<()> {
    let is_accepted = holds || failpoint::is_dropped("check-of-reply", otherwise);
    if is_accepted { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidData, otherwise)) }
}

/// The errors that a decoder may report. Only the worker reports the pixel limit and the time limit.
pub(super) fn failed(error: ThumbnailError) -> io::Result<ThumbnailError> {
    match error {
        ThumbnailError::CannotBeDecoded(detail) => Ok(ThumbnailError::CannotBeDecoded(printable(&detail))),
        ThumbnailError::NeedsTooMuchMemory | ThumbnailError::UnsupportedKind(_) => Ok(error),
        ThumbnailError::TooManyPixels(_) | ThumbnailError::TookTooLong(_) => {
            check(false, "the decoder may not report this error").map(|()| error)
        }
    }
}

/// The child's text, escaped for the log: one line of bounded length.
pub(super) fn printable(text: &str) -> String {
    text.trim().chars().flat_map(char::escape_default).take(MAX_DETAIL_CHARS).collect()
}

/// Whether the bytes are an upright picture with this encoding and these dimensions.
pub(super) fn is_thumbnail(bytes: &[u8], encoding: Encoding, sides: (u32, u32)) -> bool {
    let format = match encoding {
        Encoding::Jpeg => Format::Jpeg,
        Encoding::Png => Format::Png,
        Encoding::WebP => Format::WebP,
    };
    probe::sniff(bytes) == probe::Sniff::Format(format)
        && probe::probe(io::Cursor::new(bytes), format).is_ok_and(|header| {
            (header.width, header.height) == sides && header.orientation == Orientation::Upright
        })
}
