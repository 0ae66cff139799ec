//! Receives the messages about created queues, see [`super::created`]. Several processes may notice the same loss, so
//! they are gathered for a moment.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::StreamExt;
use lapin::{
    Channel, Consumer,
    message::Delivery as Message,
    options::{BasicAckOptions, BasicQosOptions},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tracing::warn;

use super::{
    RabbitShared,
    broker_connection::{BrokerConnection, OpenConnection},
    created, queue_recovery, topology,
};
use crate::{contract::record::Lane, transport::LostLanes};

/// How long messages are gathered after the first one: processes that lost the same broker return within seconds, and
/// those that find a queue missing at the same time do so within milliseconds.
const GATHER: Duration = Duration::from_secs(1);

/// The most messages that are gathered. A process publishes one for each time that it finds queues missing.
const GATHERED: u16 = 100;

/// The purpose of a session.
const HEAR: &str = "hear of created queues";

/// Receives the messages.
pub(super) struct RabbitLostLanes {
    shared: Arc<RabbitShared>,
    opening: Option<JoinHandle<CreatedSession>>,
    session: Option<CreatedSession>,
    /// Messages that are not acknowledged, and when the first of them came.
    held: Vec<Message>,
    since: Option<Instant>,
}

struct CreatedSession {
    // Kept, because dropping the last handle of a channel or connection closes it.
    _open: OpenConnection,
    _channel: Channel,
    messages: Consumer,
}

impl CreatedSession {
    async fn open(broker: BrokerConnection) -> Self {
        broker.open_session(HEAR, Self::on).await
    }

    async fn on(open: OpenConnection) -> lapin::Result<Self> {
        let channel = queue_recovery::open_channel(&open).await?;
        channel.basic_qos(GATHERED, BasicQosOptions::default()).await?;
        let messages = queue_recovery::consume(&open, &channel, topology::CREATED_QUEUE).await?;
        Ok(Self { _open: open, _channel: channel, messages })
    }
}

impl RabbitLostLanes {
    pub(super) fn new(shared: Arc<RabbitShared>) -> Self {
        Self { shared, opening: None, session: None, held: Vec::new(), since: None }
    }

    /// Ends the session: unacknowledged messages come again, here or at another server.
    async fn end_session(&mut self) {
        self.session = None;
        self.held.clear();
        self.since = None;
        sleep(self.shared.consuming.sessions().ended(HEAR)).await;
    }
}

impl Drop for RabbitLostLanes {
    fn drop(&mut self) {
        if let Some(opening) = self.opening.take() {
            opening.abort();
        }
    }
}

#[async_trait]
impl LostLanes for RabbitLostLanes {
    async fn next(&mut self) -> Vec<Lane> {
        loop {
            let Some(session) = &mut self.session else {
                let broker = self.shared.consuming.clone();
                let opening = self.opening.get_or_insert_with(|| tokio::spawn(CreatedSession::open(broker)));
                self.session = opening.await.ok();
                self.opening = None;
                continue;
            };
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
                    self.end_session().await;
                }
            }
        }
    }

    async fn settle(&mut self, posted: bool) {
        if !posted {
            return self.end_session().await;
        }
        self.since = None;
        for message in self.held.drain(..) {
            // One that is not acknowledged comes again, which does no harm.
            let _ = message.ack(BasicAckOptions::default()).await;
        }
    }
}
