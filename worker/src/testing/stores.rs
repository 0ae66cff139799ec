//! An object store that writes down what is asked of it, and that a fuse can stop.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
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

/// What was asked of a store, in its order: a verb and a path each.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, verb: &str, path: impl fmt::Display) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{verb} {path}"));
    }

    /// Takes everything out.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes everything out; answers how many requests of each verb there were: PUT, GET, DELETE, LIST.
    #[must_use]
    pub fn take_counts(&self) -> [usize; 4] {
        let taken = self.take();
        ["PUT ", "GET ", "DELETE ", "LIST "]
            .map(|verb| taken.iter().filter(|line| line.starts_with(verb)).count())
    }
}

/// A store that writes down what is asked of it. Once its fuse is blown it never answers: its process is dead.
#[derive(Debug)]
pub struct Logged<S> {
    store: S,
    log: Log,
    fuse: Fuse,
    /// Whether conditional create is refused, as some stores do.
    without_create: bool,
    /// Whether every request fails, as in an outage.
    away: Arc<std::sync::atomic::AtomicBool>,
}

impl<S: ObjectStore> Logged<S> {
    /// Around a store.
    pub fn new(store: S, fuse: Fuse) -> Self {
        Self { store, log: Log::default(), fuse, without_create: false, away: Arc::default() }
    }

    /// The same store without conditional create.
    #[must_use]
    pub fn without_create(self) -> Self {
        Self { without_create: true, ..self }
    }

    /// What is asked of it from now on.
    pub fn log(&self) -> Log {
        self.log.clone()
    }

    /// Set, every request fails.
    pub fn away(&self) -> Arc<std::sync::atomic::AtomicBool> {
        Arc::clone(&self.away)
    }

    async fn ask(&self, verb: &str, path: &Path) -> Result<()> {
        self.fuse.spend().await;
        self.log.add(verb, path);
        if self.away.load(std::sync::atomic::Ordering::Relaxed) {
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
        self.ask("PUT", location).await?;
        self.store.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.ask("PUT", location).await?;
        self.store.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.ask("GET", location).await?;
        self.store.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.ask("GET", location).await?;
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
        self.ask("LIST", &prefix.cloned().unwrap_or_default()).await?;
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.ask("COPY", from).await?;
        self.store.copy_opts(from, to, options).await
    }
}
