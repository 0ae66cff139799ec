//! Storage is the truth: everything that is known of an upload lies under its id.
//!
//! ```text
//! uploads/<id>/original        the bytes as received
//! uploads/<id>/upload.json     written before the job is posted
//! uploads/<id>/small|medium|large
//! uploads/<id>/outcome.json    written last
//! claims/<digest>.json         which upload an idempotency key made, for a day
//! ```
//!
//! Every write is whole or absent. Locally a write is also on the disk (file and directory) before it returns.

mod claim;
mod key;
mod listing;
mod local;
mod url;
mod writer;

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, RetryConfig, aws::AmazonS3Builder,
    local::LocalFileSystem, prefix::PrefixStore,
};
use serde::{Serialize, de::DeserializeOwned};

use self::local::LocalRoot;
pub use self::{
    claim::{Claim, FileDigest, Fingerprint},
    key::StorageKey,
    listing::Listing,
    url::{BadStorageUrl, StorageUrl},
    writer::OriginalWriter,
};
use crate::{LinkBase, Outcome, Size, Upload, UploadId, UploadRecord};

/// Parts that an original is written in, in bytes. S3 takes none below 5 MiB but the last; on a disk smaller ones
/// keep the memory of many uploads at once low.
const S3_PART_BYTES: usize = 5 * 1024 * 1024;
const LOCAL_PART_BYTES: usize = 1024 * 1024;

/// A JSON object of storage is at most this long, in bytes; ours stay below a tenth of it.
const MAX_JSON_BYTES: u64 = 256 * 1024;

/// How long an impatient storage asks S3 for.
const IMPATIENT_WITHIN: Duration = Duration::from_secs(5);

/// Where the uploads are. Cheap to clone.
#[derive(Clone)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
    /// The same directory as the file system knows it, where storage is local: for what `object_store` hides.
    local: Option<LocalRoot>,
    part_bytes: usize,
}

/// Why storage did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// There is no such object. Nothing to retry.
    #[error("{0} is not in storage")]
    NotFound(StorageKey),
    /// No room: disk, quota or file size. May pass when room is made.
    #[error("no room in storage for {0}")]
    Full(StorageKey),
    /// An object that is there is not what it should be.
    #[error("{0} in storage is damaged")]
    Damaged(StorageKey, #[source] serde_json::Error),
    /// Anything else, worth another try.
    #[error("could not {attempted} {key} in storage")]
    Unavailable {
        /// The verb.
        attempted: &'static str,
        /// On what.
        key: StorageKey,
        /// Why.
        #[source]
        source: object_store::Error,
    },
}

impl StorageError {
    /// Sorts an error of the store by what the caller can do about it.
    fn sort(attempted: &'static str, key: &StorageKey, source: object_store::Error) -> Self {
        if matches!(source, object_store::Error::NotFound { .. }) {
            Self::NotFound(key.clone())
        } else if is_full(&source) {
            Self::Full(key.clone())
        } else {
            Self::Unavailable { attempted, key: key.clone(), source }
        }
    }
}

/// Whether somewhere down the chain an I/O error says that there is no room.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && matches!(io.kind(), FileTooLarge | QuotaExceeded | StorageFull)
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// A stored object on its way out.
pub struct Stored {
    /// The bytes in pieces.
    pub bytes: BoxStream<'static, object_store::Result<Bytes>>,
    /// How long the whole object is.
    pub total: u64,
    /// Which part of it this is.
    pub range: Range<u64>,
}

impl Storage {
    /// Opens storage; a local directory is made if it is not there.
    ///
    /// # Errors
    /// When the directory cannot be made, or the S3 settings do not fit together. S3 itself is not asked.
    pub fn open(url: &StorageUrl) -> Result<Self, OpenStorageError> {
        Self::open_retrying(url, RetryConfig::default())
    }

