//! Storage is the source of truth: it holds everything about an upload, as facts that are written once.
//!
//! ```text
//!  writer    an original, piece by piece          facts     pending entries, results, failures; the state of an upload
//!  claim     idempotency keys                     rebuild   a record from the original, where the stored one is damaged
//!  audit     shards, orphans, leftovers           local     staged files and directories of local storage
//!  gone      tombstones of deleted uploads        expiry    which uploads are deleted by themselves, and when
//!  secret    secrets of delete tokens             tickets   uses of tickets
//!  shares    the stored bytes of a sender         url       the setting
//!  json      the stored form, read tolerantly     thumbnails   the files of a making
//!  timed     measures and deadlines of requests   cause     mistakes in the settings of a store, in plain words
//!  health    whether storage works               originals    reading originals
//! ```
//!
//! The keys are in [`crate::contract::key`]. Every write is whole or absent. Locally a write is also on the disk (file
//! and directory) before it returns.

mod audit;
mod beginnings;
mod cause;
mod claim;
mod expiry;
mod facts;
mod gone;
mod health;
mod json;
mod local;
mod originals;
mod rebuild;
mod secret;
mod shares;
mod thumbnails;
mod tickets;
mod timed;
mod url;
mod writer;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use object_store::{
    Attribute, Attributes, ClientConfigKey, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    local::LocalFileSystem,
    path::Path,
    prefix::PrefixStore,
};
use tokio::time::sleep;

pub use self::{
    audit::ShardListing,
    cause::Misconfiguration,
    claim::Claim,
    facts::{UploadEnd, UploadStatus},
    originals::OriginalStream,
    secret::{DeleteSecret, KEPT_SECRETS, SECRET_BYTES, SecretError},
    url::{BadStorageUrl, StorageUrl},
    writer::{OriginalWriter, PieceGuard},
};
use self::{local::LocalRoot, shares::Allowance, timed::TimedStore};
use crate::contract::{id::UploadId, key::StorageKey, ticket::TicketId};

/// Parts that an original is written in, in bytes. S3 accepts no parts below 5 MiB, except the last; on a disk, smaller
/// parts keep the memory of many concurrent uploads low.
const S3_PART_BYTES: usize = 5 * 1024 * 1024;
const LOCAL_PART_BYTES: usize = 256 * 1024;

/// The time limit of a request to S3 by [`Storage::open_impatient`].
const IMPATIENT_WITHIN: Duration = Duration::from_secs(5);

/// How long S3 may send nothing, as `object_store` reads it. It bounds a write as well.
const SILENT_FOR: &str = "30 seconds";

/// The longest read of an object from S3. It is only there because the client would cut each read after 30 seconds
/// otherwise.
const LONGEST_READ: &str = "1 day";

/// The pauses between the tries of a delete: short, since clients wait for the end of some.
const DELETE_PAUSES: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(100), Duration::from_millis(200)];

/// The media type of stored JSON.
const JSON_TYPE: &str = "application/json";

/// The storage of uploads. Cheap to clone.
#[derive(Clone)]
pub struct Storage {
    store: TimedStore,
    /// The directory of local storage, for files that `object_store` hides.
    local: Option<LocalRoot>,
    part_bytes: usize,
    /// Unreadable objects that were logged.
    logged: Arc<Mutex<HashSet<StorageKey>>>,
    /// The last use of tickets, by their prefix.
    last_uses: Arc<Mutex<HashMap<Path, tickets::LastUse>>>,
    claims: Arc<tickets::ClaimLocks>,
    /// The object that checks write and delete.
    probe: Arc<tokio::sync::Mutex<UploadId>>,
    /// What senders may store before their shares are listed again.
    allowances: Arc<Mutex<HashMap<TicketId, Allowance>>>,
}

/// Why a request to storage failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The object does not exist. A retry would fail as well.
    #[error("{0} is not in storage")]
    NotFound(String),
    /// The disk, the quota or the file size limit is full. A retry succeeds once there is space.
    #[error("could not write {0}: storage is full")]
    Full(String),
    /// Any other error. A retry may succeed.
    #[error("could not {attempted} {object} in storage")]
    Unavailable {
        /// The verb.
        attempted: &'static str,
        /// The key or prefix.
        object: String,
        /// The cause.
        #[source]
        source: object_store::Error,
    },
}

impl StorageError {
    /// Sorts an error of the store by what the caller can do about it.
    fn sort(attempted: &'static str, object: impl fmt::Display, source: object_store::Error) -> Self {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let object = object.to_string();
        if matches!(source, object_store::Error::NotFound { .. })
            && Misconfiguration::of(&source) != Some(Misconfiguration::NoBucket)
        {
            Self::NotFound(object)
        } else if has_kind(&source, &[FileTooLarge, QuotaExceeded, StorageFull]) {
            Self::Full(object)
        } else {
            Self::Unavailable { attempted, object, source }
        }
    }
}

fn client(key: ClientConfigKey) -> AmazonS3ConfigKey {
    AmazonS3ConfigKey::Client(key)
}

