//! Facts and the index of unfinished uploads.
//!
//! A fact is one object, created once. An object that cannot be read (empty, damaged, too long, of a newer version, of
//! another upload) counts as absent, is logged once, and is replaced by the next writer of that fact.

use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use object_store::{ObjectStore, path::Path};

use super::{
    Storage, StorageError,
    json::{Read, to_json},
    local::LocalRoot,
    rebuild,
};
use crate::contract::{
    failure::{Failure, UploadFailure},
    id::UploadId,
    key::{StorageKey, StoredPart},
    record::{JobName, UploadRecord},
    result::{Making, UploadResult},
};

/// The state of an upload, as storage knows it.
#[derive(Debug, Clone, PartialEq)]
pub enum UploadStatus {
    /// Its thumbnails are stored.
    Ready(UploadResult),
    /// This generation has not ended.
    Pending(UploadRecord),
    /// Its latest generation failed.
    Failed(UploadFailure),
    /// It was deleted, at this generation.
    Gone(u32),
    /// It was never accepted, or is forgotten.
    Unknown,
}

/// The end of a generation, as the caller of [`Storage::store_result`] or [`Storage::store_failure`] finds it.
#[derive(Debug, Clone, PartialEq)]
pub enum UploadEnd {
    /// Ready. The result may be that of another worker, which was faster.
    Ready(UploadResult),
    /// Failed.
    Failed(UploadFailure),
}

