//! HEIC and AVIF: items in the boxes of an ISO base media file (ISO/IEC 14496-12). The type of the primary item tells
//! which of both a picture is; brands do not. EXIF does not turn it: the boxes do.

use std::io::{ErrorKind, Read, Seek};

use thumbnail_heif::{Codec, Error, MAX_META_BYTES, Unsupported};

use super::{Orientation, ProbeError, StoredHeader, source::Source};
use crate::Format;

/// Boxes of a file that are looked at. Pictures have up to five, and a film in fragments has hundreds.
const MAX_BOXES: u32 = 64;

/// The longest box `ftyp` that is read, in bytes: a thousand brands.
const MAX_BRANDS_BYTES: u64 = 4096;

/// The picture of a file.
pub(super) struct Found {
    /// Which of both formats it has.
    pub(super) format: Format,
    pub(super) header: StoredHeader,
    /// Pixels that are decoded: of the picture before it is cropped.
    pub(super) pixels: u64,
}

/// The picture of a file.
pub(super) fn walk<R: Read + Seek>(source: &mut Source<R>) -> Result<Found, ProbeError> {
    let mut brands = None;
    let mut is_film = false;
    for _ in 0..MAX_BOXES {
        let Some((kind, length)) = next_box(source)? else {
            return Err(match (is_film, brands) {
                (true, _) => Unsupported::Sequence.into(),
                (false, Some(_)) => ProbeError::Damaged("it has no description of its picture"),
                (false, None) => ProbeError::Damaged("it is cut short"),
            });
        };
        match (&kind, length, &brands) {
            (b"ftyp", Some(length), None) => brands = Some(body(source, length, MAX_BRANDS_BYTES)?),
            (b"meta", length, Some(brands)) => {
                let meta = match length {
                    Some(length) => body(source, length, MAX_META_BYTES)?,
                    None => rest(source)?,
                };
                return described(brands, &meta);
            }
            (b"mini", ..) => return Err(Unsupported::Mini.into()),
            (_, Some(length), _) => {
                // A film may have a cover, which is its picture.
                is_film |= kind == *b"moov";
                source.skip(length)?;
            }
            // The last box.
            (_, None, _) if is_film => return Err(Unsupported::Sequence.into()),
            (_, None, _) => return Err(ProbeError::Damaged("it has no description of its picture")),
        }
    }
    Err(ProbeError::TooManyParts)
}

/// The type of a box and the length of its body in bytes, which is unknown for a box that reaches to the end of the file.
type BoxHeader = ([u8; 4], Option<u64>);

/// The next box; `None` at the end.
fn next_box<R: Read + Seek>(source: &mut Source<R>) -> Result<Option<BoxHeader>, ProbeError> {
    let header: [u8; 8] = match source.array() {
        Ok(header) => header,
        Err(ProbeError::Damaged(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let [a, b, c, d, kind @ ..] = header;
    let length = match u32::from_be_bytes([a, b, c, d]) {
        0 => return Ok(Some((kind, None))),
        1 => source.array().map(u64::from_be_bytes)?.checked_sub(16),
        length => u64::from(length).checked_sub(8),
    };
    let length = length.ok_or(ProbeError::Damaged("a box is shorter than its header"))?;
    Ok(Some((kind, Some(length))))
}

fn body<R: Read + Seek>(source: &mut Source<R>, length: u64, most: u64) -> Result<Vec<u8>, ProbeError> {
    let length = u32::try_from(length.min(most + 1)).map_err(|_| ProbeError::TooManyParts)?;
    if u64::from(length) > most {
        return Err(ProbeError::TooManyParts);
    }
    let bytes = source.up_to(length)?;
    if bytes.len() as u64 == u64::from(length) {
        return Ok(bytes);
    }
    Err(std::io::Error::from(ErrorKind::UnexpectedEof).into())
}

/// All bytes up to the end of the file, for a box `meta` without a length.
fn rest<R: Read + Seek>(source: &mut Source<R>) -> Result<Vec<u8>, ProbeError> {
    let most = u32::try_from(MAX_META_BYTES + 1).map_err(|_| ProbeError::TooManyParts)?;
    let bytes = source.up_to(most)?;
    if bytes.len() as u64 > MAX_META_BYTES { Err(ProbeError::TooManyParts) } else { Ok(bytes) }
}

fn described(brands: &[u8], meta: &[u8]) -> Result<Found, ProbeError> {
    let found = thumbnail_heif::describe(brands, meta)?;
    let format = match found.codec {
        Codec::Hevc => Format::Heic,
        Codec::Av1 => Format::Avif,
    };
    let orientation = Orientation::from_tag(found.orientation.into());
    let (width, height) = orientation.displayed(found.width, found.height);
    let header = StoredHeader { width, height, orientation, frames: None };
    Ok(Found { format, header, pixels: found.stored_pixels })
}

impl From<Error> for ProbeError {
    fn from(error: Error) -> Self {
        match error {
            Error::Damaged(_) => Self::Damaged("the description of its picture is damaged"),
            Error::Unsupported(kind) => kind.into(),
            Error::TooMany(_) | Error::NeedsTooMuchMemory => Self::TooManyParts,
        }
    }
}

impl From<Unsupported> for ProbeError {
    fn from(kind: Unsupported) -> Self {
        Self::Unsupported(kind.into())
    }
}
