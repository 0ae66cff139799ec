//! The outbox: a job is on this server's own disk before its upload is answered with 202.
//!
//! It is a queue of the `sqlite` transport. With the embedded default the workers drain it themselves; with a broker
//! the relay does.

use std::sync::Arc;

use worker::{
    UploadRecord,
    transport::{Depth, JobQueue, Posting, Transport, TransportError},
};

/// Where jobs are posted.
pub(crate) struct Outbox {
    queue: Arc<dyn Transport>,
}

impl Outbox {
    pub(crate) fn new(queue: Arc<dyn Transport>) -> Self {
        Self { queue }
    }

    /// Posts the job of an upload whose pending entry is stored. Once this answers `Ok`, the upload will end.
    pub(crate) async fn post(&self, record: &UploadRecord) -> Result<(), TransportError> {
        self.queue.publish(Posting::of_client(record.clone())).await
    }

    /// The queue itself.
    pub(crate) fn queue(&self) -> &dyn JobQueue {
        &*self.queue
    }

    /// How many jobs are in which state.
    pub(crate) async fn depth(&self) -> Result<Depth, TransportError> {
        self.queue.depth().await
    }

    /// Jobs that take room. Costs the same however many there are.
    pub(crate) async fn room_taken(&self) -> Result<u64, TransportError> {
        self.queue.room_taken().await
    }

    /// Proves that it can be written to; answers how many jobs take room.
    pub(crate) async fn check(&self) -> Result<u64, TransportError> {
        self.queue.check().await?;
        self.room_taken().await
    }
}
