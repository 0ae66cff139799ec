//! Publishes messages. Jobs are published with confirms, on a channel that one task owns. lapin attaches a returned
//! message to the next confirm, so messages are published in batches, and a batch is evaluated when all of it is
//! confirmed. Announcements are published on another channel; see [`super::announcement_publisher`].

use std::{collections::HashSet, time::Duration};

use futures::future::join_all;
use lapin::{Channel, Confirmation, options::ConfirmSelectOptions, types::ShortString};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{debug, warn};

use super::{
    announcement_publisher::{self, ANNOUNCE_WITHIN},
    broker_connection::{BrokerConnection, OpenConnection, late},
    headers,
    patience::Patience,
    publication::{Publication, PublishRequest, closed, publish},
    queue_recovery,
    sessions::is_refusal,
    topology, unavailable,
};
use crate::transport::TransportError;

/// The time limit of publishing a message.
const PUBLISH_WITHIN: Duration = Duration::from_secs(30);

/// After so long without a confirm a process of a cluster publishes a probe. Without it an idle process would not notice
/// that its node is cut off, and would receive no announcement.
const PROBE_AFTER: Duration = Duration::from_secs(2);

/// The purpose of a session.
const PUBLISH: &str = "publish jobs";

/// The capacity of the line of messages, about 2 kB each. Further publishers wait.
const QUEUED: usize = 256;

/// The size of a batch. Confirms for a batch take about as long as for one message.
const BATCH: usize = 64;

/// Hands messages to the tasks that publish.
#[derive(Clone)]
pub(super) struct Publisher {
    messages: mpsc::Sender<PublishRequest>,
    announcements: mpsc::Sender<PublishRequest>,
}

impl Publisher {
    pub(super) fn new(broker: BrokerConnection) -> Self {
        let (messages, messages_out) = mpsc::channel(QUEUED);
        let (announcements, announcements_out) = mpsc::channel(QUEUED);
        tokio::spawn(serve(broker.clone(), messages_out));
        tokio::spawn(announcement_publisher::serve(broker, announcements_out));
        Self { messages, announcements }
    }

    /// Publishes a message that must reach a queue, and waits for the confirm.
    pub(super) async fn publish(&self, publication: Publication) -> Result<(), TransportError> {
        submit(&self.messages, publication, PUBLISH_WITHIN).await
    }

    /// Publishes an announcement, and waits until it is written. Fails at once while the broker blocks publications.
    pub(super) async fn announce(&self, publication: Publication) -> Result<(), TransportError> {
        submit(&self.announcements, publication, ANNOUNCE_WITHIN).await
    }

    /// Publishes an announcement without a wait. It is dropped when the line is full.
    pub(super) fn announce_later(&self, publication: Publication) {
        let (done, _outcome) = oneshot::channel();
        if self.announcements.try_send(PublishRequest { publication, done }).is_err() {
            debug!("an announcement was dropped because too many wait for the broker");
        }
    }
}

async fn submit(
    line: &mpsc::Sender<PublishRequest>,
    publication: Publication,
    within: Duration,
) -> Result<(), TransportError> {
    let (done, outcome) = oneshot::channel();
    let submitted = async {
        let sent = line.send(PublishRequest { publication, done }).await;
        sent.map_err(|_| TransportError::Closed)?;
        outcome.await.unwrap_or(Err(TransportError::Closed))
    };
    let late = || unavailable("publish a message", format!("the broker did not accept it within {within:?}"));
    timeout(within, submitted).await.unwrap_or_else(|_| Err(late()))
}

/// Publishes messages until the last publisher is dropped.
async fn serve(broker: BrokerConnection, mut line: mpsc::Receiver<PublishRequest>) {
    let mut patience = Patience::new(broker.nodes());
    loop {
        let open = tokio::select! {
            open = broker.wait_open() => open,
            () = closed(&line) => return,
        };
        let opening = async {
            loop {
                if let Ok(opened) = timeout(patience.try_within(), open_confirming(&open)).await {
                    return opened;
                }
            }
        };
        let opened = timeout(patience.open_within(), opening).await;
        let (wait, is_stalled) = match opened {
            Ok(Ok(channel)) => {
                broker.sessions().opened(PUBLISH);
                match publish_all(&channel, &broker, &mut line, &mut patience).await {
                    Ok(()) => return,
                    Err(Interruption::Broken(error)) if is_refusal(&error) => {
                        (broker.sessions().refused(PUBLISH, &error), false)
                    }
                    Err(error) => {
                        warn!(%error, "publishing was interrupted");
                        (broker.sessions().ended(PUBLISH), matches!(error, Interruption::Stalled))
                    }
                }
            }
            Ok(Err(error)) => (broker.sessions().failed(PUBLISH, &error), false),
            Err(_) => (broker.sessions().failed(PUBLISH, &late()), true),
        };
        if is_stalled && broker.is_cluster() {
            patience.on_stall();
            broker.abandon(&open);
        }
        broker.pause(&open, wait).await;
    }
}

/// Why a session that publishes has ended.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error(transparent)]
    Broken(#[from] lapin::Error),
    #[error("the broker does not confirm messages")]
    Stalled,
}

