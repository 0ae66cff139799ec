//! Reads dead letters one by one and requeues them, because AMQP cannot peek.

use lapin::{
    Channel,
    message::Delivery as Message,
    options::{BasicAckOptions, BasicGetOptions},
};

use super::{broker_connection::OpenConnection, deliveries::dead_letter, headers, topology};
use crate::{
    contract::record::Lane,
    transport::{
        DeathReason,
        dead_job::{DeadJob, MAX_LISTED, key},
    },
};

/// The dead letters, oldest first.
pub(super) async fn list(open: &OpenConnection) -> lapin::Result<Vec<DeadJob>> {
    let (channel, messages) = take(open).await?;
    // Closing the channel requeues unacknowledged messages.
    requeue_rest(&channel).await?;
    Ok(messages.iter().map(read).collect())
}

/// Removes every message of a key. Returns their number.
pub(super) async fn forget(open: &OpenConnection, key: &str) -> lapin::Result<usize> {
    let (channel, messages) = take(open).await?;
    let mut forgotten = 0;
    for message in messages.iter().filter(|message| read(message).key == key) {
        forgotten += usize::from(message.ack(BasicAckOptions::default()).await?);
    }
    requeue_rest(&channel).await?;
    Ok(forgotten)
}

/// Removes the dead letters of jobs that expired in their lane and were posted again.
pub(super) async fn forget_expired(open: &OpenConnection) -> lapin::Result<usize> {
    let (channel, messages) = take(open).await?;
    let mut forgotten = 0;
    for message in messages.iter().filter(|message| headers::death_reason(message) == DeathReason::Expired) {
        forgotten += usize::from(message.ack(BasicAckOptions::default()).await?);
    }
    requeue_rest(&channel).await?;
    Ok(forgotten)
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
