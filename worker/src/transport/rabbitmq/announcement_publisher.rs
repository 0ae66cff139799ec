//! Publishes announcements, without confirms, on a channel of their own: a lost one delays a push, and servers read
//! storage.

use std::time::Duration;

use lapin::Channel;
use tokio::{sync::mpsc, time::timeout};
use tracing::warn;

use super::{
    broker_connection::{BrokerConnection, OpenConnection},
    publication::{PublishRequest, closed, publish},
    queue_recovery,
    sessions::is_refusal,
    topology, unavailable,
};
use crate::transport::TransportError;

/// The time limit of an announcement, while its worker waits. Servers read storage every 15 s.
pub(super) const ANNOUNCE_WITHIN: Duration = Duration::from_secs(1);

/// The purpose of a session.
const ANNOUNCE: &str = "publish announcements";

/// Publishes announcements until the last publisher is dropped.
pub(super) async fn serve(broker: BrokerConnection, mut line: mpsc::Receiver<PublishRequest>) {
    loop {
        let opening = broker.open_session(ANNOUNCE, async |open: OpenConnection| {
            Ok((queue_recovery::open_channel(&open).await?, open))
        });
        let (channel, open) = tokio::select! {
            opened = opening => opened,
            () = closed(&line) => return,
        };
        let wait = match announce_all(&channel, &broker, &open, &mut line).await {
            Err(error) if is_refusal(&error) => broker.sessions().refused(ANNOUNCE, &error),
            Err(error) => {
                warn!(%error, "publishing announcements was interrupted");
                broker.sessions().ended(ANNOUNCE)
            }
            Ok(()) if line.is_closed() => return,
            Ok(()) => broker.sessions().ended(ANNOUNCE),
        };
        broker.pause(&open, wait).await;
    }
}

/// Publishes announcements until the connection is lost or the last publisher is dropped.
async fn announce_all(
    channel: &Channel,
    broker: &BrokerConnection,
    open: &OpenConnection,
    line: &mut mpsc::Receiver<PublishRequest>,
) -> lapin::Result<()> {
    let mut is_proven = false;
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
        let publishing = async {
            publish(channel, &publication, false).await?;
            // Not confirmed, so a refusal is known by the response to another request.
            if is_proven { Ok(()) } else { topology::respond(channel).await }
        };
        match timeout(ANNOUNCE_WITHIN, publishing).await {
            Ok(Ok(())) => {
                if !std::mem::replace(&mut is_proven, true) {
                    broker.sessions().worked(ANNOUNCE);
                }
                let _ = done.send(Ok(()));
            }
            Ok(Err(error)) => {
                let _ = done.send(Err(unavailable("publish an announcement", error.clone())));
                return Err(error);
            }
            Err(_) => drop(done.send(Err(unavailable("publish an announcement", "the network stalls")))),
        }
    }
}
