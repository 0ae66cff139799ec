//! The store under [`Storage`](super::Storage): it measures each request, and gives up on one that takes too long.

use std::{error::Error as StdError, fmt, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::BoxFuture, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
    path::Path,
};
use tokio::time::{Instant, timeout};

use crate::telemetry::{self, StorageOperation as Operation};

/// The rate at which storage must take the bytes of an object beyond its deadline, in bytes a second: one that is slower
/// could not serve uploads.
const SLOWEST_WRITE: u64 = 1024 * 1024;

/// A store whose requests are measured and have a deadline. Clones share the store.
#[derive(Debug, Clone)]
pub(super) struct TimedStore {
    store: Arc<dyn ObjectStore>,
    deadline: Option<Duration>,
}

/// Storage did not answer a request in time.
#[derive(Debug, thiserror::Error)]
#[error("storage did not answer within {0:?}")]
struct TooLate(Duration);

impl TimedStore {
    pub(super) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, deadline: None }
    }

    /// The same store, whose requests fail after this time. A write has a second more for each [`SLOWEST_WRITE`] bytes.
    /// The body of a read has no deadline.
    pub(super) fn within(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// Reads an object, or a part of it, whole before the deadline.
    pub(super) async fn read_whole(&self, path: &Path, range: Option<Range<u64>>) -> Result<Bytes> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let begun = Instant::now();
        let found = self.get_opts(path, options).await?;
        read_body(self.deadline.map(|limit| limit.saturating_sub(begun.elapsed())), found).await
    }

    /// Reads the rest of an object before the deadline.
    pub(super) async fn read_rest(&self, found: GetResult) -> Result<Bytes> {
        read_body(self.deadline, found).await
    }

    async fn request<T>(
        &self,
        operation: Operation,
        bytes: usize,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        request_within(self.deadline, operation, bytes as u64, request).await
    }

    /// Gives each item of a listing the deadline, and measures the first: the others mostly come with its page.
    fn listed(
        &self,
        items: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let deadline = self.deadline;
        let watched =
            stream::unfold((items, true, false), move |(mut items, is_first, is_over)| async move {
                if is_over {
                    return None;
                }
                let next = async { items.next().await.transpose() };
                let next = if is_first {
                    request_within(deadline, Operation::List, 0, next).await
                } else {
                    let next = before(deadline, next).await;
                    if next.as_ref().is_err_and(is_failure) {
                        telemetry::storage_error(Operation::List);
                    }
                    next
                };
                // A listing that was too late once is not asked again.
                let is_over = next.as_ref().is_err_and(is_late);
                Some((next.transpose()?, (items, false, is_over)))
            });
        watched.boxed()
    }

    /// Measures each deletion.
    fn deleted(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let deadline = self.deadline;
        let watched = stream::unfold((paths, false), move |(mut paths, is_over)| async move {
            if is_over {
                return None;
            }
            let begun = Instant::now();
            let next = before(deadline, async { paths.next().await.transpose() }).await.transpose()?;
            telemetry::storage_request(
                Operation::Delete,
                begun.elapsed(),
                next.as_ref().is_err_and(is_failure),
            );
            let is_over = next.as_ref().is_err_and(is_late);
            Some((next, (paths, is_over)))
        });
        watched.boxed()
    }
}

/// A request that fails after a time limit, if there is one.
async fn before<T>(limit: Option<Duration>, request: impl Future<Output = Result<T>>) -> Result<T> {
    let Some(limit) = limit else { return request.await };
    let late = |_| Err(Error::Generic { store: "storage", source: Box::new(TooLate(limit)) });
    timeout(limit, request).await.unwrap_or_else(late)
}

/// Reads the body of an answer. One that is late is a failure of its request; one that breaks off is counted as it is
/// read.
async fn read_body(limit: Option<Duration>, found: GetResult) -> Result<Bytes> {
    let body = before(limit, found.bytes()).await;
    if body.as_ref().is_err_and(is_late) {
        telemetry::storage_error(Operation::Get);
    }
    body
}

async fn request_within<T>(
    deadline: Option<Duration>,
    operation: Operation,
    bytes: u64,
    request: impl Future<Output = Result<T>>,
) -> Result<T> {
    let begun = Instant::now();
    let limit = deadline.map(|deadline| deadline + Duration::from_secs(bytes / SLOWEST_WRITE));
    let done = before(limit, request).await;
    telemetry::storage_request(operation, begun.elapsed(), done.as_ref().is_err_and(is_failure));
    done
}

fn is_late(error: &Error) -> bool {
    error.source().is_some_and(<dyn StdError>::is::<TooLate>)
}

/// Whether an error tells of trouble; others are answers.
fn is_failure(error: &Error) -> bool {
    !matches!(
        error,
        Error::NotFound { .. }
            | Error::AlreadyExists { .. }
            | Error::Precondition { .. }
            | Error::NotModified { .. }
            | Error::NotImplemented { .. }
    )
}

impl fmt::Display for TimedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.store)
    }
}

#[async_trait]
impl ObjectStore for TimedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let bytes = payload.content_length();
        self.request(Operation::Put, bytes, self.store.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.request(Operation::Put, 0, self.store.put_multipart_opts(location, opts)).await?;
        Ok(Box::new(TimedUpload { upload, deadline: self.deadline, bytes: 0 }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = if options.head { Operation::Head } else { Operation::Get };
        let mut found = self.request(operation, 0, self.store.get_opts(location, options)).await?;
        found.payload = match found.payload {
            GetResultPayload::Stream(body) => {
                let counted = body.inspect_err(|_| telemetry::storage_error(Operation::Get));
                GetResultPayload::Stream(counted.boxed())
            }
            file => file,
        };
        Ok(found)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.request(Operation::Get, 0, self.store.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.deleted(self.store.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.store.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.store.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.request(Operation::List, 0, self.store.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.request(Operation::Put, 0, self.store.copy_opts(from, to, options)).await
    }
}

/// An object on its way in, in parts.
#[derive(Debug)]
struct TimedUpload {
    upload: Box<dyn MultipartUpload>,
    deadline: Option<Duration>,
    bytes: u64,
}

#[async_trait]
impl MultipartUpload for TimedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let bytes = data.content_length() as u64;
        self.bytes += bytes;
        let part: BoxFuture<'static, Result<()>> = self.upload.put_part(data);
        Box::pin(request_within(self.deadline, Operation::Part, bytes, part))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        // A local store writes the bytes to the disk only now.
        request_within(self.deadline, Operation::Put, self.bytes, self.upload.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        request_within(self.deadline, Operation::Delete, 0, self.upload.abort()).await
    }
}
