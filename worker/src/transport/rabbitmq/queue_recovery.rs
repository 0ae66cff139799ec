//! Queues that are there and do not work.
//!
//! A broker that is killed within about a second of a quorum queue's declaration can come back without the queue's
//! members (seen with RabbitMQ 3.10): the queue has no leader, gets none by a restart either, takes no message and hands
//! none out, and whoever asks it for something waits for a minute and loses the connection. It always looks empty. So
//! before a session relies on queues they have to answer a question, and what does not answer is deleted, to be declared
//! anew. No upload is lost by that: what was accepted and has not ended is found in storage and posted again. Dead letters
//! that rested there would be gone from the list of operators; their uploads say `failed` all the same, and can be
//! retried.
//!
//! The question to a queue that looks empty is to get a message. Should there be one after all, it is given back, and
//! that counts as a delivery that came to nothing. So the queues of the lanes, which allow few of those, are not asked
//! but consumed from, which has to begin in time.
//!
//! Of all that meet such a queue one asks again and deletes: who holds the lock, an exclusive queue, which goes with its
//! connection. It asks the lanes too.

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

/// How long a queue may take to answer: it takes about a millisecond, and seconds while a broker starts and elects
/// leaders.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long the broker may take to delete a queue that does not answer: it gives the queue five seconds first.
const DELETE_WITHIN: Duration = Duration::from_secs(20);

/// How long to wait for the end of a connection whose channels wait for a queue that does not answer.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

const LOCK_QUEUE: &str = "up.mending";

/// A channel on which everything that messages travel by is declared, and answers, the lanes excepted.
pub(super) async fn open_channel(open: &OpenConnection) -> Result<Channel> {
    let channel = open.connection.create_channel().await?;
    let empty = topology::declare(&channel).await?;
    for queue in empty.iter().filter(|queue| !topology::counts_deliveries(queue)) {
        if !answers(&channel, queue).await? {
            return Err(mended(&open.connection, queue).await);
        }
    }
    Ok(channel)
}

/// Begins to consume from a queue on such a channel.
pub(super) async fn consume(open: &OpenConnection, channel: &Channel, queue: &str) -> Result<Consumer> {
    let options = BasicConsumeOptions::default();
    let consuming = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    match timeout(ANSWER_WITHIN, consuming).await {
        Ok(consumer) => consumer,
        Err(_) => Err(mended(&open.connection, queue).await),
    }
}

/// Mends, and gives up the connection on which a queue did not answer. Answers what the session ends with.
async fn mended(connection: &Connection, queue: &str) -> lapin::Error {
    warn!(queue, "a queue does not answer");
    let mended = mend(connection).await;
    // The broker would end it within a minute, in the middle of something.
    let _ = timeout(CLOSE_WITHIN, connection.close(320, "a queue does not answer".into())).await;
    mended.err().unwrap_or_else(|| late(format!("the queue {queue} does not answer")))
}

/// Deletes the queues that look empty and do not answer.
async fn mend(connection: &Connection) -> Result<()> {
    let channel = connection.create_channel().await?;
    let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(LOCK_QUEUE.into(), exclusive, FieldTable::default()).await?;
    // Somebody else may have mended them since.
    let empty = topology::declare(&channel).await?;
    let delete = async |queue: &String| {
        // Each is asked on a channel of its own, which may get stuck.
        if answers(&connection.create_channel().await?, queue).await? {
            return Ok(());
        }
        warn!(queue, "a queue that does not answer is deleted, to be declared anew");
        let channel = connection.create_channel().await?;
        let deleting = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default());
        let deleted = timeout(DELETE_WITHIN, deleting).await;
        deleted.unwrap_or_else(|_| Err(late(format!("the broker does not delete {queue}")))).map(drop)
    };
    let deleted: Vec<Result<()>> =
        stream::iter(&empty).map(delete).buffer_unordered(empty.len().max(1)).collect().await;
    deleted.into_iter().collect()
}

/// Whether a queue answers in time.
async fn answers(channel: &Channel, queue: &str) -> Result<bool> {
    let asked = channel.basic_get(queue.into(), BasicGetOptions::default());
    match timeout(ANSWER_WITHIN, asked).await {
        Err(_) => Ok(false),
        Ok(got) => {
            // It was not empty any more.
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