impl Storage {
    /// The state of an upload: the result first, then the pending entry, then the failures, then the tombstone. An
    /// upload that is ready costs one read, one that waits two.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub async fn status(&self, id: UploadId) -> Result<UploadStatus, StorageError> {
        let mut damaged = false;
        match self.read_result(id).await? {
            Read::Fact(result) => return Ok(UploadStatus::Ready(result)),
            Read::Unreadable => damaged = true,
            Read::Absent => {}
        }
        let first = JobName { id, generation: 1 };
        match self.read_pending(first).await? {
            Read::Fact(record) => return Ok(UploadStatus::Pending(record)),
            Read::Unreadable => return self.rebuilt_pending(first).await,
            Read::Absent => {}
        }
        let (mut generations, has_result) = self.ends(id).await?;
        if has_result && let Read::Fact(result) = self.read_result(id).await? {
            // It was stored between the two reads.
            return Ok(UploadStatus::Ready(result));
        }
        if generations.is_empty() && damaged {
            // A retry of an upload whose result cannot be read made generation 2.
            generations.push(1);
        }
        for generation in generations.iter().rev().copied() {
            let next = JobName { id, generation: generation.saturating_add(1) };
            match self.read_pending(next).await? {
                // A slow worker may have stored a result meanwhile. The new generation is shown as queued only if there
                // was no result while its entry existed.
                Read::Fact(record) => {
                    let result = self.read_result(id).await?.fact();
                    return Ok(result.map_or(UploadStatus::Pending(record), UploadStatus::Ready));
                }
                Read::Unreadable => return self.rebuilt_pending(next).await,
                Read::Absent => {}
            }
            match self.read_failure(JobName { id, generation }).await? {
                Read::Fact(failure) => return self.last_end(failure).await,
                Read::Unreadable => damaged = true,
                Read::Absent => {}
            }
        }
        if let Some(tombstone) = self.tombstone(id).await? {
            return Ok(UploadStatus::Gone(tombstone.generation));
        }
        if !damaged {
            return Ok(UploadStatus::Unknown);
        }
        // The end is lost. The original exists, so a retry can make the thumbnails again.
        let generation = generations.last().copied().unwrap_or(1);
        let record = self.rebuilt_record(JobName { id, generation }).await?;
        Ok(record.map_or(UploadStatus::Unknown, |record| {
            let ended_at = record.created_at;
            UploadStatus::Failed(UploadFailure { record, ended_at, problem: forgotten() })
        }))
    }

    /// The end of an upload whose last listed failure is this one and whose next generation is not pending: it may have
    /// ended after the listing.
    async fn last_end(&self, failure: UploadFailure) -> Result<UploadStatus, StorageError> {
        let id = failure.record.id;
        if let Some(result) = self.result(id).await? {
            return Ok(UploadStatus::Ready(result));
        }
        let next = JobName { id, generation: failure.record.generation.saturating_add(1) };
        let later = self.read_failure(next).await?.fact();
        Ok(UploadStatus::Failed(later.unwrap_or(failure)))
    }

    /// The result of an upload, if there is one.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub async fn result(&self, id: UploadId) -> Result<Option<UploadResult>, StorageError> {
        self.read_result(id).await.map(Read::fact)
    }

    /// The end of a generation, if it has ended: its own failure, or a result of any generation.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub async fn end_of(&self, job: JobName) -> Result<Option<UploadEnd>, StorageError> {
        if let Some(result) = self.result(job.id).await? {
            return Ok(Some(UploadEnd::Ready(result)));
        }
        Ok(self.read_failure(job).await?.fact().map(UploadEnd::Failed))
    }

    /// Creates the pending entry of a generation, which is the commit of an upload or of a retry. Returns whether this
    /// call created it.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn create_pending(&self, record: &UploadRecord) -> Result<bool, StorageError> {
        self.create(&StorageKey::pending(record.job()), to_json(record)).await
    }

    /// The record of a generation that has not ended. An unreadable entry is rebuilt from the original.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub async fn pending(&self, job: JobName) -> Result<Option<UploadRecord>, StorageError> {
        match self.read_pending(job).await? {
            Read::Fact(record) => Ok(Some(record)),
            Read::Absent => Ok(None),
            Read::Unreadable => {
                let Some(record) = self.rebuilt_record(job).await? else { return Ok(None) };
                self.replace(&StorageKey::pending(job), to_json(&record)).await?;
                Ok(Some(record))
            }
        }
    }

    /// Whether a generation has an entry, readable or not.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub async fn has_pending(&self, job: JobName) -> Result<bool, StorageError> {
        Ok(!matches!(self.read_pending(job).await?, Read::Absent))
    }

    /// Removes the pending entry of a generation that ended.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub async fn remove_pending(&self, job: JobName) -> Result<(), StorageError> {
        self.delete_even_a_directory(&StorageKey::pending(job)).await
    }

    /// Deletes an object. A directory in its place is damage, which must not keep an upload from ending.
    pub(super) async fn delete_even_a_directory(&self, key: &StorageKey) -> Result<(), StorageError> {
        let Err(error) = self.delete(key).await else { return Ok(()) };
        let path = key.path().clone();
        if self.in_directory(move |local| local.remove_if_directory(&path)).await {
            Ok(())
        } else {
            Err(error)
        }
    }

    /// Lists the generations that have not ended, unreadable entries included.
    pub fn list_pending(&self) -> BoxStream<'static, Result<JobName, StorageError>> {
        let prefix = StorageKey::all_pending();
        let entries = self.store.list(Some(&prefix));
        let storage = self.clone();
        let directories = async move { storage.in_directory(LocalRoot::pending_directories).await };
        let directories = stream::once(directories).flat_map(|jobs| stream::iter(jobs.into_iter().map(Ok)));
        entries
            .map_err(move |source| StorageError::sort("list", &prefix, source))
            .try_filter_map(async |entry| Ok(StorageKey::parse_pending(&entry.location)))
            .chain(directories)
            .boxed()
    }

    /// Stores a result. If there is one already, that one wins; its generation is raised to this one's.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn store_result(&self, result: &UploadResult) -> Result<UploadResult, StorageError> {
        let (key, id) = (StorageKey::result(result.record.id), result.record.id);
        if self.create(&key, to_json(result)).await? {
            return Ok(result.clone());
        }
        match self.read_result(id).await? {
            Read::Fact(winner) => self.raise_result(winner, result.record.generation).await,
            Read::Unreadable | Read::Absent => {
                self.replace(&key, to_json(result)).await?;
                Ok(result.clone())
            }
        }
    }

    /// Raises the generation of a stored result, where it is older than a generation that clients have seen queued. A
    /// result that was deleted meanwhile stays deleted.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn raise_result(
        &self,
        result: UploadResult,
        generation: u32,
    ) -> Result<UploadResult, StorageError> {
        if result.record.generation >= generation {
            return Ok(result);
        }
        let raised = result.raised_to(generation);
        let key = StorageKey::result(raised.record.id);
        self.replace(&key, to_json(&raised)).await?;
        if self.is_gone(raised.record.id).await? {
            self.delete(&key).await?;
        }
        Ok(raised)
    }

    /// Stores a failure, unless the upload is ready or the generation failed already. Returns the stored end.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn store_failure(&self, failure: &UploadFailure) -> Result<UploadEnd, StorageError> {
        let job = failure.record.job();
        if let Some(result) = self.result(job.id).await? {
            return Ok(UploadEnd::Ready(result));
        }
        let key = StorageKey::failure(job);
        if !self.create(&key, to_json(failure)).await? {
            match self.read_failure(job).await? {
                Read::Fact(first) => return Ok(UploadEnd::Failed(first)),
                Read::Unreadable | Read::Absent => self.replace(&key, to_json(failure)).await?,
            }
        }
        Ok(UploadEnd::Failed(failure.clone()))
    }

    /// Removes the thumbnails of one making, complete or not.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub(crate) async fn remove_making(&self, id: UploadId, making: Making) -> Result<(), StorageError> {
        self.remove_below(StorageKey::making(id, making)).await?;
        self.in_directory(move |local| local.remove_making(id, making)).await;
        Ok(())
    }

    /// Removes every making of an upload except the winner: leftovers of dead workers.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub async fn remove_other_makings(&self, id: UploadId, winner: Making) -> Result<(), StorageError> {
        for path in self.paths_of(id).await? {
            if let Some((_, StoredPart::Thumbnail(making))) = StorageKey::parse_part(&path)
                && making != winner
            {
                self.delete_path(&path).await?;
            }
        }
        self.in_directory(move |local| local.remove_other_makings(id, winner)).await;
        Ok(())
    }

    /// The objects below the prefix of an upload.
    pub(super) async fn paths_of(&self, id: UploadId) -> Result<Vec<Path>, StorageError> {
        let prefix = StorageKey::upload(id);
        let objects = self.store.list(Some(&prefix)).map_ok(|object| object.location);
        objects.try_collect().await.map_err(|source| StorageError::sort("list", &prefix, source))
    }

    /// Removes everything below the prefix of an upload: its original, facts and thumbnails.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub async fn remove_everything(&self, id: UploadId) -> Result<(), StorageError> {
        self.remove_below(StorageKey::upload(id)).await?;
        self.in_directory(move |local| local.remove_upload(id)).await;
        Ok(())
    }

    pub(super) async fn remove_below(&self, prefix: Path) -> Result<(), StorageError> {
        let mut objects = self.store.list(Some(&prefix));
        while let Some(object) =
            objects.try_next().await.map_err(|source| StorageError::sort("list", &prefix, source))?
        {
            self.delete_path(&object.location).await?;
        }
        Ok(())
    }

    /// The generations that failed, ascending, and whether there is a result.
    pub(super) async fn ends(&self, id: UploadId) -> Result<(Vec<u32>, bool), StorageError> {
        let prefix = StorageKey::upload(id);
        let (mut failed, mut has_result) = (Vec::new(), false);
        let mut objects = self.store.list(Some(&prefix));
        while let Some(object) =
            objects.try_next().await.map_err(|source| StorageError::sort("list", &prefix, source))?
        {
            match StorageKey::parse_part(&object.location) {
                Some((_, StoredPart::Failure(generation))) => failed.push(generation),
                Some((_, StoredPart::Result)) => has_result = true,
                _ => {}
            }
        }
        failed.extend(self.in_directory(move |local| local.failure_directories(id)).await);
        failed.sort_unstable();
        Ok((failed, has_result))
    }

    async fn rebuilt_pending(&self, job: JobName) -> Result<UploadStatus, StorageError> {
        Ok(self.rebuilt_record(job).await?.map_or(UploadStatus::Unknown, UploadStatus::Pending))
    }

    /// A record made from the original; `None` if there is no original, or it is not a picture.
    async fn rebuilt_record(&self, job: JobName) -> Result<Option<UploadRecord>, StorageError> {
        rebuild::record(self, job).await
    }

    async fn read_result(&self, id: UploadId) -> Result<Read<UploadResult>, StorageError> {
        // The generation of a result is not part of its key.
        self.read_fact(&StorageKey::result(id), id, None).await
    }

    async fn read_pending(&self, job: JobName) -> Result<Read<UploadRecord>, StorageError> {
        self.read_fact(&StorageKey::pending(job), job.id, Some(job.generation)).await
    }

    async fn read_failure(&self, job: JobName) -> Result<Read<UploadFailure>, StorageError> {
        self.read_fact(&StorageKey::failure(job), job.id, Some(job.generation)).await
    }
}

/// The failure shown when the stored end is damaged.
fn forgotten() -> Failure {
    Failure { kind: "/problems/forgotten".into(), title: "Its state is damaged. Try again.".into() }
}

#[cfg(test)]
mod tests;
