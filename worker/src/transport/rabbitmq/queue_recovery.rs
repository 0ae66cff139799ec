//! Opens channels, and recreates queues of a single broker that exist but do not respond.
//!
//! A broker that is killed within about a second of a quorum queue's declaration can restart without the queue's
//! members (seen with RabbitMQ 3.10). Such a queue has no leader, also after another restart. It accepts and delivers
//! no messages, and a request to it blocks for a minute and ends the connection. It always looks empty, but so does a
//! healthy queue on a slow disk. So before a session uses the queues of a single broker, it sends a request to each that
//! looks empty, and a queue that does not respond fails the session.
//!
//! A queue is deleted and redeclared only if all of this holds:
//!
//! 1. it has not responded for [`RECREATE_AFTER`];
//! 2. `--broker` names one node: the queues of a cluster return with their nodes;
//! 3. the broker confirms a message to a new quorum queue, so its disk and memory are well;
//! 4. a second declaration still says that the queue is empty, and it still does not respond.
//!
//! Only one process does this at a time: the one that holds the lock, an exclusive queue that is deleted with its
//! connection. No upload is lost: before a process creates a queue of jobs that is missing, it asks for the pending uploads
//! of its lane to be posted again; see [`super::created`].
//!
//! The request to a queue that looks empty is `basic.get`. If it returns a message after all, the message is requeued,
//! and the broker counts a failed delivery. The queues of the lanes limit those, so instead consuming from them must
//! start in time.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::{StreamExt, stream};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, Consumer, Result,
    options::{
        BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions,
        QueueDeclareOptions, QueueDeleteOptions,
    },
    types::FieldTable,
};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    broker_connection::OpenConnection, connecting::connect, created, nodes::BrokerNodes,
    silent_queues::SilentQueues, topology,
};
use crate::{
    failpoint::{self, Hit},
    telemetry,
};

/// The time limit of a queue's response. It takes about a millisecond, and seconds while a broker starts and elects
/// leaders.
const RESPOND_WITHIN: Duration = Duration::from_secs(10);

/// How long a queue must have been silent before it is looked at again: a broker that has just started takes seconds for
/// its leaders. A disk may stall for longer, but then the broker confirms no message to a new queue either.
const RECREATE_AFTER: Duration = Duration::from_secs(10);

/// How often silent queues are looked for.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The time limit of deleting a queue that does not respond: the broker itself waits five seconds for it.
const DELETE_WITHIN: Duration = Duration::from_secs(20);

/// The time limit of closing a connection whose channels wait for a queue that does not respond.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

const LOCK_QUEUE: &str = "up.mending";

/// Opens a channel and declares exchanges and queues. On a single broker, checks that every queue except the lanes
/// responds.
pub(super) async fn open_channel(open: &OpenConnection) -> Result<Channel> {
    let (channel, empty) = declare(&open.connection, &open.silent, open.is_cluster).await?;
    if open.is_cluster {
        return Ok(channel);
    }
    for queue in empty.iter().filter(|queue| !topology::counts_deliveries(queue)) {
        if !responds(&channel, queue).await? {
            return Err(silent(open, queue));
        }
        open.silent.on_response(queue);
    }
    Ok(channel)
}

/// Declares exchanges and queues, on a new channel. Before queues of jobs are created, a server is told of it, unless
/// the broker is new. Returns the channel, and the queues that look empty.
async fn declare(
    connection: &Connection,
    silent: &SilentQueues,
    is_cluster: bool,
) -> Result<(Channel, Vec<String>)> {
    let mut creating = None;
    let mut missing = topology::missing(connection).await?;
    if !missing.is_empty() {
        // The other sessions of this process find them missing, too.
        creating = Some(silent.creating.lock().await);
        missing = topology::missing(connection).await?;
    }
    // The queue of the messages is created last. A process that has never seen it with the others begins with them.
    let is_new = !silent.have_existed.load(Ordering::Relaxed)
        && missing.iter().any(|queue| queue == topology::CREATED_QUEUE);
    let loses_jobs = missing.iter().any(|queue| !topology::lanes_of(queue).is_empty());
    // Before they are created: if this process dies in between, the next one finds them missing.
    if loses_jobs && !is_new && !created::tell(connection, &missing).await? {
        silent.on_silence(topology::CREATED_QUEUE);
        return Err(late(format!("the queue {} takes no message", topology::CREATED_QUEUE)));
    }
    let declared = declare_on_channel(connection, is_cluster).await?;
    silent.have_existed.store(true, Ordering::Relaxed);
    drop(creating);
    Ok(declared)
}

async fn declare_on_channel(connection: &Connection, is_cluster: bool) -> Result<(Channel, Vec<String>)> {
    if is_cluster {
        let channel = connection.create_channel().await?;
        if topology::declare_at_once(&channel).await.is_ok() {
            return Ok((channel, Vec::new()));
        }
        // One after the other, so that the error names the queue.
    }
    let channel = connection.create_channel().await?;
    let empty = topology::declare(&channel).await?;
    Ok((channel, empty))
}

