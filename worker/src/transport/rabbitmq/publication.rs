//! A message to publish, on its way from a caller to the task that publishes it.

use std::time::Duration;

use lapin::{BasicProperties, Channel, options::BasicPublishOptions};
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};

use crate::transport::TransportError;

/// How often a publisher without a connection looks whether it is still needed.
const CLOSED_POLL: Duration = Duration::from_millis(200);

/// A message, its exchange and its routing key.
pub(super) struct Publication {
    pub(super) exchange: &'static str,
    pub(super) key: String,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
}

/// A message to publish, and the channel for its outcome.
pub(super) struct PublishRequest {
    pub(super) publication: Publication,
    pub(super) done: oneshot::Sender<Result<(), TransportError>>,
}

/// Waits until the last publisher is dropped.
pub(super) async fn closed(line: &mpsc::Receiver<PublishRequest>) {
    while !(line.is_closed() && line.is_empty()) {
        sleep(CLOSED_POLL).await;
    }
}

/// Writes a message. The returned future resolves to its confirm.
pub(super) async fn publish(
    channel: &Channel,
    publication: &Publication,
    mandatory: bool,
) -> lapin::Result<lapin::PublisherConfirm> {
    let options = BasicPublishOptions { mandatory, ..BasicPublishOptions::default() };
    let (exchange, key) = (publication.exchange.into(), publication.key.as_str().into());
    let properties = publication.properties.clone();
    channel.basic_publish(exchange, key, options, &publication.body, properties).await
}
