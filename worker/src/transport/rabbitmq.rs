//! RabbitMQ: quorum queues, publisher confirms, dead letters at least once, and a reply exchange.
//!
//! Two connections, because a broker that is short of memory or disk stops reading what a publishing connection sends,
//! acknowledgements included: one publishes, the other consumes, acknowledges and listens.

mod announcement_publisher;
mod announcements;
mod background_session;
mod broker_connection;
mod connecting;
mod created;
mod dead_queue;
mod deliveries;
pub mod description;
mod headers;
mod lost_lanes;
mod node_search;
mod nodes;
mod patience;
mod publication;
mod publisher;
mod queue_recovery;
mod receipt;
mod sessions;
mod silent_queues;
mod topology;

use std::{
    error::Error,
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
    dead_queue::FORGET_WITHIN,
    deliveries::RabbitDeliveries,
    lost_lanes::RabbitLostLanes,
    nodes::BrokerNodes,
    publication::Publication,
    publisher::Publisher,
    sessions::Sessions,
    silent_queues::SilentQueues,
};
use super::{
    Announcements, Announcer, DeadLetters, Deliveries, Depth, JobQueue, LookUp, LostLanes, Posting, Slots,
    Transport, TransportError, dead_job::DeadJob,
};
use crate::contract::{
    message::Changed,
    record::{JobName, Lane},
};

/// The time limit of a request to the broker.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The wait before expired dead letters are removed together.
const FORGET_AFTER: Duration = Duration::from_secs(1);

/// The time limit for releasing prefetched jobs when the transport closes.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// The time limit of [`disconnect`](Transport::disconnect): prefetched jobs are released, and connections closed.
pub const DISCONNECT_WITHIN: Duration = CLOSE_WITHIN.saturating_add(broker_connection::CLOSE_WITHIN);

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
    /// Notified after the burial of a job that expired in its lane was acknowledged.
    expired: Arc<Notify>,
    closing: CancellationToken,
    /// Tasks that release prefetched jobs.
    ending: TaskTracker,
}

/// The broker's URL is malformed. The error does not repeat it, because it may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("the broker's URL is malformed; it should look like amqps://user:password@host/vhost")]
pub struct BadAmqpUrl;

/// Why the broker cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The connection failed.
    #[error("could not connect to the broker")]
    Connect(#[source] Arc<dyn Error + Send + Sync>),
    /// Exchanges and queues cannot be declared, or exist with other arguments.
    #[error("could not declare the queues on the broker")]
    Declare(#[source] TransportError),
}

impl RabbitTransport {
    /// Starts to connect; the broker may be unavailable. Must be called inside a runtime. `urls` are those of the nodes
    /// of a cluster, separated by commas, or one.
    ///
    /// # Errors
    /// When a URL is malformed.
    pub fn open(urls: &str) -> Result<Self, BadAmqpUrl> {
        let nodes = Arc::new(BrokerNodes::parse(urls)?);
        let (sessions, silent) = (Arc::<Sessions>::default(), Arc::<SilentQueues>::default());
        let connection = |name| {
            BrokerConnection::new(Arc::clone(&nodes), (Arc::clone(&sessions), Arc::clone(&silent)), name)
        };
        let (publishing, consuming) = (connection("publishing"), connection("consuming"));
        let publisher = Publisher::new(publishing.clone());
        let shared = Arc::new(RabbitShared {
            publisher,
            publishing,
            consuming,
            expired: Arc::default(),
            closing: CancellationToken::new(),
            ending: TaskTracker::new(),
        });
        // The task ends with `closing`, or in its next turn after the transport is dropped.
        tokio::spawn(forget_expired(Arc::downgrade(&shared), shared.closing.clone()));
        if nodes.is_cluster() {
            tokio::spawn(node_search::run(Arc::downgrade(&nodes)));
        } else {
            let closing = shared.closing.clone();
            tokio::spawn(recreate_silent_queues(Arc::downgrade(&shared), (nodes, silent), closing));
        }
        Ok(Self { shared })
    }
}

impl RabbitTransport {
    /// Waits until both connections are open, or one has failed, and declares exchanges and queues.
    ///
    /// # Errors
    /// When the broker cannot be used. The error contains no password.
    pub async fn connect(&self) -> Result<(), ConnectError> {
        for broker in [&self.shared.publishing, &self.shared.consuming] {
            broker.wait_connected().await.map_err(ConnectError::Connect)?;
        }
        let declare = async |open: OpenConnection| queue_recovery::open_channel(&open).await.map(drop);
        self.request("declare exchanges and queues", declare).await.map_err(ConnectError::Declare)
    }

    /// Checks that messages may be written, and announcements heard: exchanges and queues can be declared without that
    /// permission.
    ///
    /// # Errors
    /// When the broker refuses a message, or does not answer.
    pub async fn check_writes(&self) -> Result<(), TransportError> {
        let write = async |open: OpenConnection| topology::try_writing(&open.connection).await;
        self.request("publish messages", write).await?;
        let hear = async |open: OpenConnection| topology::try_hearing(&open.connection).await;
        self.request("listen to the reply exchange", hear).await
    }

    /// Sends a request to the broker, with a time limit.
    async fn request<T>(
        &self,
        attempted: &'static str,
        send: impl AsyncFnOnce(OpenConnection) -> lapin::Result<T>,
    ) -> Result<T, TransportError> {
        self.request_within(REQUEST_TIMEOUT, attempted, send).await
    }

    async fn request_within<T>(
        &self,
        limit: Duration,
        attempted: &'static str,
        send: impl AsyncFnOnce(OpenConnection) -> lapin::Result<T>,
    ) -> Result<T, TransportError> {
        let response = timeout(limit, async { send(self.shared.consuming.wait_open().await).await });
        match response.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(unavailable(attempted, error)),
            Err(_) => Err(unavailable(attempted, "the broker does not respond")),
        }
    }
}