async fn open_confirming(open: &OpenConnection) -> lapin::Result<Channel> {
    let channel = queue_recovery::open_channel(open).await?;
    if open.is_cluster {
        topology::declare_probe(&channel, topology::PROBE_QUEUE).await?;
    }
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

/// Publishes batches until the session breaks. `Ok` when the last publisher is dropped.
async fn publish_all(
    channel: &Channel,
    broker: &BrokerConnection,
    line: &mut mpsc::Receiver<PublishRequest>,
    patience: &mut Patience,
) -> Result<(), Interruption> {
    let mut changes = broker.clone();
    patience.confirmed = Instant::now();
    loop {
        let blocked = broker.is_blocked();
        let first = tokio::select! {
            biased;
            () = sleep_until(patience.confirmed + PROBE_AFTER), if broker.is_cluster() && !blocked => {
                let outcomes = publish_batch(channel, broker, &[probe()], patience.confirm_within).await?;
                match &outcomes[..] {
                    [Ok(())] => {}
                    // Another node would refuse it as well.
                    [Err(Refused::Failed(error))] if is_refusal(error) => return Err(error.clone().into()),
                    _ => return Err(Interruption::Stalled),
                }
                patience.on_confirm();
                continue;
            }
            request = line.recv(), if !blocked => match request {
                Some(request) => request,
                None => return Ok(()),
            },
            () = changes.changed() => {
                if !broker.is_open() {
                    let closed = lapin::ErrorKind::InvalidConnectionState(lapin::ConnectionState::Closed);
                    return Err(lapin::Error::from(closed).into());
                }
                continue;
            }
        };
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(request) = line.try_recv()
        {
            batch.push(request);
        }
        // Skip publishers that gave up: they publish again.
        batch.retain(|request| !request.done.is_closed());
        let (waiting, publications): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|request| (request.done, request.publication)).unzip();
        let outcomes = publish_batch(channel, broker, &publications, patience.confirm_within).await?;
        if outcomes.iter().any(Result::is_ok) {
            patience.on_confirm();
            broker.sessions().worked(PUBLISH);
        }
        let mut broken = None;
        for (outcome, done) in outcomes.into_iter().zip(waiting) {
            let outcome = outcome.map_err(|refused| {
                // After a refusal the others fail because the channel is closed.
                if !broken.as_ref().is_some_and(is_refusal) {
                    broken = refused.ends_session().or(broken.take());
                }
                refused.into()
            });
            let _ = done.send(outcome);
        }
        if let Some(error) = broken {
            return Err(error.into());
        }
    }
}

/// A message that only proves that the node stores messages.
fn probe() -> Publication {
    let (exchange, key) = ("", topology::PROBE_QUEUE.to_owned());
    Publication { exchange, key, properties: headers::probe_properties(), body: Vec::new() }
}

/// Why a message was not published.
enum Refused {
    /// No queue is bound for it: the next session declares it.
    Returned,
    Nacked,
    Failed(lapin::Error),
}

impl Refused {
    /// The error that ends the session, if it must end.
    fn ends_session(&self) -> Option<lapin::Error> {
        match self {
            Self::Returned => Some(std::io::Error::other("a queue is missing").into()),
            Self::Nacked => None,
            Self::Failed(error) => Some(error.clone()),
        }
    }
}

impl From<Refused> for TransportError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Returned => unavailable("publish a message", "no queue is bound for it"),
            Refused::Nacked => Self::Nacked,
            Refused::Failed(error) => unavailable("publish a message", error),
        }
    }
}

/// Publishes a batch and evaluates its confirms.
async fn publish_batch(
    channel: &Channel,
    broker: &BrokerConnection,
    publications: &[Publication],
    within: Duration,
) -> Result<Vec<Result<(), Refused>>, Interruption> {
    let confirms =
        publications.iter().map(async |publication| publish(channel, publication, true).await?.await);
    let mut confirmed = std::pin::pin!(join_all(confirms));
    let mut changes = broker.clone();
    let results = loop {
        tokio::select! {
            biased;
            results = &mut confirmed => break results,
            () = changes.changed() => {}
            () = sleep(within), if !broker.is_blocked() => return Err(Interruption::Stalled),
        }
    };
    let returned: HashSet<Address> =
        results.iter().filter_map(|result| returned(result.as_ref().ok()?)).collect();
    let outcome = |(result, publication): (lapin::Result<Confirmation>, &Publication)| match result {
        Ok(_) if returned.contains(&address(publication)) => Err(Refused::Returned),
        Ok(Confirmation::Ack(_)) => Ok(()),
        Ok(Confirmation::Nack(_)) => Err(Refused::Nacked),
        Ok(Confirmation::NotRequested) => {
            Err(Refused::Failed(std::io::Error::other("confirms are off").into()))
        }
        Err(error) => Err(Refused::Failed(error)),
    };
    Ok(results.into_iter().zip(publications).map(outcome).collect())
}

/// The identity of a message within a batch. Messages with the same address get the same outcome.
type Address = (String, String, Option<ShortString>);

fn address(publication: &Publication) -> Address {
    let id = publication.properties.message_id().clone();
    (publication.exchange.to_owned(), publication.key.clone(), id)
}

fn returned(confirmation: &Confirmation) -> Option<Address> {
    let (Confirmation::Ack(message) | Confirmation::Nack(message)) = confirmation else { return None };
    let message = &message.as_ref()?.delivery;
    let id = message.properties.message_id().clone();
    Some((message.exchange.to_string(), message.routing_key.to_string(), id))
}
