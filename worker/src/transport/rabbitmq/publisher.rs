//! Publishing. Jobs go out with confirms, on a channel that one task owns: a message that the broker returns is attached
//! to whichever confirm completes next, so messages go out in batches, and a batch is judged when all of it is confirmed.
//! Announcements go out without confirms, on a channel of their own: their loss costs a push, and servers read storage.

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

/// How long a message may wait for the broker before its publisher receives an error.
const PUBLISH_WITHIN: Duration = Duration::from_secs(30);

/// How long the announcement of an end may hold up its worker. Servers read storage every 15 s.
const ANNOUNCE_WITHIN: Duration = Duration::from_secs(1);

/// How long a batch may go unconfirmed on a connection that is not blocked before the session counts as broken. A
/// network that stalls is noticed by heartbeats before that.
const CONFIRM_WITHIN: Duration = Duration::from_secs(30);

/// Messages that wait for their turn, about 2 kB each; publishers beyond wait in line.
const QUEUED: usize = 256;

/// Messages that are published before the first of them must be confirmed. Confirms come about as fast for many as for
/// one.
const BATCH: usize = 64;

/// A message and where it goes.
pub(super) struct Publication {
    pub(super) exchange: &'static str,
    pub(super) key: String,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
}

/// A message on its way, and who is answered.
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

    /// Publishes a message that some queue must take, and waits for the confirm.
    pub(super) async fn publish(&self, publication: Publication) -> Result<(), TransportError> {
        submit(&self.messages, publication, PUBLISH_WITHIN).await
    }

    /// Publishes a message for those who listen, and waits until it is written; fails at once while the broker is
    /// blocked.
    pub(super) async fn announce(&self, publication: Publication) -> Result<(), TransportError> {
        submit(&self.announcements, publication, ANNOUNCE_WITHIN).await
    }

    /// The same without a wait. Dropped when too many wait already.
    pub(super) fn announce_later(&self, publication: Publication) {
        let (done, _unheard) = oneshot::channel();
        if self.announcements.try_send(PublishRequest { publication, done }).is_err() {
            debug!("an announcement is dropped: too many wait for the broker");
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
    let late = || unavailable("publish a message", format!("the broker did not take it within {within:?}"));
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
                    warn!(%error, "announcing was interrupted");
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

/// Publishes one announcement after the other until the connection is lost or nobody is left to announce.
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
            // lapin would keep it in memory until the alarm is over.
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

/// Publishes batch by batch until the session breaks; `Ok` when nobody is left to publish for.
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
        // A publisher that gave up publishes again.
        batch.retain(|request| !request.done.is_closed());
        publish_batch(channel, broker, batch).await?;
    }
}

/// Publishes a batch and judges it.
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
                let late = std::io::Error::new(std::io::ErrorKind::TimedOut, "messages go unconfirmed");
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
                Err(unavailable("publish a message", "no queue takes it"))
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
        // A queue is gone: the next session declares it.
        broken = broken.or_else(|| Some(lapin::Error::from(std::io::Error::other("a queue is gone"))));
    }
    broken.map_or(Ok(()), Err)
}

/// Writes a message; the answer resolves with its confirm.
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

/// Tells a message of a batch from the others; two that agree in it share their fate.
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