/// Whether a text is a well-formed AMQP URL.
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

/// Recreates queues of a single broker that do not respond; see [`queue_recovery`]. Ends with `closing`, or in its next
/// turn after the transport is dropped.
async fn recreate_silent_queues(
    shared: Weak<RabbitShared>,
    (nodes, silent): (Arc<BrokerNodes>, Arc<SilentQueues>),
    closing: CancellationToken,
) {
    let looking = async {
        while shared.strong_count() > 0 {
            tokio::time::sleep(queue_recovery::LOOK_EVERY).await;
            queue_recovery::recreate_silent(&nodes, &silent).await;
        }
    };
    closing.run_until_cancelled(looking).await;
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
        let forgotten =
            transport.request_within(FORGET_WITHIN, "remove expired dead letters", async |open| {
                dead_queue::forget_expired(&open).await
            });
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

    async fn consume(&self, slots: Slots) -> Result<Box<dyn Deliveries>, TransportError> {
        Ok(Box::new(RabbitDeliveries::new(Arc::clone(&self.shared), slots)))
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
            // AMQP reports neither unacknowledged messages nor the age of messages.
            depth.unacked = None;
            Ok(depth)
        };
        self.request("count jobs", count).await
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
            // A dead job that waits for its burial ends by it.
            for queue in [topology::BURIAL_QUEUE, topology::BURIAL_RETRY_QUEUE] {
                jobs += topology::count(&channel, queue).await?;
            }
            Ok(LookUp::Waiting(jobs))
        };
        self.request("count the jobs of a lane", count).await
    }

    fn lost_lanes(&self) -> Box<dyn LostLanes> {
        Box::new(RabbitLostLanes::new(&self.shared))
    }

    async fn check(&self) -> Result<(), TransportError> {
        for connection in [&self.shared.publishing, &self.shared.consuming] {
            if !connection.is_open() {
                let source = connection.failure().map_or("it is unavailable".into(), Into::into);
                return Err(TransportError::Unavailable { attempted: "connect to the broker", source });
            }
        }
        if self.shared.publishing.is_blocked() {
            return Err(TransportError::Blocked);
        }
        match self.shared.publishing.sessions().refusal() {
            Some((attempted, error)) => Err(unavailable(attempted, error)),
            None => Ok(()),
        }
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
        self.request("read dead letters", async |open| dead_queue::list(&open).await).await
    }

    async fn forget_dead(&self, key: &str) -> Result<usize, TransportError> {
        let forget = async |open: OpenConnection| dead_queue::forget(&open, key).await;
        self.request_within(FORGET_WITHIN, "delete a dead letter", forget).await
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
