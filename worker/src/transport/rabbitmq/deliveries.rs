//! Consumes both lanes and the burials.

use std::{future::pending, sync::Arc};

use async_trait::async_trait;
use futures::StreamExt;
use lapin::{
    Channel, Consumer,
    message::Delivery as Message,
    options::{BasicCancelOptions, BasicQosOptions, BasicRejectOptions},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{info, warn};

use super::{
    RabbitShared,
    background_session::{BackgroundSession, Session},
    broker_connection::OpenConnection,
    headers, queue_recovery,
    receipt::{RabbitReceipt, release},
    topology,
};
use crate::{
    contract::{
        id::UploadId,
        link::LinkBase,
        message::{Changed, ResizeJob},
        record::Lane,
        upload::Upload,
    },
    transport::{DeadLetter, Deliveries, Delivery, Slots, Task, Tries, delivery::read_job},
};

/// Deliveries from three queues. Prefetched messages of one queue wait while the other queues use all slots.
pub(super) struct RabbitDeliveries {
    shared: Arc<RabbitShared>,
    free: Arc<Semaphore>,
    /// The slot of the next delivery, kept here so that dropping the future does not lose it.
    slot: Option<OwnedSemaphorePermit>,
    sessions: BackgroundSession<ConsumeSession>,
}

/// Three consumers on one channel.
struct ConsumeSession {
    open: OpenConnection,
    channel: Channel,
    burials: Consumer,
    interactive: Consumer,
    /// `None` without a slot for bulk jobs.
    bulk: Option<Consumer>,
}

impl RabbitDeliveries {
    pub(super) fn new(shared: Arc<RabbitShared>, slots: Slots) -> Self {
        let free = Arc::new(Semaphore::new(slots.total()));
        let sessions = BackgroundSession::new(shared.consuming.clone(), slots);
        Self { shared, free, slot: None, sessions }
    }
}

impl Session for ConsumeSession {
    const PURPOSE: &'static str = "consume";

    type Settings = Slots;

    async fn open(open: OpenConnection, slots: Slots) -> lapin::Result<Self> {
        let channel = queue_recovery::open_channel(&open).await?;
        let prefetch = |slots: usize| u16::try_from(slots).unwrap_or(u16::MAX);
        let (any, total) = (prefetch(slots.any), prefetch(slots.total()));
        let burials = consume(&open, &channel, topology::BURIAL_QUEUE, 1).await?;
        let interactive = consume(&open, &channel, topology::queue(Lane::Interactive), total).await?;
        // A prefetch of 0 would be no limit at all.
        let bulk = match any {
            0 => None,
            any => Some(consume(&open, &channel, topology::queue(Lane::Bulk), any).await?),
        };
        info!(slots = total, "consuming jobs from the broker");
        Ok(Self { open, channel, burials, interactive, bulk })
    }

    fn connection(&self) -> &OpenConnection {
        &self.open
    }
}

impl ConsumeSession {
    /// The next message of any queue, and its lane: `None` when the session has ended.
    async fn next(&mut self) -> Option<(Message, Option<Lane>)> {
        let (message, lane) = tokio::select! {
            biased;
            message = self.burials.next() => (message, None),
            message = self.interactive.next() => (message, Some(Lane::Interactive)),
            message = next_of(&mut self.bulk) => (message, Some(Lane::Bulk)),
        };
        match message {
            Some(Ok(message)) => Some((message, lane)),
            Some(Err(error)) => {
                warn!(%error, "consuming was interrupted");
                None
            }
            None => None,
        }
    }

    /// Stops consuming and releases prefetched jobs. Delivered jobs can still be settled.
    async fn end(self, shared: Arc<RabbitShared>) {
        let consumers = [(self.burials, None), (self.interactive, Some(Lane::Interactive))];
        let bulk = self.bulk.map(|bulk| (bulk, Some(Lane::Bulk)));
        for (mut consumer, lane) in consumers.into_iter().chain(bulk) {
            let options = BasicCancelOptions::default();
            if self.channel.basic_cancel(consumer.tag(), options).await.is_err() {
                return;
            }
            while let Some(Ok(message)) = consumer.next().await {
                let _ = release(&shared, &message, lane, headers::again).await;
            }
        }
    }
}

async fn next_of(consumer: &mut Option<Consumer>) -> Option<lapin::Result<Message>> {
    match consumer {
        Some(consumer) => consumer.next().await,
        None => pending().await,
    }
}

async fn consume(
    open: &OpenConnection,
    channel: &Channel,
    queue: &str,
    prefetch: u16,
) -> lapin::Result<Consumer> {
    // Applies to consumers that are opened later.
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    queue_recovery::consume(open, channel, queue).await
}

impl Drop for RabbitDeliveries {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if let Some(session) = self.sessions.take() {
            self.shared.ending.spawn_on(session.end(Arc::clone(&self.shared)), &runtime);
        }
    }
}

