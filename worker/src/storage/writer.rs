//! Writing an original piece by piece, whole or absent.

use bytes::Bytes;
use object_store::buffered::BufWriter;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tracing::warn;

use super::{Storage, StorageError};
use crate::contract::{id::UploadId, key::StorageKey};

/// Parts of one original that may be on their way to the store at once; with the part size it bounds the memory of
/// an upload.
const PARTS_IN_FLIGHT: usize = 2;

/// An original on its way in. [`finish`](Self::finish) makes it visible; dropping the writer instead removes every
/// trace, also when the future that held it was cancelled because a client left.
pub struct OriginalWriter {
    storage: Storage,
    id: UploadId,
    /// `None` once finished or abandoned.
    writer: Option<BufWriter>,
    written: u64,
}

impl OriginalWriter {
    pub(super) fn new(storage: Storage, id: UploadId) -> Self {
        let path = StorageKey::original(id).path().clone();
        let writer = BufWriter::with_capacity(Arc::clone(&storage.store), path, storage.part_bytes)
            .with_max_concurrency(PARTS_IN_FLIGHT);
        Self { storage, id, writer: Some(writer), written: 0 }
    }

    /// Appends bytes; waits while the store is behind.
    ///
    /// # Errors
    /// As [`StorageError`] says. The upload is lost then: drop the writer.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        let key = StorageKey::original(self.id);
        self.written += bytes.len() as u64;
        let writer = self.writer.as_mut().expect("a writer that is written to is not finished");
        writer.put(bytes).await.map_err(|source| StorageError::sort("write", &key, source))
    }

    /// How many bytes were written.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Makes the original visible and durable.
    ///
    /// # Errors
    /// As [`StorageError`] says; nothing is left behind then.
    pub async fn finish(mut self) -> Result<(), StorageError> {
        let key = StorageKey::original(self.id);
        let mut writer = self.writer.take().expect("a writer is finished once");
        if let Err(error) = writer.shutdown().await {
            // One that failed to finish can no longer be aborted.
            drop(writer);
            let _ = self.storage.remove_original(self.id).await;
            let source = object_store::Error::Generic { store: "original", source: error.into() };
            return Err(StorageError::sort("write", &key, source));
        }
        Ok(())
    }
}

impl Drop for OriginalWriter {
    fn drop(&mut self) {
        let Some(mut writer) = self.writer.take() else {
            return;
        };
        let (storage, id) = (self.storage.clone(), self.id);
        // Outside a runtime the process is ending; the audit finds what is left.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // A writer that failed cannot always be aborted; dropping it removes its staged file.
                let _ = writer.abort().await;
                drop(writer);
                if let Err(error) = storage.remove_original(id).await {
                    warn!(%id, %error, "could not remove an abandoned original; the audit removes it");
                }
            });
        }
    }
}
