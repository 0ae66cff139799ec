//! The thumbhash: a placeholder that a page shows before the thumbnail is loaded.

use super::{ThumbnailError, picture::Picture, pixels::Layout, scale::Scaler};
use crate::fit;

/// The longest side of the picture that is hashed, in pixels. The hash keeps seven frequencies per side, so more pixels
/// only take time; the algorithm refuses more than 100.
const LONGEST_SIDE: u32 = 48;

/// The thumbhash of a picture whose colours are multiplied by alpha.
pub(super) fn thumbhash(scaler: &mut Scaler, picture: &Picture) -> Result<Vec<u8>, ThumbnailError> {
    let (width, height) = fit(picture.sides(), LONGEST_SIDE);
    let mut tiny = picture.shrink_from(scaler, (width, height))?.into_pixels();
    tiny.divide_alpha();
    let rgba: Vec<u8> = match tiny.layout {
        Layout::Grey => tiny.bytes.iter().flat_map(|&grey| [grey, grey, grey, u8::MAX]).collect(),
        Layout::GreyAlpha => {
            tiny.bytes.as_chunks().0.iter().flat_map(|&[grey, alpha]| [grey, grey, grey, alpha]).collect()
        }
        Layout::Rgb => tiny
            .bytes
            .as_chunks()
            .0
            .iter()
            .flat_map(|&[red, green, blue]| [red, green, blue, u8::MAX])
            .collect(),
        // CMYK was converted to RGB before.
        Layout::Rgba | Layout::Cmyk => tiny.bytes,
    };
    Ok(thumbhash::rgba_to_thumb_hash(width as usize, height as usize, &rgba))
}
