//! Consuming from both lanes and from the burials, and settling.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::StreamExt;
use lapin::{
    Channel, Consumer,
    message::Delivery as Message,
    options::{BasicAckOptions, BasicCancelOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
    time::sleep,
};
use tracing::{info, warn};

use super::{
    Shared,
    link::{AFTER_ERROR, Link, Up},
    publisher::Publication,
    stuck, topology, unavailable, wire,
};
use crate::{
    ResizeJob, UploadId,
    transport::{
        DeadLetter, DeathReason, Deliveries, Delivery, Lane, Receipt, Settled, Task, TransportError,
    },
};

/// How long a job rests whose delivery was dropped unsettled, which is what a panic does.
const AFTER_DROP: Duration = Duration::from_secs(5);

/// The pause before a settlement that could not be published is tried again.
const SETTLE_AGAIN: Duration = Duration::from_secs(1);

/// Deliveries for one consumer of ours. It takes from three queues; what is prefetched of one waits while the slots are
/// taken by the others.
pub(super) struct Taker {
    shared: Arc<Shared>,
    prefetch: NonZeroUsize,
    slots: Arc<Semaphore>,
    /// A slot for the delivery that is waited for, kept here so that dropping the future costs nothing.
    slot: Option<OwnedSemaphorePermit>,
    opening: Option<JoinHandle<Session>>,
    session: Option<Session>,
}

/// Three consumers on one channel.
struct Session {
    up: Up,
    channel: Channel,
    burials: Consumer,
    interactive: Consumer,
    bulk: Consumer,
}

impl Taker {
    pub(super) fn new(shared: Arc<Shared>, prefetch: NonZeroUsize) -> Self {
        let slots = Arc::new(Semaphore::new(prefetch.get()));
        Self { shared, prefetch, slots, slot: None, opening: None, session: None }
    }
}

impl Session {
    async fn open(link: Link, prefetch: NonZeroUsize) -> Self {
        link.open("consume", |up| Self::on(up, prefetch)).await
    }

    async fn on(up: Up, prefetch: NonZeroUsize) -> lapin::Result<Self> {
        let channel = stuck::channel(&up).await?;
        let slots = u16::try_from(prefetch.get()).unwrap_or(u16::MAX);
        // A slot stays free for the interactive lane, where there are several.
        let bulk_slots = slots.saturating_sub(1).max(1);
        let burials = consume(&up, &channel, topology::BURIAL_QUEUE, 1).await?;
        let interactive = consume(&up, &channel, topology::queue(Lane::Interactive), slots).await?;
        let bulk = consume(&up, &channel, topology::queue(Lane::Bulk), bulk_slots).await?;
        info!(slots, "taking jobs from the broker");
        Ok(Self { up, channel, burials, interactive, bulk })
    }

    /// The next message of any queue, and its lane: `None` when the session has ended.
    async fn next(&mut self) -> Option<(Message, Option<Lane>)> {
        let (message, lane) = tokio::select! {
            biased;
            message = self.burials.next() => (message, None),
            message = self.interactive.next() => (message, Some(Lane::Interactive)),
            message = self.bulk.next() => (message, Some(Lane::Bulk)),
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

    /// Stops taking, and gives back what was prefetched and not handed out. What was handed out can still be settled.
    async fn end(self) {
        for mut consumer in [self.burials, self.interactive, self.bulk] {
            let options = BasicCancelOptions::default();
            if self.channel.basic_cancel(consumer.tag(), options).await.is_err() {
                return;
            }
            while let Some(Ok(message)) = consumer.next().await {
                let back = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
                let _ = message.nack(back).await;
            }
        }
    }
}

async fn consume(up: &Up, channel: &Channel, queue: &str, prefetch: u16) -> lapin::Result<Consumer> {
    // Applies to the consumers that are opened after it.
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    stuck::consume(up, channel, queue).await
}

impl Drop for Taker {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if let Some(session) = self.session.take() {
            self.shared.ending.spawn_on(session.end(), &runtime);
        }
        if let Some(opening) = self.opening.take() {
            opening.abort();
        }
    }
}

#[async_trait]
impl Deliveries for Taker {
    async fn next(&mut self) -> Option<Delivery> {
        let closing = self.shared.closing.clone();
        loop {
            if closing.is_cancelled() {
                return None;
            }
            if self.slot.is_none() {
                tokio::select! {
                    () = closing.cancelled() => return None,
                    slot = Arc::clone(&self.slots).acquire_owned() => {
                        self.slot = Some(slot.expect("the semaphore is never closed"));
                    }
                }
            }
            let Some(session) = &mut self.session else {
                let (link, prefetch) = (self.shared.taking.clone(), self.prefetch);
                let opening = self.opening.get_or_insert_with(|| tokio::spawn(Session::open(link, prefetch)));
                tokio::select! {
                    () = closing.cancelled() => return None,
                    session = opening => self.session = session.ok(),
                }
                self.opening = None;
                continue;
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
                None => {
                    self.session = None;
                    sleep(AFTER_ERROR).await;
                }
            }
        }
    }
}

impl Taker {
    /// A message as a delivery, or, if it cannot be read, as a dead letter.
    async fn hand_out(&mut self, message: Message, lane: Option<Lane>) -> Option<Delivery> {
        let session = self.session.as_ref().expect("the message came from it");
        let task = match lane {
            None => Task::Bury(dead_letter(&message)),
            Some(_) => match read_job(&message) {
                Ok(job) => Task::Resize(job),
                Err(error) => {
                    warn!(error = &*error, "a message that is no job is dead-lettered");
                    let _ = message.reject(BasicRejectOptions { requeue: false }).await;
                    return None;
                }
            },
        };
        let failures = wire::failures(&message);
        let attempt = failures.saturating_add(wire::deliveries_before(&message)).saturating_add(1);
        let (generation, traceparent) = (wire::generation(&message), wire::traceparent(&message));
        let holder = Holder {
            shared: Arc::clone(&self.shared),
            _up: session.up.clone(),
            _channel: session.channel.clone(),
            lane,
            held: Some((message, self.slot.take())),
        };
        let lane = lane.unwrap_or_default();
        Some(Delivery::new(task, lane, generation, attempt, failures, traceparent, Box::new(holder)))
    }
}

type Unreadable = Box<dyn std::error::Error + Send + Sync>;

fn read_job(message: &Message) -> Result<ResizeJob, Unreadable> {
    let job = ResizeJob::decode(&message.data)?;
    match wire::message_id(message) {
        Some(id) if id != job.id.to_string() => Err("the message id is another".into()),
        _ => Ok(job),
    }
}

pub(super) fn dead_letter(message: &Message) -> DeadLetter {
    DeadLetter { id: upload_of(message), reason: wire::death_reason(message) }
}

/// Whose job a message is, as far as can be told of one that may be damaged.
fn upload_of(message: &Message) -> Option<UploadId> {
    let by_id = wire::message_id(message).and_then(|id| id.parse().ok());
    by_id.or_else(|| ResizeJob::decode(&message.data).ok().map(|job| job.id))
}

/// Who has a delivery, and has to settle it.
struct Holder {
    shared: Arc<Shared>,
    // Kept, since the last handle of a channel or connection closes it.
    _up: Up,
    _channel: Channel,
    /// `None` for a burial.
    lane: Option<Lane>,
    /// `None` once settled.
    held: Option<(Message, Option<OwnedSemaphorePermit>)>,
}

/// Publishes something in the place of a delivery, and acknowledges it only then.
async fn replace(
    shared: &Shared,
    message: &Message,
    publication: impl Fn() -> Publication + Send,
) -> Result<Settled, TransportError> {
    loop {
        if message.acker.poisoned() {
            return Ok(Settled::Stale);
        }
        match shared.publisher.publish(publication()).await {
            Ok(()) => return acknowledge(message).await,
            Err(error) if shared.closing.is_cancelled() => return Err(error),
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "a job waits to be settled");
                sleep(SETTLE_AGAIN).await;
            }
        }
    }
}

