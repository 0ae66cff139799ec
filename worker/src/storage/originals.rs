//! Originals in storage, read.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{GetOptions, GetRange, GetResult, GetResultPayload, ObjectStore};

use super::{Storage, StorageError};
use crate::{
    contract::{id::UploadId, key::StorageKey},
    original::{Original, Unreadable},
};

/// The bytes of an original, in pieces.
pub type OriginalStream = BoxStream<'static, object_store::Result<Bytes>>;

impl Storage {
    /// Reads an original whole.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn original(&self, id: UploadId) -> Result<Bytes, StorageError> {
        self.read(&StorageKey::original(id)).await
    }

    /// Opens an original: one in a directory is not read into memory.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn open_original(&self, id: UploadId) -> Result<Original, StorageError> {
        let key = StorageKey::original(id);
        let sort = |source| StorageError::sort("read", &key, source);
        let found = self.store.get_opts(key.path(), GetOptions::default()).await.map_err(sort)?;
        match found.payload {
            GetResultPayload::File(file, _) => Ok(Original::File(Arc::new(file), found.meta.size)),
            payload => {
                let rest = self.store.read_rest(GetResult { payload, ..found }).await;
                Ok(rest.map_err(sort)?.into())
            }
        }
    }

    /// The error of an original whose reading failed after it was opened.
    pub(crate) fn unreadable_original(&self, id: UploadId, error: Unreadable) -> StorageError {
        let source = object_store::Error::Generic { store: "storage", source: Box::new(error) };
        StorageError::sort("read", StorageKey::original(id), source)
    }

    /// Whether an original is there.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub async fn has_original(&self, id: UploadId) -> Result<bool, StorageError> {
        self.exists(&StorageKey::original(id)).await
    }

    /// Reads a part of an original; shorter at the end of the original.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn original_range(&self, id: UploadId, range: Range<u64>) -> Result<Bytes, StorageError> {
        let key = StorageKey::original(id);
        let read = self.store.read_whole(key.path(), Some(range)).await;
        read.map_err(|source| StorageError::sort("read a part of", &key, source))
    }

    /// Streams an original, or a part of it.
    ///
    /// # Errors
    /// See [`StorageError`]; a range outside the original is `Unavailable`.
    pub async fn stream_original(
        &self,
        id: UploadId,
        range: Option<Range<u64>>,
    ) -> Result<OriginalStream, StorageError> {
        let key = StorageKey::original(id);
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let found = self.store.get_opts(key.path(), options).await;
        let found = found.map_err(|source| StorageError::sort("read", &key, source))?;
        Ok(found.into_stream())
    }

    /// Removes an original that was not accepted, with its directory.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub async fn remove_original(&self, id: UploadId) -> Result<(), StorageError> {
        self.delete(&StorageKey::original(id)).await?;
        self.in_directory(move |local| local.remove_upload(id)).await;
        Ok(())
    }
}
