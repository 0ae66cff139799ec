//! Thumbnails in storage, each below its making.

use bytes::Bytes;
use object_store::PutMode;

use super::{Storage, StorageError};
use crate::contract::{encoding::Encoding, id::UploadId, key::StorageKey, result::Making, size::Size};

impl Storage {
    /// Reads a thumbnail whole.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn thumbnail(
        &self,
        id: UploadId,
        making: Making,
        size: Size,
        encoding: Encoding,
    ) -> Result<Bytes, StorageError> {
        self.read(&StorageKey::thumbnail(id, making, size, encoding)).await
    }

    /// Stores a thumbnail under its making, with its media type if the store supports that.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn put_thumbnail(
        &self,
        id: UploadId,
        making: Making,
        size: Size,
        encoding: Encoding,
        bytes: Bytes,
    ) -> Result<(), StorageError> {
        let key = StorageKey::thumbnail(id, making, size, encoding);
        self.put(&key, bytes, encoding.content_type(), PutMode::Overwrite).await.map(drop)
    }
}
