//! Listens to the reply exchange, with one queue for every session of a listener.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::StreamExt;
use lapin::{
    Channel, Consumer, message::Delivery as Message, options::BasicConsumeOptions, types::FieldTable,
};
use tokio::{task::JoinHandle, time::sleep};
use tracing::{debug, warn};
use uuid::Uuid;

use super::{
    RabbitShared,
    broker_connection::{BrokerConnection, OpenConnection},
    headers, queue_recovery, topology,
};
use crate::{
    contract::message::Changed,
    transport::{Announcements, ListenEvent},
};

/// The time limit to start listening. After it, the start continues in the background, and the listener first receives
/// an interruption.
const LISTEN_WITHIN: Duration = Duration::from_secs(5);

/// The purpose of a session.
const LISTEN: &str = "listen to the reply exchange";

pub(super) struct RabbitAnnouncements {
    shared: Arc<RabbitShared>,
    opening: Option<JoinHandle<ReplySession>>,
    session: Option<ReplySession>,
    /// Announcements may have been lost since the last session, or before the first.
    interrupted: bool,
}

struct ReplySession {
    // Kept, because dropping the last handle of a channel or connection closes it.
    _open: OpenConnection,
    _channel: Channel,
    replies: Consumer,
}

impl ReplySession {
    async fn open(broker: BrokerConnection) -> Self {
        broker.open_session(LISTEN, Self::on).await
    }

    async fn on(open: OpenConnection) -> lapin::Result<Self> {
        let channel = queue_recovery::open_channel(&open).await?;
        let queue = topology::declare_replies(&channel, &Uuid::now_v7().simple().to_string()).await?;
        debug!(queue, "listening to the reply exchange");
        // No acknowledgements: the queue is deleted with the session, and its length is bounded.
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let replies = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?;
        Ok(Self { _open: open, _channel: channel, replies })
    }
}

impl RabbitAnnouncements {
    /// Starts to listen, within [`LISTEN_WITHIN`] or in the background.
    pub(super) async fn new(shared: Arc<RabbitShared>) -> Self {
        let mut opening = tokio::spawn(ReplySession::open(shared.consuming.clone()));
        let opened = tokio::time::timeout(LISTEN_WITHIN, &mut opening).await;
        match opened {
            Ok(session) => {
                Self { shared, opening: None, interrupted: session.is_err(), session: session.ok() }
            }
            Err(_) => Self { shared, opening: Some(opening), session: None, interrupted: true },
        }
    }
}

impl Drop for RabbitAnnouncements {
    fn drop(&mut self) {
        if let Some(opening) = self.opening.take() {
            opening.abort();
        }
    }
}

#[async_trait]
impl Announcements for RabbitAnnouncements {
    async fn next(&mut self) -> Option<ListenEvent> {
        let closing = self.shared.closing.clone();
        loop {
            let Some(session) = &mut self.session else {
                let broker = self.shared.consuming.clone();
                let opening = self.opening.get_or_insert_with(|| tokio::spawn(ReplySession::open(broker)));
                tokio::select! {
                    biased;
                    () = closing.cancelled() => return None,
                    session = opening => self.session = session.ok(),
                }
                self.opening = None;
                continue;
            };
            if std::mem::take(&mut self.interrupted) {
                return Some(ListenEvent::Interrupted);
            }
            let reply = tokio::select! {
                biased;
                () = closing.cancelled() => return None,
                reply = session.replies.next() => reply,
            };
            match reply {
                Some(Ok(message)) => {
                    if let Some(event) = read(&message) {
                        return Some(event);
                    }
                }
                ended => {
                    if let Some(Err(error)) = ended {
                        warn!(%error, "listening to the reply exchange was interrupted");
                    }
                    self.session = None;
                    self.interrupted = true;
                    sleep(self.shared.consuming.sessions().ended(LISTEN)).await;
                }
            }
        }
    }
}

fn read(message: &Message) -> Option<ListenEvent> {
    match Changed::decode(&message.data) {
        Ok(changed) => Some(ListenEvent::Changed(Box::new(changed), headers::traceparent(message))),
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "an announcement cannot be read");
            None
        }
    }
}
