//! A cluster of three nodes on one host. Each reaches each other one through a proxy, so that the network between them
//! can be cut while their clients still reach all of them.

use std::{env, time::Duration};

use tokio::time::sleep;

use super::{
    Release, Vhost,
    node::{Membership, Node, free_ports, name},
};
use crate::{
    patience::eventually,
    proxy::{Network, Proxy},
};

/// The number of nodes: the fewest of which one may fail.
pub const NODES: usize = 3;

/// How long nodes take to find each other at most.
const JOINED: Duration = Duration::from_secs(90);

/// How long connections take to be closed.
const CLOSED: Duration = Duration::from_millis(100);

/// Three nodes.
pub struct Cluster {
    /// The nodes, in the order of their start.
    pub nodes: [Node; NODES],
    /// How each node reaches each other one: from, to, proxy.
    links: Vec<(usize, usize, Proxy)>,
}

impl Cluster {
    /// Starts one of the chosen release and waits until its nodes have found each other.
    pub async fn start() -> Self {
        Self::of(Release::chosen()).await
    }

    /// Starts one of this release and waits until its nodes have found each other.
    ///
    /// # Panics
    /// When a node does not start.
    pub async fn of(release: Release) -> Self {
        let ports: [[u16; 4]; NODES] = {
            let flat: [u16; 4 * NODES] = free_ports();
            std::array::from_fn(|node| std::array::from_fn(|kind| flat[4 * node + kind]))
        };
        let names = ports.map(|[amqp, ..]| name(amqp));
        let mut links = Vec::new();
        for from in 0..NODES {
            for to in (0..NODES).filter(|to| *to != from) {
                links.push((from, to, Proxy::to(ports[to][3]).await));
            }
        }
        let mut nodes = std::array::from_fn(|node| {
            let others = links.iter().filter(|(from, ..)| *from == node);
            let others = others.map(|(_, to, proxy)| (names[*to].clone(), proxy.port)).collect();
            // The second and the third join the first. A minority pauses, and a node that is cut off is missed within
            // seconds, as operators are told to have it.
            let tick = env::var("UP_TEST_NET_TICKTIME").unwrap_or_else(|_| "4".to_owned());
            let mut configuration = format!(
                "cluster_partition_handling = pause_minority\nnet_ticktime = {tick}\n\
                 cluster_formation.peer_discovery_backend = classic_config\n"
            );
            for (number, peer) in [0, node].into_iter().take(if node == 0 { 0 } else { 2 }).enumerate() {
                let number = number + 1;
                let line =
                    format!("cluster_formation.classic_config.nodes.{number} = {}@localhost\n", names[peer]);
                configuration.push_str(&line);
            }
            Node::prepare(release.clone(), ports[node], Membership { others, configuration })
        });
        nodes[0].run().await;
        for node in &mut nodes[1..] {
            // One after the other: two that join at once wait for each other's lock.
            node.run().await;
        }
        let cluster = Self { nodes, links };
        cluster.is_whole().await;
        cluster.nodes[0].enable_khepri();
        cluster
    }

    /// Waits until every node says that all run.
    pub async fn is_whole(&self) {
        for node in &self.nodes {
            let management = node.management();
            eventually("the nodes of the cluster find each other", JOINED, async || {
                let listed = management.try_get("nodes").await?;
                let running = listed.as_array()?.iter().filter(|node| {
                    node["running"] == true && node["partitions"].as_array().is_none_or(Vec::is_empty)
                });
                (running.count() == NODES).then_some(())
            })
            .await;
        }
    }

    /// A vhost on it.
    pub async fn vhost(&self) -> Vhost {
        self.nodes[0].vhost().await
    }

    /// The URLs of a vhost at all nodes, as `--broker` takes them.
    #[must_use]
    pub fn urls(&self, vhost: &Vhost) -> String {
        self.nodes.each_ref().map(|node| vhost.url_on(node.amqp)).join(",")
    }

    /// The node that leads a quorum queue.
    ///
    /// # Panics
    /// When the queue has no leader.
    pub async fn leader(&self, vhost: &Vhost, queue: &str) -> usize {
        self.place(vhost, queue, "leader").await
    }

    /// The node that holds a classic queue.
    ///
    /// # Panics
    /// When there is no such queue.
    pub async fn node_of(&self, vhost: &Vhost, queue: &str) -> usize {
        self.place(vhost, queue, "node").await
    }

    async fn place(&self, vhost: &Vhost, queue: &str, field: &str) -> usize {
        eventually("the queue has a node", JOINED, async || {
            for node in self.nodes.iter().filter(|node| node.runs()) {
                let path = format!("queues/{}/{queue}", vhost.name);
                if let Some(shown) = node.management().try_get(&path).await
                    && let Some((name, _host)) = shown[field].as_str().and_then(|node| node.split_once('@'))
                {
                    return self.nodes.iter().position(|node| node.name == name);
                }
            }
            None
        })
        .await
    }

    /// Cuts a node off from the others. Clients still reach it.
    pub fn cut_off(&self, node: usize) {
        for (_, _, proxy) in self.links.iter().filter(|(from, to, _)| *from == node || *to == node) {
            proxy.set(Network::BlackHole);
        }
    }

    /// Ends [`cut_off`](Self::cut_off). Connections between nodes that lost bytes meanwhile are closed.
    pub async fn mend(&self) {
        let cut: Vec<_> =
            self.links.iter().filter(|(.., proxy)| proxy.network() != Network::Passes).collect();
        // Closed before the first is restored: a network that returns in parts is another fault.
        for (.., proxy) in &cut {
            proxy.set(Network::AcceptsThenDrops);
        }
        sleep(CLOSED).await;
        for (.., proxy) in cut {
            proxy.set(Network::Passes);
        }
    }
}
