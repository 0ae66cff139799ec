//! RabbitMQ: quorum queues, publisher confirms, dead letters at least once, and a reply exchange.
//!
//! Two connections, because a broker that is short of memory or disk stops reading what a publishing connection sends,
//! acknowledgements included: one publishes, the other consumes, acknowledges and listens.

mod announcements;
mod broker_connection;
mod dead_queue;
mod deliveries;
pub mod description;
mod headers;
mod publisher;
mod queue_recovery;
mod receipt;
mod topology;

use std::{
    error::Error,
    num::NonZeroUsize,
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use lapin::uri::AMQPUri;
use tokio::{sync::Notify, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    announcements::RabbitAnnouncements,
    broker_connection::{BrokerConnection, OpenConnection},
    deliveries::RabbitDeliveries,
    publisher::{Publication, Publisher},
};
use super::{
    Announcements, Announcer, DeadLetters, Deliveries, Depth, JobQueue, LookUp, Posting, Transport,
    TransportError, dead_job::DeadJob,
};
use crate::contract::{
    message::Changed,
    record::{JobName, Lane},
};

/// How long the broker may take to answer a question.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// How long to gather expired dead letters before they are removed together.
const FORGET_AFTER: Duration = Duration::from_secs(1);

/// How long closing waits until prefetched jobs are released.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// The transport over RabbitMQ. Clones share its connections.
#[derive(Clone)]
pub struct RabbitTransport {
    shared: Arc<RabbitShared>,
}

struct RabbitShared {
    publisher: Publisher,
    /// The connection that publishes.
    publishing: BrokerConnection,
    /// The connection that consumes, acknowledges and listens.
    consuming: BrokerConnection,
    /// Notified when the burial of a job that expired in its lane was acknowledged.
    expired: Arc<Notify>,
    closing: CancellationToken,
    /// Consumers that release the jobs that they have prefetched.
    ending: TaskTracker,
}

/// The URL of the broker is none. It is not repeated, since it may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("the broker's URL is malformed; it should look like amqps://user:password@host/vhost")]
pub struct BadAmqpUrl;

/// Why a broker cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is no connection to be had.
    #[error("could not connect to the broker")]
    Connect(#[source] Arc<dyn Error + Send + Sync>),
    /// Exchanges and queues are not there and cannot be made, or are not as they should be.
    #[error("the broker does not have our queues")]
    Declare(#[source] TransportError),
}

impl RabbitTransport {
    /// Begins to connect; the broker need not be there yet. Must be called inside a runtime.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn open(url: &str) -> Result<Self, BadAmqpUrl> {
        let uri: AMQPUri = url.parse().map_err(|_| BadAmqpUrl)?;
        let (publishing, consuming) =
            (BrokerConnection::new(uri.clone(), "publishing"), BrokerConnection::new(uri, "consuming"));
        let publisher = Publisher::new(publishing.clone());
        let shared = Arc::new(RabbitShared {
            publisher,
            publishing,
            consuming,
            expired: Arc::default(),
            closing: CancellationToken::new(),
            ending: TaskTracker::new(),
        });
        // Ends with `closing`, or with its next turn after the transport is dropped.
        tokio::spawn(forget_expired(Arc::downgrade(&shared), shared.closing.clone()));
        Ok(Self { shared })
    }
}

impl RabbitTransport {
    /// Waits until both connections are there, or one could not be made, and declares what messages travel by.
    ///
    /// # Errors
    /// When the broker cannot be used, with the reason, which names no password.
    pub async fn connect(&self) -> Result<(), ConnectError> {
        for broker in [&self.shared.publishing, &self.shared.consuming] {
            broker.wait_connected().await.map_err(ConnectError::Connect)?;
        }
        let declare = async |open: OpenConnection| queue_recovery::open_channel(&open).await.map(drop);
        self.ask("declare what messages travel by", declare).await.map_err(ConnectError::Declare)
    }

    /// Asks the broker something, within a bound.
    async fn ask<T>(
        &self,
        attempted: &'static str,
        question: impl AsyncFnOnce(OpenConnection) -> lapin::Result<T>,
    ) -> Result<T, TransportError> {
        let asked = timeout(ASK_WITHIN, async { question(self.shared.consuming.wait_open().await).await });
        match asked.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(unavailable(attempted, error)),
            Err(_) => Err(unavailable(attempted, "the broker does not answer")),
        }
    }
}

/// Whether a text is the URL of a broker, as far as can be told without asking one.
pub(super) fn is_url(text: &str) -> bool {
    text.parse::<AMQPUri>().is_ok()
}

