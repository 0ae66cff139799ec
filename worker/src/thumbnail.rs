//! Stand-in until the pixel branch lands.
use crate::{Encoding, Format, Size, Sizes};
use std::time::Duration;
pub(crate) struct Recipe {
    pub(crate) format: Format,
    pub(crate) sizes: Sizes,
    pub(crate) max_pixels: u64,
}
pub(crate) struct Made {
    pub(crate) thumbnails: [Thumbnail; 3],
    pub(crate) thumbhash: Vec<u8>,
}
pub(crate) struct Thumbnail {
    pub(crate) size: Size,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) encoding: Encoding,
    pub(crate) bytes: Vec<u8>,
}
#[derive(Debug, thiserror::Error)]
pub(crate) enum ThumbnailError {
    #[error("The file is damaged.")]
    CannotBeDecoded(String),
    #[error("It took longer than {0:?} to make smaller, so we stopped.")]
    TookTooLong(Duration),
}
impl ThumbnailError {
    pub(crate) fn code(&self) -> &'static str {
        "x"
    }
}
pub(crate) fn make(original: &[u8], recipe: &Recipe) -> Result<Made, ThumbnailError> {
    let image =
        image::load_from_memory(original).map_err(|e| ThumbnailError::CannotBeDecoded(e.to_string()))?;
    let _ = (recipe.format, recipe.max_pixels);
    let thumbnails = Size::ALL.map(|size| {
        let side = recipe.sizes.longest_side(size);
        let t = image.thumbnail(side, side);
        let mut b = std::io::Cursor::new(vec![]);
        t.to_rgb8().write_to(&mut b, image::ImageFormat::Jpeg).unwrap();
        Thumbnail {
            size,
            width: t.width(),
            height: t.height(),
            encoding: Encoding::Jpeg,
            bytes: b.into_inner(),
        }
    });
    Ok(Made {
        thumbnails,
        thumbhash: vec![1, 2, 3],
    })
}
