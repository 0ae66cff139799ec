//! The seam between messages and pixels: bytes in, three encoded thumbnails out, in bounded time.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    Format, Sizes,
    thumbnail::{self, Made, Recipe, Scaler, ThumbnailError},
};

/// Makes thumbnails of strangers' bytes.
pub(crate) struct Maker {
    /// The longest sides.
    pub(crate) sizes: Sizes,
    /// Pixels that an original may have.
    pub(crate) max_pixels: u64,
    /// How long one job may take.
    pub(crate) job_timeout: Duration,
}

impl Maker {
    /// Makes the three thumbnails.
    ///
    /// # Errors
    /// When the picture is at fault; trying again would not help.
    pub(crate) async fn make(&self, original: Bytes, format: Format) -> Result<Made, ThumbnailError> {
        let recipe = Recipe { format, sizes: self.sizes, max_pixels: self.max_pixels };
        let job = tokio::task::spawn_blocking(move || {
            thumbnail::make(&mut Scaler::default(), &original, &recipe, |_| {})
        });
        match tokio::time::timeout(self.job_timeout, job).await {
            Ok(Ok(made)) => made,
            // A decoder that panicked will do so again.
            Ok(Err(_panic)) => Err(ThumbnailError::CannotBeDecoded("the decoder panicked".into())),
            Err(_) => Err(ThumbnailError::TookTooLong(self.job_timeout)),
        }
    }
}