#[async_trait]
impl Deliveries for RabbitDeliveries {
    async fn next(&mut self) -> Option<Delivery> {
        let closing = self.shared.closing.clone();
        loop {
            if closing.is_cancelled() {
                return None;
            }
            if self.slot.is_none() {
                tokio::select! {
                    () = closing.cancelled() => return None,
                    slot = Arc::clone(&self.free).acquire_owned() => {
                        self.slot = Some(slot.expect("the semaphore is never closed"));
                    }
                }
            }
            let session = tokio::select! {
                () = closing.cancelled() => return None,
                session = self.sessions.wait_open() => session,
            };
            let taken = tokio::select! {
                () = closing.cancelled() => return None,
                taken = session.next() => taken,
            };
            match taken {
                Some((message, lane)) => {
                    if let Some(delivery) = self.hand_out(message, lane).await {
                        return Some(delivery);
                    }
                }
                None => self.sessions.end(),
            }
        }
    }
}

impl RabbitDeliveries {
    /// Turns a message into a delivery. An unreadable message is dead-lettered.
    async fn hand_out(&mut self, message: Message, lane: Option<Lane>) -> Option<Delivery> {
        let session = self.sessions.get().expect("the message came from it");
        let task = match lane {
            None => Task::Bury(dead_letter(&message)),
            Some(_) => match read_job(&message.data, headers::message_id(&message)) {
                Ok(job) => Task::Resize(job),
                Err(error) => {
                    warn!(error = &*error, "an unreadable message is dead-lettered");
                    let _ = message.reject(BasicRejectOptions { requeue: false }).await;
                    return None;
                }
            },
        };
        let failures = headers::failures(&message);
        let deliveries = headers::deliveries_before(&message).saturating_add(1);
        let traceparent = headers::traceparent(&message);
        if let Task::Resize(job) = &task {
            self.announce_processing(job, traceparent.as_deref());
        }
        let session = (session.open.clone(), session.channel.clone());
        let held = (message, self.slot.take());
        let receipt = Box::new(RabbitReceipt::new(Arc::clone(&self.shared), session, lane, held));
        let tries = Tries { deliveries, failures };
        Some(Delivery { task, tries, traceparent, client: None, receipt })
    }

    /// Announces that a job is `processing`, without a wait.
    fn announce_processing(&self, job: &ResizeJob, traceparent: Option<&str>) {
        let upload = Upload::queued(&job.record, &LinkBase::default()).processing();
        let changed = Changed::new(upload, job.lane());
        self.shared.publisher.announce_later(super::announcement(&changed, traceparent));
    }
}

pub(super) fn dead_letter(message: &Message) -> DeadLetter {
    let job = read_job(&message.data, headers::message_id(message)).ok();
    DeadLetter {
        id: upload_of(message, job.as_ref()),
        generation: job.as_ref().map(|job| job.generation).or_else(|| headers::generation(message)),
        job,
        reason: headers::death_reason(message),
    }
}

/// The upload of a message that may be damaged.
fn upload_of(message: &Message, job: Option<&ResizeJob>) -> Option<UploadId> {
    let by_id = headers::message_id(message).and_then(|id| id.parse().ok());
    by_id.or_else(|| job.map(|job| job.id))
}
