//! Receives the messages about created queues, see [`super::created`]. Several processes may notice the same loss, so
//! they are gathered for a moment.

use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use lapin::{
    Channel, Consumer,
    message::Delivery as Message,
    options::{BasicAckOptions, BasicQosOptions},
};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::{
    RabbitShared,
    background_session::{BackgroundSession, Session},
    broker_connection::OpenConnection,
    created, queue_recovery, topology,
};
use crate::{contract::record::Lane, transport::LostLanes};

/// How long messages are gathered after the first one: processes that lost the same broker return within seconds, and
/// those that find a queue missing at the same time do so within milliseconds.
const GATHER: Duration = Duration::from_secs(1);

/// The most messages that are gathered. A process publishes one for each time that it finds queues missing.
const GATHERED: u16 = 100;

/// Receives the messages.
pub(super) struct RabbitLostLanes {
    sessions: BackgroundSession<CreatedSession>,
    /// Messages that are not acknowledged, and when the first of them came.
    held: Vec<Message>,
    since: Option<Instant>,
}

struct CreatedSession {
    // Kept, because dropping the last handle of a channel or connection closes it.
    open: OpenConnection,
    _channel: Channel,
    messages: Consumer,
}

impl Session for CreatedSession {
    const PURPOSE: &'static str = "hear of created queues";

    type Settings = ();

    async fn open(open: OpenConnection, _settings: ()) -> lapin::Result<Self> {
        let channel = queue_recovery::open_channel(&open).await?;
        channel.basic_qos(GATHERED, BasicQosOptions::default()).await?;
        let messages = queue_recovery::consume(&open, &channel, topology::CREATED_QUEUE).await?;
        Ok(Self { open, _channel: channel, messages })
    }

    fn connection(&self) -> &OpenConnection {
        &self.open
    }
}

impl RabbitLostLanes {
    pub(super) fn new(shared: &RabbitShared) -> Self {
        let sessions = BackgroundSession::new(shared.consuming.clone(), ());
        Self { sessions, held: Vec::new(), since: None }
    }

    /// Ends the session: unacknowledged messages come again, here or at another server.
    fn end_session(&mut self) {
        self.sessions.end();
        self.held.clear();
        self.since = None;
    }
}

#[async_trait]
impl LostLanes for RabbitLostLanes {
    async fn next(&mut self) -> Vec<Lane> {
        loop {
            let session = self.sessions.wait_open().await;
            let gathered = self.since.map(|since| since + GATHER);
            let message = tokio::select! {
                message = session.messages.next() => message,
                () = sleep_until(gathered.unwrap_or_else(Instant::now)), if gathered.is_some() => {
                    return self.held.iter().flat_map(|message| created::lanes(&message.data)).collect();
                }
            };
            match message {
                Some(Ok(message)) => {
                    self.since.get_or_insert_with(Instant::now);
                    self.held.push(message);
                }
                ended => {
                    if let Some(Err(error)) = ended {
                        warn!(%error, "hearing of created queues was interrupted");
                    }
                    self.end_session();
                }
            }
        }
    }

    async fn settle(&mut self, posted: bool) {
        if !posted {
            self.end_session();
            return;
        }
        self.since = None;
        for message in self.held.drain(..) {
            // One that is not acknowledged comes again, which does no harm.
            let _ = message.ack(BasicAckOptions::default()).await;
        }
    }
}
