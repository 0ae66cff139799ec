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

/// The nodes of a broker, in random order.
pub(super) struct BrokerNodes {
    uris: Vec<AMQPUri>,
    place: watch::Sender<Place>,
}

/// Where this process is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// How often it has left a node.
    turn: usize,
    /// The node that it used last, or uses.
    node: usize,
    /// It has left that node, and another is looked for.
    is_left: bool,
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
        Ok(Self { uris, place: watch::Sender::new(Place { turn: 0, node: 0, is_left: false }) })
    }

    /// All nodes.
    pub(super) fn uris(&self) -> &[AMQPUri] {
        &self.uris
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

    /// The turn, and its node. Waits while one is looked for.
    pub(super) async fn current(&self) -> (usize, &AMQPUri) {
        let mut places = self.place.subscribe();
        // The sender is a part of `self`, so waiting cannot fail.
        let place =
            places.wait_for(|place| !place.is_left).await.map_or(*self.place.borrow(), |place| *place);
        (place.turn, &self.uris[place.node])
    }

    /// Leaves the node of this turn, unless the other connection has done so already. In a cluster, another one is then
    /// looked for.
    pub(super) fn leave(&self, turn: usize) {
        let is_cluster = self.is_cluster();
        self.place.send_if_modified(|place| {
            let goes_on = is_cluster && place.turn == turn;
            if goes_on {
                *place = Place { turn: turn + 1, is_left: true, ..*place };
            }
            goes_on
        });
    }

    /// Goes to a node that was found, or to the next one if none was.
    pub(super) fn go_to(&self, found: Option<usize>) {
        self.place.send_modify(|place| {
            place.node = found.unwrap_or((place.node + 1) % self.uris.len());
            place.is_left = false;
        });
    }

    /// Tells when a node is left.
    pub(super) fn places(&self) -> watch::Receiver<Place> {
        self.place.subscribe()
    }

    /// Waits until this process has left the node of this turn.
    pub(super) async fn left(&self, turn: usize) {
        // The sender is a part of `self`, so waiting cannot fail.
        let _ = self.place.subscribe().wait_for(|place| place.turn != turn).await;
    }
}

impl Place {
    pub(super) const fn is_left(&self) -> bool {
        self.is_left
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_node_that_was_left_is_replaced_by_the_one_that_was_found_or_by_the_next() {
        let nodes = BrokerNodes::parse("amqp://a,amqp://b,amqp://c").unwrap();
        let (turn, first) = nodes.current().await;
        nodes.leave(turn);
        assert!(nodes.current().now_or_never().is_none(), "one is looked for");
        nodes.leave(turn);
        nodes.left(turn).await;
        nodes.go_to(None);
        let (turn, second) = nodes.current().await;
        assert_ne!(first, second);
        nodes.leave(turn);
        nodes.go_to(Some(0));
        assert_eq!(nodes.current().await, (turn + 1, first));
    }

    #[tokio::test]
    async fn the_only_node_is_never_left() {
        let nodes = BrokerNodes::parse("amqp://a").unwrap();
        let (turn, _) = nodes.current().await;
        nodes.leave(turn);
        assert_eq!(nodes.current().await.0, turn);
    }
}