/// Starts to consume from a queue on such a channel.
pub(super) async fn consume(open: &OpenConnection, channel: &Channel, queue: &str) -> Result<Consumer> {
    let options = BasicConsumeOptions::default();
    let consuming = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    match timeout(RESPOND_WITHIN, consuming).await {
        Ok(consumer) => {
            open.silent.on_response(queue);
            consumer
        }
        Err(_) => Err(silent(open, queue)),
    }
}

fn silent(open: &OpenConnection, queue: &str) -> lapin::Error {
    open.silent.on_silence(queue);
    late(format!("the queue {queue} does not respond"))
}

/// Recreates the queues of a single broker that have been silent for too long.
pub(super) async fn recreate_silent(nodes: &BrokerNodes, silent: &SilentQueues) {
    let mut queues = silent.silent_for(Duration::ZERO, Instant::now());
    if let Some(queue) = queues.first()
        && failpoint::hit("silent-queue", queue).await == Hit::Pass
    {
        queues = silent.silent_for(RECREATE_AFTER, Instant::now());
    }
    if queues.is_empty() {
        return;
    }
    // A connection of its own: one that publishes must not consume, and the broker closes it after a minute.
    let (_, uri) = nodes.current().await;
    let socket = Arc::default();
    let recreated = match connect(uri, "recreating queues", nodes.connect_within(), &socket).await {
        Ok(connection) => {
            let recreated = recreate(&connection, silent, &queues).await;
            let _ = timeout(CLOSE_WITHIN, connection.close(200, "finished".into())).await;
            socket.shut_down();
            recreated.map_err(Into::into)
        }
        Err(error) => Err(error),
    };
    match recreated {
        Ok(recreated) => {
            recreated.iter().for_each(|queue| silent.on_response(queue));
            telemetry::queues_recreated(recreated.len());
        }
        Err(error) => info!(%error, "queues do not respond and are not recreated yet"),
    }
}

/// Deletes and redeclares those of the queues that look empty and still do not respond. Returns their names.
async fn recreate(connection: &Connection, silent: &SilentQueues, queues: &[String]) -> Result<Vec<String>> {
    let channel = connection.create_channel().await?;
    let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(LOCK_QUEUE.into(), exclusive, FieldTable::default()).await?;
    match timeout(RESPOND_WITHIN, prove_well(connection)).await {
        Ok(well) => well?,
        Err(_) => return Err(late("the broker does not confirm a message to a new queue".to_owned())),
    }
    let delete = async |queue: &String| {
        // Each request uses its own channel, because it may block.
        let channel = connection.create_channel().await?;
        // Another process may have recreated it since.
        if topology::count(&channel, queue).await? > 0 || responds(&channel, queue).await? {
            silent.on_response(queue);
            return Ok(None);
        }
        warn!(queue, "a queue does not respond; it is deleted and redeclared");
        let channel = connection.create_channel().await?;
        let deleting = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default());
        let deleted = timeout(DELETE_WITHIN, deleting).await;
        let deleted = deleted.unwrap_or_else(|_| Err(late(format!("the broker does not delete {queue}"))));
        deleted.map(|_| Some(queue.clone()))
    };
    let deleted: Vec<Result<Option<String>>> =
        stream::iter(queues).map(delete).buffer_unordered(queues.len().max(1)).collect().await;
    let deleted: Result<Vec<_>> = deleted.into_iter().collect();
    declare(connection, silent, false).await?;
    Ok(deleted?.into_iter().flatten().collect())
}

/// Checks that the broker stores a message in a quorum queue: a new one, because an old one may be the trouble.
async fn prove_well(connection: &Connection) -> Result<()> {
    let channel = connection.create_channel().await?;
    let queue = format!("{}.{}", topology::PROBE_QUEUE, Uuid::now_v7().simple());
    topology::declare_probe(&channel, &queue).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let publishing = channel.basic_publish(
        "".into(),
        queue.as_str().into(),
        BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() },
        &[],
        BasicProperties::default(),
    );
    let confirmed = publishing.await?.await;
    channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
    match confirmed? {
        Confirmation::Ack(None) => Ok(()),
        _ => Err(late("the broker did not take a message to a new queue".to_owned())),
    }
}

/// Whether a queue responds in time.
async fn responds(channel: &Channel, queue: &str) -> Result<bool> {
    let asked = channel.basic_get(queue.into(), BasicGetOptions::default());
    match timeout(RESPOND_WITHIN, asked).await {
        Err(_) => Ok(false),
        Ok(got) => {
            // The queue was not empty any more.
            if let Some(message) = got? {
                message.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await?;
            }
            Ok(true)
        }
    }
}

fn late(what: String) -> lapin::Error {
    io::Error::new(io::ErrorKind::TimedOut, what).into()
}
