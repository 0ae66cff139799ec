//! The outbox: a job is on this server's own disk before its upload is answered with 202.
//!
//! It is a queue of the `sqlite` transport. With the embedded default the workers drain it themselves.

use std::sync::Arc;

use worker::{
    ResizeJob, UploadRecord,
    transport::{Depth, Lane, Posting, Transport, TransportError},
};

/// Where jobs are posted.
pub(crate) struct Outbox {
    queue: Arc<dyn Transport>,
}

impl Outbox {
    pub(crate) fn new(queue: Arc<dyn Transport>) -> Self {
        Self { queue }
    }

    /// Commits the job of a stored upload. Once this answers `Ok`, the upload will end.
    pub(crate) async fn post(&self, record: &UploadRecord) -> Result<(), TransportError> {
        let posting = Posting {
            job: ResizeJob::new(record.id, record.format),
            generation: record.generation,
            lane: if record.bulk { Lane::Bulk } else { Lane::Interactive },
            traceparent: record.traceparent.clone(),
        };
        self.queue.publish(posting).await
    }

    /// How much lies in it.
    pub(crate) async fn depth(&self) -> Result<Depth, TransportError> {
        self.queue.depth().await
    }

    /// How many times it was begun anew: jobs that had been posted may be gone.
    pub(crate) fn times_begun_anew(&self) -> u64 {
        self.queue.times_begun_anew()
    }

    /// How many jobs wait.
    pub(crate) async fn waiting(&self) -> Result<u64, TransportError> {
        Ok(self.queue.depth().await?.waiting())
    }

    /// Proves that it can be written to; answers how many jobs wait.
    pub(crate) async fn check(&self) -> Result<u64, TransportError> {
        self.queue.check().await?;
        self.waiting().await
    }
}