/// Whether an I/O error of one of these kinds is somewhere down the chain.
fn has_kind(error: &(dyn std::error::Error + 'static), kinds: &[std::io::ErrorKind]) -> bool {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.filter_map(|error| error.downcast_ref::<std::io::Error>()).any(|io| kinds.contains(&io.kind()))
}

impl Storage {
    /// Opens storage. Creates a missing local directory.
    ///
    /// # Errors
    /// When the directory cannot be created, or the S3 settings contradict each other. No request is sent to S3.
    pub fn open(url: &StorageUrl) -> Result<Self, OpenStorageError> {
        Self::open_retrying(url, RetryConfig::default())
    }

    /// Opens storage for a check: a failed request is not retried.
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
                Ok(Self { local: Some(root), part_bytes: LOCAL_PART_BYTES, ..Self::over(Arc::new(store)) })
            }
            StorageUrl::S3 { bucket, prefix } => {
                let store = AmazonS3Builder::from_env()
                    .with_bucket_name(bucket)
                    // Only silence ends a request: a large original may be read for hours by a slow client.
                    .with_config(client(ClientConfigKey::Timeout), LONGEST_READ)
                    .with_config(client(ClientConfigKey::ReadTimeout), SILENT_FOR)
                    .with_retry(retry)
                    .build()
                    .map_err(OpenStorageError::Store)?;
                Ok(Self::over(if prefix.is_empty() {
                    Arc::new(store)
                } else {
                    Arc::new(PrefixStore::new(store, prefix.as_str()))
                }))
            }
        }
    }

    /// Storage over any object store.
    pub fn over(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store: TimedStore::new(store),
            local: None,
            part_bytes: S3_PART_BYTES,
            logged: Arc::default(),
            last_uses: Arc::default(),
            claims: Arc::default(),
            probe: Arc::new(tokio::sync::Mutex::new(UploadId::new())),
            allowances: Arc::default(),
        }
    }

    /// The same storage, whose requests fail after this time: a handler does not wait for ever. A write has a second
    /// more for each MiB; the body of a read has no deadline.
    #[must_use]
    pub fn within(self, deadline: Duration) -> Self {
        Self { store: self.store.within(deadline), ..self }
    }

    /// Starts to write an original. Dropping the writer removes it.
    #[must_use]
    pub fn write_original(&self, id: UploadId) -> OriginalWriter {
        OriginalWriter::new(self.clone(), id)
    }

    /// Runs blocking work on the directory of local storage.
    async fn in_directory<T: Default + Send + 'static>(
        &self,
        work: impl FnOnce(&LocalRoot) -> T + Send + 'static,
    ) -> T {
        let Some(local) = self.local.clone() else { return T::default() };
        tokio::task::spawn_blocking(move || work(&local)).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "work on the storage directory did not finish");
            T::default()
        })
    }

    async fn read(&self, key: &StorageKey) -> Result<Bytes, StorageError> {
        let read = self.store.read_whole(key.path(), None).await;
        read.map_err(|source| StorageError::sort("read", key, source))
    }

    async fn exists(&self, key: &StorageKey) -> Result<bool, StorageError> {
        match self.store.head(key.path()).await.map_err(|source| StorageError::sort("look for", key, source))
        {
            Ok(_) => Ok(true),
            Err(StorageError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Creates an object. Exactly one of several concurrent calls creates it, on any machine. Returns whether this call
    /// did. After a lost response it may return `false` although this call did, so compare the stored object.
    async fn create(&self, key: &StorageKey, bytes: Bytes) -> Result<bool, StorageError> {
        match self.put(key, bytes.clone(), JSON_TYPE, PutMode::Create).await? {
            Put::Done => Ok(true),
            Put::Exists => Ok(false),
            Put::NotImplemented if self.exists(key).await? => Ok(false),
            Put::NotImplemented => {
                // Without conditional create, the later of two concurrent calls wins.
                self.put(key, bytes.clone(), JSON_TYPE, PutMode::Overwrite).await?;
                Ok(self.read(key).await? == bytes)
            }
        }
    }

    /// Replaces an unreadable object, even if it is a directory.
    async fn replace(&self, key: &StorageKey, bytes: Bytes) -> Result<(), StorageError> {
        let path = key.path().clone();
        self.in_directory(move |local| local.remove_if_directory(&path)).await;
        self.put(key, bytes, JSON_TYPE, PutMode::Overwrite).await.map(drop)
    }

    async fn put(
        &self,
        key: &StorageKey,
        bytes: Bytes,
        content_type: &'static str,
        mode: PutMode,
    ) -> Result<Put, StorageError> {
        let mut options = PutOptions { mode, ..PutOptions::default() };
        if self.local.is_none() {
            // A directory stores no attributes; the extension implies the type.
            options.attributes = Attributes::from_iter([(Attribute::ContentType, content_type)]);
        }
        match self.store.put_opts(key.path(), bytes.into(), options).await {
            Ok(_) => Ok(Put::Done),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::Exists),
            Err(object_store::Error::NotImplemented { .. }) => Ok(Put::NotImplemented),
            Err(source) => Err(StorageError::sort("write", key, source)),
        }
    }

    async fn delete(&self, key: &StorageKey) -> Result<(), StorageError> {
        self.delete_path(key.path()).await
    }

    /// Deletes an object that may be gone already, hence repeated: `object_store` repeats no delete whose connection
    /// was reset, and a refused upload would leave its original behind.
    async fn delete_path(&self, path: &Path) -> Result<(), StorageError> {
        let mut pauses = DELETE_PAUSES.iter();
        loop {
            let deleted = self.store.delete(path).await;
            match (deleted.map_err(|source| StorageError::sort("delete", path, source)), pauses.next()) {
                (Ok(()) | Err(StorageError::NotFound(_)), _) => return Ok(()),
                (Err(_), Some(pause)) => sleep(*pause).await,
                (Err(error), None) => return Err(error),
            }
        }
    }
}

/// The outcome of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Put {
    Done,
    Exists,
    NotImplemented,
}

/// Why storage could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenStorageError {
    /// The local directory cannot be created, or is not a directory.
    #[error("could not use the storage directory {}", path.display())]
    Directory {
        /// The directory.
        path: std::path::PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The settings of the store contradict each other.
    #[error("could not open storage: the settings are invalid")]
    Store(#[source] object_store::Error),
}
