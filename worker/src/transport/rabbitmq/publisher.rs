//! Publishes messages. Jobs are published with confirms, on a channel that one task owns. lapin attaches a returned
//! message to the next confirm, so messages are published in batches, and a batch is evaluated when all of it is
//! confirmed. Announcements are published without confirms, on another channel: a lost one delays a push, and servers
//! read storage.

use std::{collections::HashSet, time::Duration};

use futures::future::join_all;
use lapin::{
    BasicProperties, Channel, Confirmation,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::{
    broker_connection::{AFTER_ERROR, BrokerConnection, OpenConnection},
    queue_recovery, unavailable,
};
use crate::transport::TransportError;

/// The time limit of publishing a message.
const PUBLISH_WITHIN: Duration = Duration::from_secs(30);

/// The time limit of an announcement, while its worker waits. Servers read storage every 15 s.
const ANNOUNCE_WITHIN: Duration = Duration::from_secs(1);

/// The time limit of the confirms of a batch, on a connection that is not blocked. Then the session counts as broken.
/// Heartbeats detect a stalled network earlier.
const CONFIRM_WITHIN: Duration = Duration::from_secs(30);

/// The capacity of the line of messages, about 2 kB each. Further publishers wait.
const QUEUED: usize = 256;

/// The size of a batch. Confirms for a batch take about as long as for one message.
const BATCH: usize = 64;

/// A message, its exchange and its routing key.
pub(super) struct Publication {
    pub(super) exchange: &'static str,
    pub(super) key: String,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
}

/// A message to publish, and the channel for its outcome.
struct PublishRequest {
    publication: Publication,
    done: oneshot::Sender<Result<(), TransportError>>,
}

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
        tokio::spawn(serve_announcements(broker, announcements_out));
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

/// Publishes announcements until the last publisher is dropped.
async fn serve_announcements(broker: BrokerConnection, mut line: mpsc::Receiver<PublishRequest>) {
    loop {
        let open = tokio::select! {
            open = broker.wait_open() => open,
            () = closed(&line) => return,
        };
        match queue_recovery::open_channel(&open).await {
            Ok(channel) => {
                if let Err(error) = announce_all(&channel, &broker, &open, &mut line).await {
                    warn!(%error, "publishing announcements was interrupted");
                } else if line.is_closed() {
                    return;
                }
            }
            Err(error) => warn!(%error, "could not open a channel for announcements"),
        }
        tokio::select! {
            () = broker.lost(&open) => {}
            () = sleep(AFTER_ERROR) => {}
        }
    }
}

/// Publishes announcements until the connection is lost or the last publisher is dropped.
async fn announce_all(
    channel: &Channel,
    broker: &BrokerConnection,
    open: &OpenConnection,
    line: &mut mpsc::Receiver<PublishRequest>,
) -> lapin::Result<()> {
    loop {
        let request = tokio::select! {
            request = line.recv() => request,
            () = broker.lost(open) => return Ok(()),
        };
        let Some(PublishRequest { publication, done }) = request else { return Ok(()) };
        if broker.is_blocked() {
            // Otherwise lapin would buffer it until the broker accepts publications.
            let _ = done.send(Err(TransportError::Blocked));
            continue;
        }
        let published = timeout(ANNOUNCE_WITHIN, publish(channel, &publication, false)).await;
        match published {
            Ok(Ok(_not_confirmed)) => drop(done.send(Ok(()))),
            Ok(Err(error)) => {
                let _ = done.send(Err(unavailable("publish an announcement", error.clone())));
                return Err(error);
            }
            Err(_) => drop(done.send(Err(unavailable("publish an announcement", "the network stalls")))),
        }
    }
}

/// Publishes messages until the last publisher is dropped.
async fn serve(broker: BrokerConnection, mut line: mpsc::Receiver<PublishRequest>) {
    loop {
        let open = tokio::select! {
            open = broker.wait_open() => open,
            () = closed(&line) => return,
        };
        let ended = match open_confirming(&open).await {
            Ok(channel) => publish_all(&channel, &broker, &mut line).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) => return,
            Err(error) => warn!(%error, "publishing was interrupted"),
        }
        tokio::select! {
            () = broker.lost(&open) => {}
            () = sleep(AFTER_ERROR) => {}
        }
    }
}

async fn closed(line: &mpsc::Receiver<PublishRequest>) {
    while !(line.is_closed() && line.is_empty()) {
        sleep(AFTER_ERROR).await;
    }
}

async fn open_confirming(open: &OpenConnection) -> lapin::Result<Channel> {
    let channel = queue_recovery::open_channel(open).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

/// Publishes batches until the session breaks. `Ok` when the last publisher is dropped.
async fn publish_all(
    channel: &Channel,
    broker: &BrokerConnection,
    line: &mut mpsc::Receiver<PublishRequest>,
) -> lapin::Result<()> {
    let mut changes = broker.clone();
    loop {
        let blocked = broker.is_blocked();
        let first = tokio::select! {
            biased;
            request = line.recv(), if !blocked => match request {
                Some(request) => request,
                None => return Ok(()),
            },
            () = changes.changed() => {
                if !broker.is_open() {
                    return Err(lapin::ErrorKind::InvalidConnectionState(lapin::ConnectionState::Closed).into());
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
        publish_batch(channel, broker, batch).await?;
    }
}

/// Publishes a batch and evaluates its confirms.
async fn publish_batch(
    channel: &Channel,
    broker: &BrokerConnection,
    batch: Vec<PublishRequest>,
) -> lapin::Result<()> {
    let (waiting, publications): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|request| (request.done, request.publication)).unzip();
    let confirms =
        publications.iter().map(async |publication| publish(channel, publication, true).await?.await);
    let mut confirmed = std::pin::pin!(join_all(confirms));
    let mut changes = broker.clone();
    let results = loop {
        tokio::select! {
            biased;
            results = &mut confirmed => break results,
            () = changes.changed() => {}
            () = sleep(CONFIRM_WITHIN), if !broker.is_blocked() => {
                let late = std::io::Error::new(std::io::ErrorKind::TimedOut, "messages were not confirmed");
                return Err(late.into());
            }
        }
    };
    let returned: HashSet<Address> =
        results.iter().filter_map(|result| returned(result.as_ref().ok()?)).collect();
    let mut broken = None;
    for ((result, done), publication) in results.into_iter().zip(waiting).zip(&publications) {
        let outcome = match result {
            Ok(_) if returned.contains(&address(publication)) => {
                Err(unavailable("publish a message", "no queue is bound for it"))
            }
            Ok(Confirmation::Ack(_)) => Ok(()),
            Ok(Confirmation::Nack(_)) => Err(TransportError::Nacked),
            Ok(Confirmation::NotRequested) => Err(unavailable("publish a message", "confirms are off")),
            Err(error) => {
                broken = Some(error.clone());
                Err(unavailable("publish a message", error))
            }
        };
        let _ = done.send(outcome);
    }
    if !returned.is_empty() {
        // A queue is missing: the next session declares it.
        broken = broken.or_else(|| Some(lapin::Error::from(std::io::Error::other("a queue is missing"))));
    }
    broken.map_or(Ok(()), Err)
}

/// Writes a message. The returned future resolves to its confirm.
async fn publish(
    channel: &Channel,
    publication: &Publication,
    mandatory: bool,
) -> lapin::Result<lapin::PublisherConfirm> {
    let options = BasicPublishOptions { mandatory, ..BasicPublishOptions::default() };
    let (exchange, key) = (publication.exchange.into(), publication.key.as_str().into());
    let properties = publication.properties.clone();
    channel.basic_publish(exchange, key, options, &publication.body, properties).await
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
