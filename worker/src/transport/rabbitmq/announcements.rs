//! Listens to the reply exchange, with one queue for every session of a listener.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::StreamExt;
use lapin::{
    Channel, Consumer, message::Delivery as Message, options::BasicConsumeOptions, types::FieldTable,
};
use tracing::{debug, warn};
use uuid::Uuid;

use super::{
    RabbitShared,
    background_session::{BackgroundSession, Session},
    broker_connection::OpenConnection,
    headers, queue_recovery, topology,
};
use crate::{
    contract::message::Changed,
    transport::{Announcements, ListenEvent},
};

/// The time limit to start listening. After it, the start continues in the background, and the listener first receives
/// an interruption.
const LISTEN_WITHIN: Duration = Duration::from_secs(5);

/// How often a listener is told that it hears nothing, for as long as that lasts. A server reads storage then, so that
/// its clients wait for a broken broker no longer than this.
const DEAF_FOR: Duration = Duration::from_secs(2);

pub(super) struct RabbitAnnouncements {
    shared: Arc<RabbitShared>,
    sessions: BackgroundSession<ReplySession>,
    /// Announcements may have been lost since the last session, or before the first.
    interrupted: bool,
}

struct ReplySession {
    // Kept, because dropping the last handle of a channel or connection closes it.
    open: OpenConnection,
    _channel: Channel,
    replies: Consumer,
}

impl Session for ReplySession {
    const PURPOSE: &'static str = "listen to the reply exchange";

    type Settings = ();

    async fn open(open: OpenConnection, _settings: ()) -> lapin::Result<Self> {
        let channel = queue_recovery::open_channel(&open).await?;
        let queue = topology::declare_replies(&channel, &Uuid::now_v7().simple().to_string()).await?;
        debug!(queue, "listening to the reply exchange");
        // No acknowledgements: the queue is deleted with the session, and its length is bounded.
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let replies = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?;
        Ok(Self { open, _channel: channel, replies })
    }

    fn connection(&self) -> &OpenConnection {
        &self.open
    }
}

impl RabbitAnnouncements {
    /// Starts to listen, within [`LISTEN_WITHIN`] or in the background.
    pub(super) async fn new(shared: Arc<RabbitShared>) -> Self {
        let mut sessions = BackgroundSession::new(shared.consuming.clone(), ());
        let interrupted = tokio::time::timeout(LISTEN_WITHIN, sessions.wait_open()).await.is_err();
        Self { shared, sessions, interrupted }
    }
}

#[async_trait]
impl Announcements for RabbitAnnouncements {
    async fn next(&mut self) -> Option<ListenEvent> {
        let closing = self.shared.closing.clone();
        loop {
            let session = tokio::select! {
                biased;
                () = closing.cancelled() => return None,
                session = self.sessions.wait_open() => session,
                () = tokio::time::sleep(DEAF_FOR) => {
                    self.interrupted = true;
                    return Some(ListenEvent::Deaf);
                }
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
                    self.sessions.end();
                    self.interrupted = true;
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
