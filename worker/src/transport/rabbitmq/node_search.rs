//! Looks for a node of a cluster that does its work, at all nodes at once.
//!
//! A node that is cut off or frozen takes connections, and a healthy one does no work until the cluster has agreed to go on
//! without a lost leader. One after the other, a process might be at the wrong node whenever the right one recovers. So
//! it asks all of them, and the first one that proves itself is used: it declares a queue, for which the nodes must agree,
//! and stores a message in a quorum queue.

use std::{
    error::Error,
    io,
    sync::{Arc, Weak},
    time::Duration,
};

use futures::{StreamExt, future::select_all, stream::FuturesUnordered};
use lapin::{
    Confirmation, Connection,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::FieldTable,
    uri::AMQPUri,
};
use tokio::time::{Instant, interval, sleep, timeout};
use tracing::{debug, info};
use uuid::Uuid;

use super::{
    connecting::{Socket, connect},
    headers,
    nodes::BrokerNodes,
    sessions::Backoff,
    topology,
};

/// The pause between two tries of a proof, which takes some tens of milliseconds. A node answers a request that it sent to a
/// lost leader only after many seconds, but a new request reaches the new leader. Earlier tries go on: a slow cluster
/// needs longer.
const TRY_EVERY: Duration = Duration::from_millis(400);

/// The longest search. Then the connections try the next node, so that the log and readiness tell why it cannot be used,
/// and a slow cluster is used, too.
const SEARCH_WITHIN: Duration = Duration::from_secs(10);

/// The longest pause between two connections to a node.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A random wait before each node, so that the processes of a lost node spread over the others.
const SPREAD: Duration = Duration::from_millis(200);

/// The time limit of closing the connection to a node.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Looks for a node whenever this process has left one. Ends when the nodes are dropped.
pub(super) async fn run(nodes: Weak<BrokerNodes>) {
    let Some((mut places, uris, within)) =
        nodes.upgrade().map(|nodes| (nodes.places(), nodes.uris().to_vec(), nodes.connect_within()))
    else {
        return;
    };
    let mut backoffs: Vec<_> = uris.iter().map(|_| Backoff::new(LONGEST_PAUSE)).collect();
    while places.wait_for(|place| place.is_left()).await.is_ok() {
        let searches =
            uris.iter().zip(&mut backoffs).map(|(uri, backoff)| Box::pin(search(uri, within, backoff)));
        let found = timeout(SEARCH_WITHIN, select_all(searches)).await.ok().map(|((), node, _others)| node);
        if let Some(node) = found {
            backoffs[node].opened(Instant::now());
            info!(
                host = uris[node].authority.host,
                port = uris[node].authority.port,
                "found a node that does its work"
            );
        }
        let Some(nodes) = nodes.upgrade() else { return };
        nodes.go_to(found);
    }
}

/// Waits until a node has proved that it does its work.
async fn search(uri: &AMQPUri, within: Duration, backoff: &mut Backoff) {
    sleep(SPREAD.mul_f64(rand::random())).await;
    loop {
        match prove(uri, within).await {
            Ok(()) => return,
            Err(error) => debug!(port = uri.authority.port, error, "a node does not do its work"),
        }
        sleep(backoff.failed(Instant::now()).wait).await;
    }
}

async fn prove(uri: &AMQPUri, within: Duration) -> Result<(), Box<dyn Error + Send + Sync>> {
    let socket = Arc::<Socket>::default();
    let connection = connect(uri, "looking for a node", within, &socket).await?;
    let connection = Arc::new(connection);
    let (mut tries, mut ticks) = (FuturesUnordered::new(), interval(TRY_EVERY));
    loop {
        tokio::select! {
            _ = ticks.tick() => tries.push(work(&connection)),
            Some(tried) = tries.next() => match tried {
                Ok(()) => break,
                Err(error) if !connection.status().connected() => return Err(error.into()),
                // The next try may succeed.
                Err(error) => debug!(port = uri.authority.port, %error, "a node does not do its work yet"),
            },
        }
    }
    drop(tries);
    tokio::spawn(async move {
        let _ = timeout(CLOSE_WITHIN, connection.close(200, "finished".into())).await;
        socket.shut_down();
    });
    Ok(())
}

/// Lets the node declare a queue and store a message.
async fn work(connection: &Connection) -> lapin::Result<()> {
    let declaring = async {
        let channel = connection.create_channel().await?;
        let own = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let queue = format!("{}.{}", topology::PROBE_QUEUE, Uuid::now_v7().simple());
        // It is deleted with the connection.
        channel.queue_declare(queue.into(), own, FieldTable::default()).await.map(drop)
    };
    tokio::try_join!(declaring, store(connection)).map(drop)
}

async fn store(connection: &Connection) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    topology::declare_probe(&channel, topology::PROBE_QUEUE).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let queue = topology::PROBE_QUEUE.into();
    match channel.basic_publish("".into(), queue, options, &[], headers::probe_properties()).await?.await? {
        Confirmation::Ack(None) => Ok(()),
        _ => Err(io::Error::other("the node did not take a message").into()),
    }
}
