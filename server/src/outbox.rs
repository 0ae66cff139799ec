//! The outbox: a job is on this server's own disk before its upload is answered with 202.
//!
//! It is a queue of the `sqlite` transport. With the embedded default the workers drain it themselves; with a broker
//! the relay does.

use std::sync::Arc;

use worker::{
    UploadRecord,
    transport::{ClientTag, Depth, JobQueue, Posting, Transport, TransportError},
};

/// The queue that handlers post jobs to.
pub(crate) struct Outbox {
    queue: Arc<dyn Transport>,
}

impl Outbox {
    pub(crate) fn new(queue: Arc<dyn Transport>) -> Self {
        Self { queue }
    }

    /// Posts the job of an upload whose pending entry is stored. After `Ok`, the upload is certain to end.
    pub(crate) async fn post(&self, record: &UploadRecord, client: ClientTag) -> Result<(), TransportError> {
        self.queue.publish(Posting { client: Some(client), ..Posting::of_client(record.clone()) }).await
    }

    /// The queue itself.
    pub(crate) fn queue(&self) -> &dyn JobQueue {
        &*self.queue
    }

    /// The number of jobs in each state.
    pub(crate) async fn depth(&self) -> Result<Depth, TransportError> {
        self.queue.depth().await
    }

    /// The number of jobs that count for the limit. Its cost does not grow with the number.
    pub(crate) async fn room_taken(&self) -> Result<u64, TransportError> {
        self.queue.room_taken().await
    }

    /// Checks that the outbox is writable. Answers how many jobs count for the limit.
    pub(crate) async fn check(&self) -> Result<u64, TransportError> {
        self.queue.check().await?;
        self.room_taken().await
    }
}
