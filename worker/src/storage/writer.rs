//! Writing an original piece by piece, whole or absent.

use std::{mem, time::Duration};

use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use tokio::{task::JoinSet, time::timeout};
use tracing::warn;

use super::{Storage, StorageError};
use crate::contract::{id::UploadId, key::StorageKey};

/// Parts of one original that may be on their way to the store at once. With the part size it bounds the memory of an
/// upload.
const PARTS_IN_FLIGHT: usize = 2;

/// How long [`OriginalWriter::finish`] waits until an original that failed is removed.
const REMOVED_WITHIN: Duration = Duration::from_secs(1);

/// A guard of a piece's memory, dropped once the store has taken the piece.
pub type PieceGuard = Box<dyn Send>;

/// An original on its way in. [`finish`](Self::finish) makes it visible. Dropping the writer instead removes every trace,
/// also when the future that held it was cancelled because a client disconnected.
pub struct OriginalWriter {
    storage: Storage,
    id: UploadId,
    written: u64,
    part: Part,
    /// `None` until the first part is full: a small original is written by one request.
    upload: Option<Box<dyn MultipartUpload>>,
    in_flight: JoinSet<object_store::Result<()>>,
    is_finished: bool,
}

/// The part that is being filled.
#[derive(Default)]
struct Part {
    pieces: Vec<Bytes>,
    bytes: usize,
    guards: Vec<PieceGuard>,
}

impl OriginalWriter {
    pub(super) fn new(storage: Storage, id: UploadId) -> Self {
        Self {
            storage,
            id,
            written: 0,
            part: Part::default(),
            upload: None,
            in_flight: JoinSet::new(),
            is_finished: false,
        }
    }

    /// Appends a piece; waits while the store is behind. The guard lives as long as the piece is in memory.
    ///
    /// # Errors
    /// As [`StorageError`] says. The upload is lost then: drop the writer.
    pub async fn write(&mut self, piece: Bytes, guard: PieceGuard) -> Result<(), StorageError> {
        self.written += piece.len() as u64;
        self.part.bytes += piece.len();
        self.part.pieces.push(piece);
        self.part.guards.push(guard);
        if self.part.bytes >= self.storage.part_bytes {
            self.send_part().await.map_err(|source| self.error(source))?;
        }
        Ok(())
    }

    /// How many bytes were written.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Makes the original visible and durable.
    ///
    /// # Errors
    /// As [`StorageError`] says. A task removes all that was written; this waits for it for [`REMOVED_WITHIN`].
    pub async fn finish(mut self) -> Result<(), StorageError> {
        let completed = self.complete().await.map_err(|source| self.error(source));
        self.is_finished = true;
        if completed.is_err() {
            let removing = tokio::spawn(self.abandoned().remove());
            let _ = timeout(REMOVED_WITHIN, removing).await;
        }
        completed
    }

    async fn complete(&mut self) -> object_store::Result<()> {
        let path = StorageKey::original(self.id).path().clone();
        if self.upload.is_none() {
            let Part { pieces, guards, .. } = mem::take(&mut self.part);
            let put = self.storage.store.put(&path, PutPayload::from_iter(pieces)).await;
            drop(guards);
            return put.map(drop);
        }
        if self.part.bytes > 0 {
            self.send_part().await?;
        }
        while let Some(stored) = self.in_flight.join_next().await {
            joined(stored)?;
        }
        let upload = self.upload.as_mut().expect("it was begun");
        upload.complete().await.map(drop)
    }

    /// Sends the full part, once one of those before it is stored.
    async fn send_part(&mut self) -> object_store::Result<()> {
        let path = StorageKey::original(self.id).path().clone();
        if self.upload.is_none() {
            self.upload = Some(self.storage.store.put_multipart(&path).await?);
        }
        while self.in_flight.len() >= PARTS_IN_FLIGHT
            && let Some(stored) = self.in_flight.join_next().await
        {
            joined(stored)?;
        }
        let Part { pieces, guards, .. } = mem::take(&mut self.part);
        let upload = self.upload.as_mut().expect("it was begun above");
        let storing = upload.put_part(PutPayload::from_iter(pieces));
        self.in_flight.spawn(async move {
            let stored = storing.await;
            drop(guards);
            stored
        });
        Ok(())
    }

    fn error(&self, source: object_store::Error) -> StorageError {
        StorageError::sort("write", StorageKey::original(self.id), source)
    }
}

fn joined(stored: Result<object_store::Result<()>, tokio::task::JoinError>) -> object_store::Result<()> {
    stored.unwrap_or_else(|error| Err(object_store::Error::JoinError { source: error }))
}

impl OriginalWriter {
    fn abandoned(&mut self) -> Abandoned {
        let (upload, in_flight) = (self.upload.take(), mem::take(&mut self.in_flight));
        Abandoned { storage: self.storage.clone(), id: self.id, upload, in_flight }
    }
}

impl Drop for OriginalWriter {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        // Outside a runtime the process is ending; the audit finds what is left.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(self.abandoned().remove());
        }
    }
}

/// The parts of an original that is not finished.
struct Abandoned {
    storage: Storage,
    id: UploadId,
    upload: Option<Box<dyn MultipartUpload>>,
    in_flight: JoinSet<object_store::Result<()>>,
}

impl Abandoned {
    async fn remove(mut self) {
        self.in_flight.shutdown().await;
        if let Some(mut upload) = self.upload {
            // An upload that failed cannot always be aborted; dropping it removes its staged file.
            let _ = upload.abort().await;
        }
        if let Err(error) = self.storage.remove_original(self.id).await {
            warn!(id = %self.id, %error, "could not remove an abandoned original; the audit removes it");
        }
    }
}
