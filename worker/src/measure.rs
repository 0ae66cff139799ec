//! What `make bench` looks at: the stages of a job in this very process, unconfined, so that they can be told apart.
//! Nothing else may use this on strangers' bytes.

use crate::{
    Format,
    config::PixelConfig,
    thumbnail::{self, Recipe, Scaler},
};
pub use crate::{
    confinement::ALLOCATOR,
    thumbnail::{Stage, ThumbnailError, ThumbnailSet},
};

/// Makes thumbnails one picture after the other, with the buffers that a confined process keeps.
#[derive(Default)]
pub struct Stages {
    scaler: Scaler,
}

impl Stages {
    /// Makes the three thumbnails, and tells `finished` when each stage is over.
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
