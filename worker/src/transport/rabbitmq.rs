//! RabbitMQ: quorum queues, publisher confirms, dead letters at least once, and a reply exchange.
//!
//! Two connections, because a broker that is short of memory or disk stops reading what a publishing connection sends,
//! acknowledgements included: one publishes, the other consumes, acknowledges and listens.

mod announcements;
mod dead;
mod deliveries;
pub mod description;
mod link;
mod publisher;
mod stuck;
mod topology;
mod wire;

use std::{error::Error, num::NonZeroUsize, sync::Arc, time::Duration};

use async_trait::async_trait;
use lapin::uri::AMQPUri;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    announcements::Listener,
    deliveries::Taker,
    link::{Link, Up},
    publisher::{Publication, Publisher},
};
use super::{Announcements, Deliveries, Depth, Lane, Posting, Transport, TransportError, dead::DeadJob};
use crate::Announcement;

/// How long the broker may take to answer a question.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// How long closing waits until prefetched jobs are given back.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// The transport over RabbitMQ. Clones share its connections.
#[derive(Clone)]
pub struct RabbitTransport {
    shared: Arc<Shared>,
}

struct Shared {
    publisher: Publisher,
    /// The connection that publishes.
    giving: Link,
    /// The connection that consumes, acknowledges and listens.
    taking: Link,
    closing: CancellationToken,
    /// Consumers that give back what they have prefetched.
    ending: TaskTracker,
}

/// The URL of the broker is none. It is not repeated, since it may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("the broker's URL is malformed; it should look like amqps://user:password@host/vhost")]
pub struct BadAmqpUrl;

/// Why a broker cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MeetError {
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
        let (giving, taking) = (Link::new(uri.clone(), "publishing"), Link::new(uri, "consuming"));
        let publisher = Publisher::new(giving.clone());
        let (closing, ending) = (CancellationToken::new(), TaskTracker::new());
        Ok(Self { shared: Arc::new(Shared { publisher, giving, taking, closing, ending }) })
    }
}

impl RabbitTransport {
    /// Waits until both connections are there, or one could not be made, and declares what messages travel by.
    ///
    /// # Errors
    /// When the broker cannot be used, with the reason, which names no password.
    pub async fn meet(&self) -> Result<(), MeetError> {
        for link in [&self.shared.giving, &self.shared.taking] {
            link.first_word().await.map_err(MeetError::Connect)?;
        }
        let declare = async |up: Up| stuck::channel(&up).await.map(drop);
        self.ask("declare what messages travel by", declare).await.map_err(MeetError::Declare)
    }

    /// Asks the broker something, within a bound.
    async fn ask<T>(
        &self,
        attempted: &'static str,
        question: impl AsyncFnOnce(Up) -> lapin::Result<T>,
    ) -> Result<T, TransportError> {
        let asked = timeout(ASK_WITHIN, async { question(self.shared.taking.up().await).await });
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

#[async_trait]
impl Transport for RabbitTransport {
    async fn publish(&self, posting: Posting) -> Result<(), TransportError> {
        let publication = Publication {
            exchange: topology::JOBS,
            key: topology::queue(posting.lane).to_owned(),
            properties: wire::job_properties(&posting),
            body: posting.job.encode(),
        };
        self.shared.publisher.publish(publication).await
    }

    async fn consume(&self, prefetch: NonZeroUsize) -> Result<Box<dyn Deliveries>, TransportError> {
        Ok(Box::new(Taker::new(Arc::clone(&self.shared), prefetch)))
    }

    async fn announce(
        &self,
        announcement: &Announcement,
        traceparent: Option<&str>,
    ) -> Result<(), TransportError> {
        let publication = Publication {
            exchange: topology::DONE,
            key: String::new(),
            properties: wire::announcement_properties(announcement.id(), traceparent),
            body: announcement.encode(),
        };
        self.shared.publisher.announce(publication).await
    }

    async fn listen(&self) -> Result<Box<dyn Announcements>, TransportError> {
        Ok(Box::new(Listener::new(Arc::clone(&self.shared)).await))
    }

    async fn depth(&self) -> Result<Depth, TransportError> {
        let count = async |up: Up| {
            let channel = up.connection.create_channel().await?;
            let mut depth = Depth::default();
            for lane in [Lane::Interactive, Lane::Bulk] {
                depth.ready += topology::count(&channel, topology::queue(lane)).await?;
            }
            for queue in topology::retry_queues() {
                depth.delayed += topology::count(&channel, &queue).await?;
            }
            depth.dead = topology::count(&channel, topology::DEAD_QUEUE).await?;
            // AMQP does not tell what is unacknowledged, nor how old anything is.
            depth.unacked = None;
            Ok(depth)
        };
        self.ask("count jobs", count).await
    }

    async fn dead_letters(&self) -> Result<Vec<DeadJob>, TransportError> {
        self.ask("read dead letters", async |up| dead::list(&up).await).await
    }

    async fn forget_dead(&self, dead: &DeadJob) -> Result<usize, TransportError> {
        self.ask("forget a dead letter", async |up| dead::forget(&up, dead).await).await
    }

    async fn check(&self) -> Result<(), TransportError> {
        if !(self.shared.giving.is_up() && self.shared.taking.is_up()) {
            return Err(unavailable("reach the broker", "it is away"));
        }
        if self.shared.giving.is_blocked() { Err(TransportError::Blocked) } else { Ok(()) }
    }

    async fn close(&self) {
        self.shared.closing.cancel();
        self.shared.ending.close();
        let _ = timeout(CLOSE_WITHIN, self.shared.ending.wait()).await;
    }

    async fn leave(&self) {
        self.close().await;
        tokio::join!(self.shared.giving.close(), self.shared.taking.close());
    }
}