/// Has a job delivered again after a while.
async fn retry_later(
    shared: &Shared,
    message: &Message,
    lane: Option<Lane>,
    after: Duration,
) -> Result<Settled, TransportError> {
    let again = || Publication {
        // The default exchange knows every queue by its name.
        exchange: "",
        key: lane.map_or_else(
            || topology::BURIAL_RETRY_QUEUE.to_owned(),
            |lane| topology::retry_queue(lane, after),
        ),
        properties: wire::failed_again(message),
        body: message.data.clone(),
    };
    replace(shared, message, again).await
}

async fn acknowledge(message: &Message) -> Result<Settled, TransportError> {
    settled(message.ack(BasicAckOptions::default()).await, "acknowledge a job")
}

fn settled(done: lapin::Result<bool>, attempted: &'static str) -> Result<Settled, TransportError> {
    match done {
        Ok(true) => Ok(Settled::Done),
        Ok(false) => Ok(Settled::Stale),
        Err(error) => Err(unavailable(attempted, error)),
    }
}

#[async_trait]
impl Receipt for Holder {
    async fn ack(mut self: Box<Self>) -> Result<Settled, TransportError> {
        let (message, _slot) = self.held.take().expect("a delivery is settled once");
        acknowledge(&message).await
    }

    async fn retry(mut self: Box<Self>, after: Duration) -> Result<Settled, TransportError> {
        let (message, _slot) = self.held.take().expect("a delivery is settled once");
        retry_later(&self.shared, &message, self.lane, after).await
    }

    async fn dead_letter(mut self: Box<Self>, reason: DeathReason) -> Result<Settled, TransportError> {
        let (message, _slot) = self.held.take().expect("a delivery is settled once");
        let dead = || Publication {
            exchange: topology::DEAD_LETTERS,
            key: topology::DEAD.to_owned(),
            properties: wire::died(&message, reason),
            body: message.data.clone(),
        };
        replace(&self.shared, &message, dead).await
    }

    async fn release(mut self: Box<Self>) -> Result<Settled, TransportError> {
        let (message, _slot) = self.held.take().expect("a delivery is settled once");
        // Not `reject`, which counts as a failure on every broker; `nack` does not from 4.3 on.
        let back = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        settled(message.nack(back).await, "release a job")
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let (Some((message, slot)), Ok(runtime)) = (self.held.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let (shared, lane) = (Arc::clone(&self.shared), self.lane);
        let kept = (self._up.clone(), self._channel.clone());
        runtime.spawn(async move {
            let _ = retry_later(&shared, &message, lane, AFTER_DROP).await;
            drop((slot, kept));
        });
    }
}
