//! Recreates queues that exist but do not respond.
//!
//! A broker that is killed within about a second of a quorum queue's declaration can restart without the queue's
//! members (seen with RabbitMQ 3.10). Such a queue has no leader, also after another restart. It accepts and delivers
//! no messages, and a request to it blocks for a minute and ends the connection. It always looks empty. So before a
//! session uses the queues it sends a request to each, and a queue that does not respond is deleted and redeclared. No
//! upload is lost: pending uploads are posted again from storage. Dead letters in that queue disappear from the
//! operators' list, but their uploads are `failed` and can be retried.
//!
//! The request to a queue that looks empty is `basic.get`. If it returns a message after all, the message is requeued,
//! and the broker counts a failed delivery. The queues of the lanes limit those, so instead consuming from them must
//! start in time.
//!
//! Only one process repeats the request and deletes queues: the one that holds the lock, an exclusive queue that is
//! deleted with its connection. It also sends the request to the lanes.

use std::{io, time::Duration};

use futures::{StreamExt, stream};
use lapin::{
    Channel, Connection, Consumer, Result,
    options::{
        BasicConsumeOptions, BasicGetOptions, BasicNackOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::FieldTable,
};
use tokio::time::timeout;
use tracing::warn;

use super::{broker_connection::OpenConnection, topology};

/// The time limit of a queue's response. It takes about a millisecond, and seconds while a broker starts and elects
/// leaders.
const RESPOND_WITHIN: Duration = Duration::from_secs(10);

/// The time limit of deleting a queue that does not respond: the broker itself waits five seconds for it.
const DELETE_WITHIN: Duration = Duration::from_secs(20);

/// The time limit of closing a connection whose channels wait for a queue that does not respond.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

const LOCK_QUEUE: &str = "up.mending";

/// Opens a channel, declares exchanges and queues, and checks that every queue except the lanes responds.
pub(super) async fn open_channel(open: &OpenConnection) -> Result<Channel> {
    let channel = open.connection.create_channel().await?;
    let empty = topology::declare(&channel).await?;
    for queue in empty.iter().filter(|queue| !topology::counts_deliveries(queue)) {
        if !responds(&channel, queue).await? {
            return Err(recover(&open.connection, queue).await);
        }
    }
    Ok(channel)
}

/// Starts to consume from a queue on such a channel.
pub(super) async fn consume(open: &OpenConnection, channel: &Channel, queue: &str) -> Result<Consumer> {
    let options = BasicConsumeOptions::default();
    let consuming = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    match timeout(RESPOND_WITHIN, consuming).await {
        Ok(consumer) => consumer,
        Err(_) => Err(recover(&open.connection, queue).await),
    }
}

/// Recreates queues and closes the connection on which a queue did not respond. Returns the error that ends the
/// session.
async fn recover(connection: &Connection, queue: &str) -> lapin::Error {
    warn!(queue, "a queue does not respond");
    let deleted = delete_unresponsive(connection).await;
    // The broker would close it within a minute, in the middle of other work.
    let _ = timeout(CLOSE_WITHIN, connection.close(320, "a queue does not respond".into())).await;
    deleted.err().unwrap_or_else(|| late(format!("the queue {queue} does not respond")))
}

/// Deletes the queues that look empty and do not respond.
async fn delete_unresponsive(connection: &Connection) -> Result<()> {
    let channel = connection.create_channel().await?;
    let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(LOCK_QUEUE.into(), exclusive, FieldTable::default()).await?;
    // Another process may have recreated them since.
    let empty = topology::declare(&channel).await?;
    let delete = async |queue: &String| {
        // Each request uses its own channel, because it may block.
        if responds(&connection.create_channel().await?, queue).await? {
            return Ok(());
        }
        warn!(queue, "a queue does not respond; it is deleted and redeclared");
        let channel = connection.create_channel().await?;
        let deleting = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default());
        let deleted = timeout(DELETE_WITHIN, deleting).await;
        deleted.unwrap_or_else(|_| Err(late(format!("the broker does not delete {queue}")))).map(drop)
    };
    let deleted: Vec<Result<()>> =
        stream::iter(&empty).map(delete).buffer_unordered(empty.len().max(1)).collect().await;
    deleted.into_iter().collect()
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
