//! The reply exchange: one expiring queue for every listener.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::StreamExt;
use lapin::{
    Channel, Consumer,
    message::Delivery as Message,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::{task::JoinHandle, time::sleep};
use tracing::{debug, warn};
use uuid::Uuid;

use super::{
    Shared,
    link::{AFTER_ERROR, Link, Up},
    stuck, topology, wire,
};
use crate::{
    Announcement,
    transport::{Announcements, Heard},
};

/// Announcements that are on their way to a listener at once.
const PREFETCH: u16 = 256;

/// How long listening may take to begin before the listener is told later that it was interrupted.
const LISTEN_WITHIN: Duration = Duration::from_secs(5);

pub(super) struct Listener {
    shared: Arc<Shared>,
    instance: String,
    opening: Option<JoinHandle<Session>>,
    session: Option<Session>,
    /// Something may have been missed since the last session, or before the first.
    interrupted: bool,
}

struct Session {
    // Kept, since the last handle of a channel or connection closes it.
    _up: Up,
    _channel: Channel,
    replies: Consumer,
}

impl Session {
    async fn open(link: Link, instance: String) -> Self {
        link.open("listen to the reply exchange", |up| Self::on(up, &instance)).await
    }

    async fn on(up: Up, instance: &str) -> lapin::Result<Self> {
        let channel = stuck::channel(&up).await?;
        let queue = topology::declare_replies(&channel, instance).await?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        let replies = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?;
        debug!(instance, "listening to the reply exchange");
        Ok(Self { _up: up, _channel: channel, replies })
    }
}

impl Listener {
    /// Begins to listen. Should that take too long, it goes on in the background, and the listener hears of an
    /// interruption first.
    pub(super) async fn new(shared: Arc<Shared>) -> Self {
        let instance = Uuid::now_v7().simple().to_string();
        let mut opening = tokio::spawn(Session::open(shared.taking.clone(), instance.clone()));
        let opened = tokio::time::timeout(LISTEN_WITHIN, &mut opening).await;
        match opened {
            Ok(session) => {
                Self { shared, instance, opening: None, interrupted: session.is_err(), session: session.ok() }
            }
            Err(_) => Self { shared, instance, opening: Some(opening), session: None, interrupted: true },
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(opening) = self.opening.take() {
            opening.abort();
        }
    }
}

#[async_trait]
impl Announcements for Listener {
    async fn next(&mut self) -> Option<Heard> {
        let closing = self.shared.closing.clone();
        loop {
            let Some(session) = &mut self.session else {
                let (link, instance) = (self.shared.taking.clone(), self.instance.clone());
                let opening = self.opening.get_or_insert_with(|| tokio::spawn(Session::open(link, instance)));
                tokio::select! {
                    biased;
                    () = closing.cancelled() => return None,
                    session = opening => self.session = session.ok(),
                }
                self.opening = None;
                continue;
            };
            if std::mem::take(&mut self.interrupted) {
                return Some(Heard::Interrupted);
            }
            let reply = tokio::select! {
                biased;
                () = closing.cancelled() => return None,
                reply = session.replies.next() => reply,
            };
            match reply {
                Some(Ok(message)) => {
                    if let Some(heard) = read(&message) {
                        acknowledge(message);
                        return Some(heard);
                    }
                    acknowledge(message);
                }
                ended => {
                    if let Some(Err(error)) = ended {
                        warn!(%error, "listening to the reply exchange was interrupted");
                    }
                    self.session = None;
                    self.interrupted = true;
                    sleep(AFTER_ERROR).await;
                }
            }
        }
    }
}

/// On a task of its own, so that dropping the future that waits for a reply loses none.
fn acknowledge(message: Message) {
    tokio::spawn(async move {
        let _ = message.ack(BasicAckOptions::default()).await;
    });
}

fn read(message: &Message) -> Option<Heard> {
    match Announcement::decode(&message.data) {
        Ok(announcement) => Some(Heard::Announcement(announcement, wire::traceparent(message))),
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "an announcement cannot be read");
            None
        }
    }
}
