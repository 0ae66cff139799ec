//! Publishing with confirms. One task owns the channel, because a message that the broker returns is attached to
//! whichever confirm completes next: so messages go out in batches, and a batch is judged when all of it is confirmed.

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
use tracing::warn;

use super::{
    link::{AFTER_ERROR, Link, Up},
    stuck, unavailable,
};
use crate::transport::TransportError;

/// How long a message may wait for the broker before its publisher is told that it did not work out.
const PUBLISH_WITHIN: Duration = Duration::from_secs(30);

/// The same for an announcement, while which a worker's slot waits; servers read storage again every 15 s.
const ANNOUNCE_WITHIN: Duration = Duration::from_secs(10);

/// How long a batch may go unconfirmed on a connection that is not blocked before the session counts as broken. A
/// network that stalls is noticed by heartbeats before that.
const CONFIRM_WITHIN: Duration = Duration::from_secs(30);

/// Messages that wait for their turn; publishers beyond wait in line.
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

struct Request {
    publication: Publication,
    /// A message that no queue takes is an error, unless nobody need listen.
    mandatory: bool,
    done: oneshot::Sender<Result<(), TransportError>>,
}

/// Hands messages to the task that publishes.
#[derive(Clone)]
pub(super) struct Publisher {
    messages: mpsc::Sender<Request>,
    announcements: mpsc::Sender<Request>,
}

impl Publisher {
    pub(super) fn new(link: Link) -> Self {
        let (messages, messages_out) = mpsc::channel(QUEUED);
        let (announcements, announcements_out) = mpsc::channel(QUEUED);
        let lines = Lines { messages: messages_out, announcements: announcements_out };
        tokio::spawn(serve(link, lines));
        Self { messages, announcements }
    }

    /// Publishes a message that some queue must take, and waits for the confirm.
    pub(super) async fn publish(&self, publication: Publication) -> Result<(), TransportError> {
        submit(&self.messages, publication, true, PUBLISH_WITHIN).await
    }

    /// Publishes a message that whoever listens takes; fails at once while the broker is blocked.
    pub(super) async fn announce(&self, publication: Publication) -> Result<(), TransportError> {
        submit(&self.announcements, publication, false, ANNOUNCE_WITHIN).await
    }
}

async fn submit(
    line: &mpsc::Sender<Request>,
    publication: Publication,
    mandatory: bool,
    within: Duration,
) -> Result<(), TransportError> {
    let (done, outcome) = oneshot::channel();
    let submitted = async {
        let sent = line.send(Request { publication, mandatory, done }).await;
        sent.map_err(|_| TransportError::Closed)?;
        outcome.await.unwrap_or(Err(TransportError::Closed))
    };
    let late = || unavailable("publish a message", format!("the broker did not confirm within {within:?}"));
    timeout(within, submitted).await.unwrap_or_else(|_| Err(late()))
}

/// Messages may wait out a blocked broker; announcements may not.
struct Lines {
    messages: mpsc::Receiver<Request>,
    announcements: mpsc::Receiver<Request>,
}

/// Ends when the last publisher is dropped.
async fn serve(link: Link, mut lines: Lines) {
    loop {
        let up = tokio::select! {
            up = link.up() => up,
            () = closed(&lines) => return,
        };
        let ended = match open(&up).await {
            Ok(channel) => publish_all(&channel, &link, &mut lines).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) => return,
            Err(error) => warn!(%error, "publishing was interrupted"),
        }
        tokio::select! {
            () = link.lost(&up) => {}
            () = sleep(AFTER_ERROR) => {}
        }
    }
}

async fn closed(lines: &Lines) {
    while !(lines.messages.is_closed() && lines.messages.is_empty()) {
        sleep(AFTER_ERROR).await;
    }
}

