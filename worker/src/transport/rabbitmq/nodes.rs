//! The nodes of a broker, and the one that this process uses. Both connections of a process go to the same node, so that
//! the connection that publishes can judge it for both.

use std::time::Duration;

use lapin::uri::AMQPUri;
use rand::seq::SliceRandom;
use tokio::sync::watch;

use super::BadAmqpUrl;
use crate::transport::broker_url::amqp_urls;

/// The time limits of connecting, handshake included; lapin has none. In a cluster another node is tried soon.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const CONNECT_WITHIN_CLUSTER: Duration = Duration::from_secs(3);

/// The nodes of a broker, in the random order in which they are tried.
pub(super) struct BrokerNodes {
    uris: Vec<AMQPUri>,
    /// How often this process went on to the next node.
    turn: watch::Sender<usize>,
}

impl BrokerNodes {
    /// Reads a list of URLs.
    pub(super) fn parse(urls: &str) -> Result<Self, BadAmqpUrl> {
        let uris: Result<Vec<AMQPUri>, _> = amqp_urls(urls).map(str::parse).collect();
        let mut uris = uris.map_err(|_| BadAmqpUrl)?;
        if uris.is_empty() {
            return Err(BadAmqpUrl);
        }
        uris.shuffle(&mut rand::rng());
        Ok(Self { uris, turn: watch::Sender::new(0) })
    }

    /// The number of nodes.
    pub(super) const fn count(&self) -> usize {
        self.uris.len()
    }

    /// Whether there is another node to go to.
    pub(super) const fn is_cluster(&self) -> bool {
        self.uris.len() > 1
    }

    pub(super) const fn connect_within(&self) -> Duration {
        if self.is_cluster() { CONNECT_WITHIN_CLUSTER } else { CONNECT_WITHIN }
    }

    /// The turn, and the node whose turn it is.
    pub(super) fn current(&self) -> (usize, &AMQPUri) {
        let turn = *self.turn.borrow();
        (turn, &self.uris[turn % self.uris.len()])
    }

    /// Goes on to the next node, unless the other connection has done so already.
    pub(super) fn leave(&self, turn: usize) {
        let is_cluster = self.is_cluster();
        self.turn.send_if_modified(|current| {
            let goes_on = is_cluster && *current == turn;
            *current += usize::from(goes_on);
            goes_on
        });
    }

    /// Waits until this process has left the node of this turn.
    pub(super) async fn left(&self, turn: usize) {
        // The sender is a part of `self`, so waiting cannot fail.
        let _ = self.turn.subscribe().wait_for(|current| *current != turn).await;
    }
}
