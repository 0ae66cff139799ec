//! A maker that needs no time.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::{
    Encoding, Format, Size,
    confinement::{Priority, StartError},
    maker::{Make, MakeError},
    original::Original,
    thumbnail::{Thumbnail, ThumbnailError, ThumbnailSet},
};

/// Creates the error of one call.
type MakeFailure = fn() -> MakeError;

/// Makes thumbnails of three bytes, or fails with the given errors.
#[derive(Clone, Default)]
pub struct Instantly {
    errors: Arc<Mutex<Vec<MakeFailure>>>,
}

impl Instantly {
    /// Fails the next calls with these errors, and then succeeds.
    #[must_use]
    pub fn failing(errors: impl IntoIterator<Item = MakeFailure>) -> Self {
        Self { errors: Arc::new(Mutex::new(errors.into_iter().collect())) }
    }

    /// A picture that cannot be decoded.
    #[must_use]
    pub fn damaged() -> MakeError {
        ThumbnailError::CannotBeDecoded("it is a test".into()).into()
    }

    /// A decoder that was killed from outside.
    #[must_use]
    pub fn killed() -> MakeError {
        MakeError::Machine("the decoder was killed from outside".into())
    }

    /// A decoder that cannot be started.
    #[must_use]
    pub fn not_started() -> MakeError {
        StartError::Late.into()
    }

    fn next_error(&self) -> Option<MakeError> {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        (!errors.is_empty()).then(|| errors.remove(0)())
    }
}

#[async_trait]
impl Make for Instantly {
    async fn make(
        &self,
        _original: Original,
        _format: Format,
        _priority: Priority,
    ) -> Result<ThumbnailSet, MakeError> {
        if let Some(error) = self.next_error() {
            return Err(error);
        }
        let thumbnail = |size, width, height| Thumbnail {
            size,
            width,
            height,
            encoding: Encoding::Jpeg,
            webp: None,
            bytes: b"jpg".to_vec(),
        };
        Ok(ThumbnailSet {
            width: 4032,
            height: 3024,
            thumbnails: [
                thumbnail(Size::Small, 160, 120),
                thumbnail(Size::Medium, 480, 360),
                thumbnail(Size::Large, 1024, 768),
            ],
            thumbhash: vec![1, 2, 3],
            warnings: Vec::new(),
        })
    }

    async fn check(&self) -> Result<(), StartError> {
        match self.errors.lock().unwrap_or_else(PoisonError::into_inner).first().map(|error| error()) {
            Some(MakeError::Start(error)) => Err(error),
            _ => Ok(()),
        }
    }
}
