//! For `make bench`: the stages of a job in this process, without a sandbox, so that each can be measured. Not for
//! untrusted input.

use crate::{
    Format,
    config::PixelConfig,
    thumbnail::{self, Recipe, Scaler},
};
pub use crate::{
    confinement::ALLOCATOR,
    thumbnail::{Stage, ThumbnailError, ThumbnailSet},
};

/// Makes thumbnails of one picture after the other, with the buffers that a decoder keeps.
#[derive(Default)]
pub struct Stages {
    scaler: Scaler,
}

impl Stages {
    /// Makes the three thumbnails. Calls `finished` at the end of each stage.
    ///
    /// # Errors
    /// When the picture is at fault.
    pub fn make(
        &mut self,
        original: &[u8],
        format: Format,
        pixels: &PixelConfig,
        finished: impl FnMut(Stage),
    ) -> Result<ThumbnailSet, ThumbnailError> {
        let recipe = Recipe { format, sizes: pixels.sizes, max_pixels: pixels.max_pixels };
        thumbnail::make(&mut self.scaler, original, &recipe, finished)
    }
}
