//! Marks of redelivered jobs that a worker began. They tell a job that kills its workers from one that only waited in
//! their memory, which a broker does not.

use bytes::Bytes;
use object_store::PutMode;

use super::{Storage, StorageError};
use crate::contract::{key::StorageKey, record::JobName, result::Making};

impl Storage {
    /// Stores that a worker begins a redelivered job.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub(crate) async fn mark_begun(&self, job: JobName) -> Result<(), StorageError> {
        let key = StorageKey::begun(job, Making::new(rand::random()));
        self.put(&key, Bytes::new(), "application/octet-stream", PutMode::Overwrite).await.map(drop)
    }

    /// How often workers began a redelivered job.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub(crate) async fn times_begun(&self, job: JobName) -> Result<usize, StorageError> {
        let paths = self.paths_of(job.id).await?;
        Ok(paths.iter().filter(|path| StorageKey::is_begun(path, job)).count())
    }
}