fn unavailable(attempted: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> TransportError {
    TransportError::Unavailable { attempted, source: source.into() }
}

/// The publication of an announcement.
fn announcement(changed: &Changed, traceparent: Option<&str>) -> Publication {
    Publication {
        exchange: topology::DONE,
        key: String::new(),
        properties: headers::announcement_properties(changed.upload.id, traceparent),
        body: changed.encode(),
    }
}

/// Removes the dead letters of jobs that expired in their lane, some time after the last of them was posted again.
async fn forget_expired(shared: Weak<RabbitShared>, closing: CancellationToken) {
    loop {
        let Some(expired) = shared.upgrade().map(|shared| Arc::clone(&shared.expired)) else { return };
        tokio::select! {
            () = closing.cancelled() => return,
            () = expired.notified() => {}
        }
        tokio::time::sleep(FORGET_AFTER).await;
        let Some(shared) = shared.upgrade() else { return };
        let transport = RabbitTransport { shared };
        let forgotten = transport
            .ask("remove expired dead letters", async |open| dead_queue::forget_expired(&open).await);
        match forgotten.await {
            Ok(number) => {
                tracing::info!(number, "removed the dead letters of jobs that expired and were posted again")
            }
            Err(error) => {
                let error = &error as &dyn Error;
                tracing::warn!(error, "could not remove expired dead letters");
            }
        }
    }
}

#[async_trait]
impl JobQueue for RabbitTransport {
    async fn publish(&self, posting: Posting) -> Result<(), TransportError> {
        let publication = Publication {
            exchange: topology::JOBS,
            key: topology::queue(posting.job.lane()).to_owned(),
            properties: headers::job_properties(&posting.job),
            body: posting.job.encode(),
        };
        self.shared.publisher.publish(publication).await
    }

    async fn consume(&self, prefetch: NonZeroUsize) -> Result<Box<dyn Deliveries>, TransportError> {
        Ok(Box::new(RabbitDeliveries::new(Arc::clone(&self.shared), prefetch)))
    }

    async fn depth(&self) -> Result<Depth, TransportError> {
        let count = async |open: OpenConnection| {
            let channel = open.connection.create_channel().await?;
            let mut depth = Depth::default();
            for lane in Lane::ALL {
                depth.ready += topology::count(&channel, topology::queue(lane)).await?;
                for queue in topology::retry_queues(lane) {
                    depth.delayed += topology::count(&channel, &queue).await?;
                }
            }
            depth.dead = topology::count(&channel, topology::DEAD_QUEUE).await?;
            // AMQP does not tell what is unacknowledged, nor how old anything is.
            depth.unacked = None;
            Ok(depth)
        };
        self.ask("count jobs", count).await
    }

    async fn room_taken(&self) -> Result<u64, TransportError> {
        Ok(self.depth().await?.waiting())
    }

    async fn look_up(&self, lane: Lane, _jobs: &[JobName]) -> Result<LookUp, TransportError> {
        let count = async |open: OpenConnection| {
            let channel = open.connection.create_channel().await?;
            let mut jobs = topology::count(&channel, topology::queue(lane)).await?;
            for queue in topology::retry_queues(lane) {
                jobs += topology::count(&channel, &queue).await?;
            }
            // A dead job whose burial is still to come ends by it.
            for queue in [topology::BURIAL_QUEUE, topology::BURIAL_RETRY_QUEUE] {
                jobs += topology::count(&channel, queue).await?;
            }
            Ok(LookUp::Waiting(jobs))
        };
        self.ask("count the jobs of a lane", count).await
    }

    async fn check(&self) -> Result<(), TransportError> {
        if !(self.shared.publishing.is_open() && self.shared.consuming.is_open()) {
            return Err(unavailable("reach the broker", "it is away"));
        }
        if self.shared.publishing.is_blocked() { Err(TransportError::Blocked) } else { Ok(()) }
    }
}

#[async_trait]
impl Announcer for RabbitTransport {
    async fn announce(&self, changed: &Changed, traceparent: Option<&str>) -> Result<(), TransportError> {
        self.shared.publisher.announce(announcement(changed, traceparent)).await
    }

    async fn listen(&self) -> Result<Box<dyn Announcements>, TransportError> {
        Ok(Box::new(RabbitAnnouncements::new(Arc::clone(&self.shared)).await))
    }
}

#[async_trait]
impl DeadLetters for RabbitTransport {
    async fn dead_letters(&self) -> Result<Vec<DeadJob>, TransportError> {
        self.ask("read dead letters", async |open| dead_queue::list(&open).await).await
    }

    async fn forget_dead(&self, dead: &DeadJob) -> Result<usize, TransportError> {
        self.ask("delete a dead letter", async |open| dead_queue::forget(&open, dead).await).await
    }
}

#[async_trait]
impl Transport for RabbitTransport {
    async fn close(&self) {
        self.shared.closing.cancel();
        self.shared.ending.close();
        let _ = timeout(CLOSE_WITHIN, self.shared.ending.wait()).await;
    }

    async fn disconnect(&self) {
        self.close().await;
        tokio::join!(self.shared.publishing.close(), self.shared.consuming.close());
    }
}
