//! Settles a delivery.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use lapin::{
    BasicProperties, Channel,
    message::Delivery as Message,
    options::{BasicAckOptions, BasicNackOptions},
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{sleep, timeout},
};
use tracing::warn;

use super::{
    RabbitShared, broker_connection::OpenConnection, headers, publication::Publication, topology, unavailable,
};
use crate::{
    contract::{message::Changed, record::Lane},
    transport::{DeathReason, Receipt, Settled, TransportError},
};

/// The time limit of posting a released job again. After it, the message is requeued, and the broker counts a failed
/// delivery.
const RELEASE_WITHIN: Duration = Duration::from_secs(2);

/// The delay of a job whose delivery was dropped unsettled, for instance by a panic.
const AFTER_DROP: Duration = Duration::from_secs(5);

/// The pause before a failed settlement is retried.
const SETTLE_AGAIN: Duration = Duration::from_secs(1);

/// A delivery that must be settled.
pub(super) struct RabbitReceipt {
    shared: Arc<RabbitShared>,
    // Kept, because dropping the last handle of a channel or connection closes it.
    _open: OpenConnection,
    _channel: Channel,
    /// `None` for a burial.
    lane: Option<Lane>,
    /// Whether this is the burial of a job that expired in its lane. It is posted again, and its dead letter is
    /// removed.
    expired: bool,
    /// `None` once settled.
    held: Option<(Message, Option<OwnedSemaphorePermit>)>,
}

impl RabbitReceipt {
    pub(super) fn new(
        shared: Arc<RabbitShared>,
        (open, channel): (OpenConnection, Channel),
        lane: Option<Lane>,
        held: (Message, Option<OwnedSemaphorePermit>),
    ) -> Self {
        let expired = lane.is_none() && headers::death_reason(&held.0) == DeathReason::Expired;
        Self { shared, _open: open, _channel: channel, lane, expired, held: Some(held) }
    }
}

/// Publishes a message that replaces a delivery, and then acknowledges the delivery. A transport that closes does not wait
/// for a broker that takes nothing: it requeues the delivery.
async fn replace(
    shared: &RabbitShared,
    message: &Message,
    publication: impl Fn() -> Publication + Send,
) -> Result<Settled, TransportError> {
    let waited = async {
        shared.closing.cancelled().await;
        if !shared.publishing.is_blocked() {
            sleep(RELEASE_WITHIN).await;
        }
    };
    tokio::select! {
        biased;
        replaced = replace_at_last(shared, message, publication) => replaced,
        () = waited => requeue(message).await,
    }
}

async fn replace_at_last(
    shared: &RabbitShared,
    message: &Message,
    publication: impl Fn() -> Publication + Send,
) -> Result<Settled, TransportError> {
    loop {
        if message.acker.poisoned() {
            return Ok(Settled::Stale);
        }
        match shared.publisher.publish(publication()).await {
            Ok(()) => return acknowledge(message).await,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "could not settle a job; retrying");
                sleep(SETTLE_AGAIN).await;
            }
        }
    }
}

/// Redelivers a job after a delay, with these properties.
async fn deliver_later(
    shared: &RabbitShared,
    message: &Message,
    lane: Option<Lane>,
    after: Duration,
    properties: fn(&Message) -> BasicProperties,
) -> Result<Settled, TransportError> {
    let again = || Publication {
        // The default exchange routes to every queue by its name.
        exchange: "",
        key: lane.map_or_else(
            || topology::BURIAL_RETRY_QUEUE.to_owned(),
            |lane| topology::retry_queue(lane, after),
        ),
        properties: properties(message),
        body: message.data.clone(),
    };
    replace(shared, message, again).await
}

/// Posts a job again for another worker, with these properties, and acknowledges it. Requeueing would count as a failed delivery, and the
/// broker limits those.
pub(super) async fn release(
    shared: &RabbitShared,
    message: &Message,
    lane: Option<Lane>,
    properties: fn(&Message) -> BasicProperties,
) -> Result<Settled, TransportError> {
    let again = Publication {
        exchange: topology::JOBS,
        key: lane.map_or(topology::BURIAL_QUEUE, topology::queue).to_owned(),
        properties: properties(message),
        body: message.data.clone(),
    };
    if !shared.publishing.is_blocked()
        && let Ok(Ok(())) = timeout(RELEASE_WITHIN, shared.publisher.publish(again)).await
    {
        return acknowledge(message).await;
    }
    requeue(message).await
}

/// Returns a message to its queue; the broker counts a failed delivery.
async fn requeue(message: &Message) -> Result<Settled, TransportError> {
    let back = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
    settled(message.nack(back).await, "release a job")
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
impl Receipt for RabbitReceipt {
    async fn finish(mut self: Box<Self>, changed: Option<Changed>) -> Result<Settled, TransportError> {
        let (message, _slot) = self.held.take().expect("a delivery is settled once");
        if let Some(changed) = changed {
            let announcement = super::announcement(&changed, headers::traceparent(&message).as_deref());
            if let Err(error) = self.shared.publisher.announce(announcement).await {
                // The end is stored, and servers read storage later.
                let error = &error as &dyn std::error::Error;
                warn!(error, "could not announce the end of an upload; servers find it in storage");
            }
        }
        let settled = acknowledge(&message).await;
        if self.expired {
            self.shared.expired.notify_one();
        }
        settled
    }

    async fn retry(mut self: Box<Self>, after: Duration) -> Result<Settled, TransportError> {
        let (message, _slot) = self.held.take().expect("a delivery is settled once");
        deliver_later(&self.shared, &message, self.lane, after, headers::failed_again).await
    }

    async fn postpone(mut self: Box<Self>, after: Duration) -> Result<Settled, TransportError> {
        let (message, _slot) = self.held.take().expect("a delivery is settled once");
        deliver_later(&self.shared, &message, self.lane, after, headers::begun_again).await
    }

    async fn dead_letter(mut self: Box<Self>, reason: DeathReason) -> Result<Settled, TransportError> {
        let (message, _slot) = self.held.take().expect("a delivery is settled once");
        let dead = || Publication {
            exchange: topology::DEAD_LETTERS,
            key: topology::DEAD.to_owned(),
            properties: headers::died(&message, reason),
            body: message.data.clone(),
        };
        replace(&self.shared, &message, dead).await
    }

    async fn release(mut self: Box<Self>) -> Result<Settled, TransportError> {
        let (message, _slot) = self.held.take().expect("a delivery is settled once");
        release(&self.shared, &message, self.lane, headers::begun_again).await
    }
}

impl Drop for RabbitReceipt {
    fn drop(&mut self) {
        let (Some((message, slot)), Ok(runtime)) = (self.held.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let (shared, lane) = (Arc::clone(&self.shared), self.lane);
        let kept = (self._open.clone(), self._channel.clone());
        runtime.spawn(async move {
            let _ = deliver_later(&shared, &message, lane, AFTER_DROP, headers::failed_again).await;
            drop((slot, kept));
        });
    }
}