    /// Opens storage to learn what is wrong with it: what fails is not tried again, but told at once.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_impatient(url: &StorageUrl) -> Result<Self, OpenStorageError> {
        Self::open_retrying(
            url,
            RetryConfig { max_retries: 0, retry_timeout: IMPATIENT_WITHIN, ..RetryConfig::default() },
        )
    }

    fn open_retrying(url: &StorageUrl, retry: RetryConfig) -> Result<Self, OpenStorageError> {
        match url {
            StorageUrl::Local(directory) => {
                let root = LocalRoot::create(directory)
                    .map_err(|source| OpenStorageError::Directory { path: directory.clone(), source })?;
                let store = LocalFileSystem::new_with_prefix(root.path())
                    .map_err(OpenStorageError::Store)?
                    .with_fsync(true);
                Ok(Self { store: Arc::new(store), local: Some(root), part_bytes: LOCAL_PART_BYTES })
            }
            StorageUrl::S3 { bucket, prefix } => {
                let store = AmazonS3Builder::from_env()
                    .with_bucket_name(bucket)
                    .with_retry(retry)
                    .build()
                    .map_err(OpenStorageError::Store)?;
                let store: Arc<dyn ObjectStore> = if prefix.is_empty() {
                    Arc::new(store)
                } else {
                    Arc::new(PrefixStore::new(store, prefix.as_str()))
                };
                Ok(Self { store, local: None, part_bytes: S3_PART_BYTES })
            }
        }
    }

    /// Begins to write an original. Dropping the writer leaves nothing behind.
    #[must_use]
    pub fn write_original(&self, id: UploadId) -> OriginalWriter {
        OriginalWriter::new(self.clone(), id)
    }

    /// Reads an original whole.
    ///
    /// # Errors
    /// As [`StorageError`] says.
    pub async fn original(&self, id: UploadId) -> Result<Bytes, StorageError> {
        self.read(&StorageKey::original(id)).await
    }

    /// Reads a part of an original; the part may be cut short by its end.
    ///
    /// # Errors
    /// As [`StorageError`] says.
    pub async fn original_range(&self, id: UploadId, range: Range<u64>) -> Result<Bytes, StorageError> {
        let key = StorageKey::original(id);
        let read = self.store.get_range(key.path(), range).await;
        read.map_err(|source| StorageError::sort("read a part of", &key, source))
    }

    /// Streams an original, or a part of it.
    ///
    /// # Errors
    /// As [`StorageError`] says; a range that lies outside is `Unavailable`.
    pub async fn stream_original(
        &self,
        id: UploadId,
        range: Option<Range<u64>>,
    ) -> Result<Stored, StorageError> {
        let key = StorageKey::original(id);
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let found = self.store.get_opts(key.path(), options).await;
        let found = found.map_err(|source| StorageError::sort("read", &key, source))?;
        Ok(Stored { total: found.meta.size, range: found.range.clone(), bytes: found.into_stream() })
    }

    /// Reads a thumbnail whole. Only what an outcome speaks of is known to be there.
    ///
    /// # Errors
    /// As [`StorageError`] says.
    pub async fn thumbnail(&self, id: UploadId, size: Size) -> Result<Bytes, StorageError> {
        self.read(&StorageKey::thumbnail(id, size)).await
    }

    /// Stores a thumbnail.
    ///
    /// # Errors
    /// As [`StorageError`] says.
    pub async fn put_thumbnail(&self, id: UploadId, size: Size, bytes: Bytes) -> Result<(), StorageError> {
        self.put(&StorageKey::thumbnail(id, size), bytes).await
    }

    /// What the server knew when it accepted the upload; `None` if it never did.
    ///
    /// # Errors
    /// As [`StorageError`] says, `NotFound` excepted.
    pub async fn record(&self, id: UploadId) -> Result<Option<UploadRecord>, StorageError> {
        self.read_json(&StorageKey::record(id)).await
    }

    /// Stores what the server knows of an upload.
    ///
    /// # Errors
    /// As [`StorageError`] says.
    pub async fn put_record(&self, record: &UploadRecord) -> Result<(), StorageError> {
        self.put_json(&StorageKey::record(record.id), record).await
    }

    /// How the upload ended last; it may speak of an older generation.
    ///
    /// # Errors
    /// As [`StorageError`] says, `NotFound` excepted.
    pub async fn outcome(&self, id: UploadId) -> Result<Option<Outcome>, StorageError> {
        self.read_json(&StorageKey::outcome(id)).await
    }

    /// Stores how a generation ended. Everything that the outcome speaks of must be stored before.
    ///
    /// # Errors
    /// As [`StorageError`] says.
    pub async fn put_outcome(&self, id: UploadId, outcome: &Outcome) -> Result<(), StorageError> {
        self.put_json(&StorageKey::outcome(id), outcome).await
    }

    /// Everything that is known of an upload; `None` if it is unknown.
    ///
    /// # Errors
    /// As [`StorageError`] says, `NotFound` excepted.
    pub async fn upload(&self, id: UploadId, base: &LinkBase) -> Result<Option<Upload>, StorageError> {
        let Some(record) = self.record(id).await? else {
            return Ok(None);
        };
        let outcome = self.outcome(id).await?;
        Ok(Some(Upload::assemble(&record, outcome.as_ref(), base)))
    }

    /// Removes everything of an upload, the record first, so that a half-removed upload is no upload.
    ///
    /// # Errors
    /// As [`StorageError`] says, `NotFound` excepted.
    pub async fn remove(&self, id: UploadId) -> Result<(), StorageError> {
        for key in StorageKey::all(id) {
            match self.store.delete(key.path()).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(StorageError::sort("delete", &key, source)),
            }
        }
        if let Some(local) = &self.local {
            local.remove_directory(id);
        }
        Ok(())
    }

    /// Proves that storage takes, returns and forgets an object.
    ///
    /// # Errors
    /// As [`StorageError`] says.
    pub async fn check(&self) -> Result<(), StorageError> {
        let key = StorageKey::probe(UploadId::new());
        self.put(&key, Bytes::from_static(b"up!")).await?;
        self.read(&key).await?;
        let gone = self.store.delete(key.path()).await;
        gone.map_err(|source| StorageError::sort("delete", &key, source))
    }

    async fn read(&self, key: &StorageKey) -> Result<Bytes, StorageError> {
        let sort = |source| StorageError::sort("read", key, source);
        self.store.get(key.path()).await.map_err(sort)?.bytes().await.map_err(sort)
    }

    async fn put(&self, key: &StorageKey, bytes: Bytes) -> Result<(), StorageError> {
        let put = self.store.put(key.path(), bytes.into()).await;
        put.map(drop).map_err(|source| StorageError::sort("write", key, source))
    }

    async fn read_json<T: DeserializeOwned>(&self, key: &StorageKey) -> Result<Option<T>, StorageError> {
        let found = self.store.get_range(key.path(), 0..MAX_JSON_BYTES).await;
        let bytes = match found.map_err(|source| StorageError::sort("read", key, source)) {
            Ok(bytes) => bytes,
            Err(StorageError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let parsed = serde_json::from_slice(&bytes);
        parsed.map(Some).map_err(|source| StorageError::Damaged(key.clone(), source))
    }

    async fn put_json<T: Serialize>(&self, key: &StorageKey, value: &T) -> Result<(), StorageError> {
        self.put(key, Self::to_json(value)).await
    }

    fn to_json<T: Serialize>(value: &T) -> Bytes {
        let mut bytes =
            serde_json::to_vec(value).expect("what is stored has only string keys and finite numbers");
        bytes.push(b'\n');
        bytes.into()
    }
}

/// Why storage could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenStorageError {
    /// The local directory is not there and cannot be made, or is no directory.
    #[error("could not use {} for storage", path.display())]
    Directory {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The settings of the store do not fit together.
    #[error("the storage settings do not fit together")]
    Store(#[source] object_store::Error),
}
