//! For `make bench`: the stages of a job in this process, without a sandbox, so that each can be measured. Not for
//! untrusted input.

use crate::{
    Format,
    config::PixelConfig,
    thumbnail::{self, Recipe, Tools},
};
pub use crate::{
    confinement::ALLOCATOR,
    thumbnail::{Stage, ThumbnailError, ThumbnailSet},
};

/// Makes thumbnails of one picture after the other, with the buffers that a decoder keeps.
#[derive(Default)]
pub struct Stages {
    tools: Tools,
}

impl Stages {
    /// Without `thumbnail-jpeg`: every JPEG is decoded by the complete decoder.
    #[must_use]
    pub fn with_complete_decoder() -> Self {
        Self { tools: Tools::with_complete_decoder() }
    }

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
        let recipe = Recipe { format, sizes: pixels.sizes, webp: pixels.webp, max_pixels: pixels.max_pixels };
        thumbnail::make(&mut self.tools, original, &recipe, finished)
    }
}
