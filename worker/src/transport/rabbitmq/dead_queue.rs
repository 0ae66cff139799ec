//! Reads dead letters one by one and requeues them, because AMQP cannot peek. Another process finds none meanwhile, and
//! looks again.

use std::time::Duration;

use lapin::{
    Channel,
    message::Delivery as Message,
    options::{BasicAckOptions, BasicGetOptions},
};
use tokio::time::{Instant, sleep};

use super::{
    broker_connection::OpenConnection, deliveries::dead_letter, headers, sessions::Backoff, topology,
};
use crate::{
    contract::record::Lane,
    transport::{
        DeathReason,
        dead_job::{DeadJob, MAX_LISTED, key},
    },
};

/// How often dead letters are looked for that other processes may hold, each for about a millisecond a message.
const LOOKS: u32 = 10;

/// The longest pause between two looks: pauses grow, so that few of many processes look at a time.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The time limit of removing dead letters: all looks and pauses.
pub(super) const FORGET_WITHIN: Duration = Duration::from_secs(20);

/// The dead letters, oldest first.
pub(super) async fn list(open: &OpenConnection) -> lapin::Result<Vec<DeadJob>> {
    let (channel, messages) = take(open).await?;
    // Closing the channel requeues unacknowledged messages.
    requeue_rest(&channel).await?;
    Ok(messages.iter().map(read).collect())
}

/// Removes every message of a key. Returns their number.
pub(super) async fn forget(open: &OpenConnection, key: &str) -> lapin::Result<usize> {
    forget_all(open, |message| read(message).key == key).await
}

/// Removes the dead letters of jobs that expired in their lane and were posted again.
pub(super) async fn forget_expired(open: &OpenConnection) -> lapin::Result<usize> {
    forget_all(open, |message| headers::death_reason(message) == DeathReason::Expired).await
}

/// Removes the messages that are meant. If there is none, another process may hold it, so it is looked for again.
async fn forget_all(open: &OpenConnection, is_meant: impl Fn(&Message) -> bool) -> lapin::Result<usize> {
    let mut backoff = Backoff::new(LONGEST_PAUSE);
    for look in 1.. {
        let (channel, messages) = take(open).await?;
        let mut forgotten = 0;
        for message in messages.iter().filter(|message| is_meant(message)) {
            forgotten += usize::from(message.ack(BasicAckOptions::default()).await?);
        }
        requeue_rest(&channel).await?;
        if forgotten > 0 || look == LOOKS {
            return Ok(forgotten);
        }
        sleep(backoff.failed(Instant::now()).wait).await;
    }
    unreachable!("the last look returns")
}

async fn take(open: &OpenConnection) -> lapin::Result<(Channel, Vec<Message>)> {
    let channel = open.connection.create_channel().await?;
    topology::declare(&channel).await?;
    let mut messages = Vec::new();
    while messages.len() < MAX_LISTED
        && let Some(got) = channel.basic_get(topology::DEAD_QUEUE.into(), BasicGetOptions::default()).await?
    {
        messages.push(got.delivery);
    }
    Ok((channel, messages))
}

async fn requeue_rest(channel: &Channel) -> lapin::Result<()> {
    channel.close(lapin::protocol::constants::REPLY_SUCCESS, "OK".into()).await
}

fn read(message: &Message) -> DeadJob {
    let letter = dead_letter(message);
    DeadJob {
        key: key(letter.id, &message.data),
        id: letter.id,
        reason: letter.reason,
        failures: headers::failures(message),
        lane: if headers::came_by(message, topology::queue(Lane::Bulk)) {
            Lane::Bulk
        } else {
            Lane::Interactive
        },
        posted_at: headers::posted_at(message),
        body: message.data.clone(),
    }
}