async fn open(up: &Up) -> lapin::Result<Channel> {
    let channel = stuck::channel(up).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

/// Publishes batch by batch until the session breaks; `Ok` when nobody is left to publish for.
async fn publish_all(channel: &Channel, link: &Link, lines: &mut Lines) -> lapin::Result<()> {
    let mut changes = link.clone();
    loop {
        let blocked = link.is_blocked();
        let first = tokio::select! {
            biased;
            request = lines.messages.recv(), if !blocked => match request {
                Some(request) => request,
                None => return Ok(()),
            },
            Some(request) = lines.announcements.recv() => {
                if blocked {
                    let _ = request.done.send(Err(TransportError::Blocked));
                    continue;
                }
                request
            }
            () = changes.changed() => {
                if !link.is_up() {
                    return Err(lapin::ErrorKind::InvalidConnectionState(lapin::ConnectionState::Closed).into());
                }
                continue;
            }
        };
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(request) = lines.messages.try_recv().or_else(|_| lines.announcements.try_recv())
        {
            batch.push(request);
        }
        // Whoever has given up publishes again.
        batch.retain(|request| !request.done.is_closed());
        publish_batch(channel, link, batch, &mut lines.announcements).await?;
    }
}

/// Publishes a batch and judges it. Should the broker be blocked before it is confirmed, those who announce are told at
/// once, and those who come meanwhile.
async fn publish_batch(
    channel: &Channel,
    link: &Link,
    batch: Vec<Request>,
    announcements: &mut mpsc::Receiver<Request>,
) -> lapin::Result<()> {
    let (mut waiting, publications): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|request| (Some(request.done), (request.publication, request.mandatory)))
        .unzip();
    let confirms =
        publications.iter().map(|(publication, mandatory)| confirm(channel, publication, *mandatory));
    let mut confirmed = std::pin::pin!(join_all(confirms));
    let mut changes = link.clone();
    let results = loop {
        tokio::select! {
            biased;
            results = &mut confirmed => break results,
            Some(request) = announcements.recv(), if link.is_blocked() => {
                let _ = request.done.send(Err(TransportError::Blocked));
            }
            () = changes.changed() => if link.is_blocked() {
                let impatient = waiting.iter_mut().zip(&publications).filter(|(_, (_, mandatory))| !mandatory);
                for done in impatient.filter_map(|(done, _)| done.take()) {
                    let _ = done.send(Err(TransportError::Blocked));
                }
            },
            () = sleep(CONFIRM_WITHIN), if !link.is_blocked() => {
                let late = std::io::Error::new(std::io::ErrorKind::TimedOut, "messages go unconfirmed");
                return Err(late.into());
            }
        }
    };
    let returned: HashSet<Address> =
        results.iter().filter_map(|result| returned(result.as_ref().ok()?)).collect();
    let mut broken = None;
    for ((result, done), (publication, _)) in results.into_iter().zip(waiting).zip(&publications) {
        let outcome = match result {
            Ok(_) if returned.contains(&address(publication)) => {
                Err(unavailable("publish a message", "no queue takes it"))
            }
            Ok(Confirmation::Ack(_)) => Ok(()),
            Ok(Confirmation::Nack(_)) => Err(TransportError::Full),
            Ok(Confirmation::NotRequested) => Err(unavailable("publish a message", "confirms are off")),
            Err(error) => {
                broken = Some(error.clone());
                Err(unavailable("publish a message", error))
            }
        };
        if let Some(done) = done {
            let _ = done.send(outcome);
        }
    }
    if !returned.is_empty() {
        // A queue is gone: the next session declares it.
        broken = broken.or_else(|| Some(lapin::Error::from(std::io::Error::other("a queue is gone"))));
    }
    broken.map_or(Ok(()), Err)
}

async fn confirm(
    channel: &Channel,
    publication: &Publication,
    mandatory: bool,
) -> lapin::Result<Confirmation> {
    let options = BasicPublishOptions { mandatory, ..BasicPublishOptions::default() };
    let (exchange, key) = (publication.exchange.into(), publication.key.as_str().into());
    let properties = publication.properties.clone();
    channel.basic_publish(exchange, key, options, &publication.body, properties).await?.await
}

/// What tells a message of a batch from the others; two that agree in it share their fate.
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
