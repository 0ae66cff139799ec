//! An object store that logs its requests, and that a fuse can stop.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};

pub use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path as StorePath};

use super::Fuse;

/// The requests to a store, in order: a verb and a path each.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, verb: &str, path: impl fmt::Display) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{verb} {path}"));
    }

    /// Empties the log.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Empties the log. Returns the number of requests by verb: PUT, GET, DELETE, LIST.
    #[must_use]
    pub fn take_counts(&self) -> [usize; 4] {
        let taken = self.take();
        ["PUT ", "GET ", "DELETE ", "LIST "]
            .map(|verb| taken.iter().filter(|line| line.starts_with(verb)).count())
    }
}

/// A store that logs its requests. Once its fuse is blown it never responds, like in a dead process.
#[derive(Debug)]
pub struct Logged<S> {
    store: S,
    log: Log,
    fuse: Fuse,
    /// Whether conditional create is refused, as by some stores.
    without_create: bool,
    /// Whether every request fails, like in an outage.
    away: Arc<AtomicBool>,
    /// The puts and gets that were answered.
    answered: AtomicUsize,
    /// Of these the one whose answer is lost, although it was carried out.
    lost: Option<usize>,
}

impl<S: ObjectStore> Logged<S> {
    /// Around a store.
    pub fn new(store: S, fuse: Fuse) -> Self {
        Self {
            store,
            log: Log::default(),
            fuse,
            without_create: false,
            away: Arc::default(),
            answered: AtomicUsize::new(0),
            lost: None,
        }
    }

    /// The same store without conditional create.
    #[must_use]
    pub fn without_create(self) -> Self {
        Self { without_create: true, ..self }
    }

    /// The same store, which loses the answer of one put or get, counted from 0: it is carried out and fails.
    #[must_use]
    pub fn losing_answer(self, number: usize) -> Self {
        Self { lost: Some(number), ..self }
    }

    fn answer<T>(&self, done: Result<T>) -> Result<T> {
        let number = self.answered.fetch_add(1, Ordering::Relaxed);
        if self.lost == Some(number) {
            return Err(Error::Generic { store: "testing", source: "the answer is lost".into() });
        }
        done
    }

    /// The log of its requests.
    pub fn log(&self) -> Log {
        self.log.clone()
    }

    /// While it is set, every request fails.
    pub fn away(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.away)
    }

    async fn request(&self, verb: &str, path: &Path) -> Result<()> {
        self.fuse.spend().await;
        self.log.add(verb, path);
        if self.away.load(Ordering::Relaxed) {
            return Err(Error::Generic { store: "testing", source: "the store is away".into() });
        }
        Ok(())
    }
}

impl<S: fmt::Display> fmt::Display for Logged<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "logged {}", self.store)
    }
}

#[async_trait]
impl<S: ObjectStore> ObjectStore for Logged<S> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if self.without_create && matches!(opts.mode, PutMode::Create) {
            return Err(Error::NotImplemented { operation: "create".into(), implementer: self.to_string() });
        }
        self.request("PUT", location).await?;
        self.answer(self.store.put_opts(location, payload, opts).await)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.request("PUT", location).await?;
        self.store.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.request("GET", location).await?;
        self.answer(self.store.get_opts(location, options).await)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.request("GET", location).await?;
        self.store.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (log, fuse) = (self.log.clone(), self.fuse.clone());
        let locations = locations.and_then(move |path| {
            let (log, fuse) = (log.clone(), fuse.clone());
            async move {
                fuse.spend().await;
                log.add("DELETE", &path);
                Ok(path)
            }
        });
        self.store.delete_stream(locations.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.log.add("LIST", prefix.cloned().unwrap_or_default());
        let (listed, fuse) = (self.store.list(prefix), self.fuse.clone());
        futures::stream::once(async move {
            fuse.spend().await;
            listed
        })
        .flatten()
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.request("LIST", &prefix.cloned().unwrap_or_default()).await?;
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.request("COPY", from).await?;
        self.store.copy_opts(from, to, options).await
    }
}
