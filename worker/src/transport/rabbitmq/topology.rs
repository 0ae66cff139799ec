//! Exchanges and queues, as one table. Every session declares it, because a repeated declaration has no effect.
//!
//! ```text
//! up.jobs  direct ─┬─ resize ──────────► resize         ─┐ rejected, or delivered too often
//!                  ├─ resize.bulk ─────► resize.bulk    ─┤
//!                  └─ resize.burial ───► resize.burial   │
//! resize.retry.{5s,30s,5m}       ─ expired ─► up.jobs    │
//! resize.bulk.retry.{5s,30s,5m}  ─ expired ─► up.jobs    │
//! resize.burial.retry            ─ expired ─► up.jobs    │
//! up.dlx   direct ─── dead ─┬──────► resize.dead       ◄─┤   stays until an operator handles it
//!                           └──────► resize.burial     ◄─┘   a worker writes `failed` and announces it
//! up.done  fanout ────────────► up.done.<session>            one for every web server, exclusive
//! up.created                                                 tells a server of queues that had to be created
//! ```
//!
//! At-least-once dead-lettering needs a quorum queue, an exchange, and `reject-publish`: without any of the three the
//! broker silently falls back to at most once.

use std::time::Duration;

use lapin::{
    BasicProperties, Channel, Connection, ErrorKind, ExchangeKind, Result,
    options::{
        BasicConsumeOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions,
        QueueDeclareOptions,
    },
    protocol::{AMQPErrorKind, AMQPSoftError, constants::REPLY_SUCCESS},
    types::{AMQPValue, FieldTable, ShortString},
};
use uuid::Uuid;

use crate::contract::record::Lane;

pub(super) const JOBS: &str = "up.jobs";
pub(super) const DEAD_LETTERS: &str = "up.dlx";
pub(super) const DONE: &str = "up.done";
/// The routing key of a dead letter.
pub(super) const DEAD: &str = "dead";
pub(super) const DEAD_QUEUE: &str = "resize.dead";
pub(super) const BURIAL_QUEUE: &str = "resize.burial";
/// The queue by which a process proves that a node of a cluster stores messages.
pub(super) const PROBE_QUEUE: &str = "up.probe";
pub(super) const BURIAL_RETRY_QUEUE: &str = "resize.burial.retry";
/// The queue of messages that tell a server which queues had to be created.
pub(super) const CREATED_QUEUE: &str = "up.created";

/// An exchange that every broker has.
const BUILT_IN: &str = "amq.direct";

/// The number of deliveries that end in a crash or a lost connection before the broker dead-letters a job.
const MAX_CRASHES: u32 = 5;

/// The delivery limit of queues whose messages must never be dropped. Newer brokers drop after 20 by default, and older
/// ones have no value for "never".
const UNLIMITED: u32 = 1_000_000_000;

/// How long a failed burial is delayed.
const BURIAL_DELAY: Duration = Duration::from_secs(5);

/// A retry queue for each delay, since a message expires only at the head of its queue.
pub(super) const DELAYS: [(Duration, &str); 3] =
    [(Duration::from_secs(5), "5s"), (Duration::from_secs(30), "30s"), (Duration::from_secs(300), "5m")];

/// The time to live of a reply. After it the server has read storage.
const REPLIES_EXPIRE: Duration = Duration::from_secs(60);

/// The maximum length of a reply queue. A server that is further behind reads storage.
const MAX_REPLIES: u32 = 10_000;

/// The queue of a lane; its routing key is the same.
pub(super) const fn queue(lane: Lane) -> &'static str {
    match lane {
        Lane::Interactive => "resize",
        Lane::Bulk => "resize.bulk",
    }
}

/// The retry queue of a lane with at least this delay, or the one with the longest delay.
pub(super) fn retry_queue(lane: Lane, after: Duration) -> String {
    let longest = DELAYS[DELAYS.len() - 1].1;
    let name = DELAYS.iter().find(|(delay, _)| *delay >= after).map_or(longest, |(_, name)| name);
    format!("{}.retry.{name}", queue(lane))
}

/// Every retry queue of a lane.
pub(super) fn retry_queues(lane: Lane) -> impl Iterator<Item = String> {
    DELAYS.into_iter().map(move |(delay, _)| retry_queue(lane, delay))
}

/// The lanes that lose jobs with a queue. A dead letter is no job, and a burial may be of either lane.
pub(super) fn lanes_of(name: &str) -> Vec<Lane> {
    let holds = |lane: &Lane| {
        [BURIAL_QUEUE, BURIAL_RETRY_QUEUE].contains(&name)
            || queue(*lane) == name
            || retry_queues(*lane).any(|retry| retry == name)
    };
    Lane::ALL.into_iter().filter(holds).collect()
}

/// The queues that lose jobs if they are deleted.
fn queues_of_jobs() -> Vec<String> {
    let lanes = Lane::ALL.into_iter();
    let queues = lanes.flat_map(|lane| retry_queues(lane).chain([queue(lane).to_owned()]));
    queues.chain([BURIAL_QUEUE, BURIAL_RETRY_QUEUE].map(str::to_owned)).collect()
}

/// The queues of jobs, and the one that tells of created queues, that do not exist. Costs one round trip if all exist,
/// and asks no leader of a queue.
pub(super) async fn missing(connection: &Connection) -> Result<Vec<String>> {
    let mut queues = queues_of_jobs();
    queues.push(CREATED_QUEUE.to_owned());
    if all_exist(connection, &queues).await? {
        return Ok(Vec::new());
    }
    let mut missing = Vec::new();
    for queue in queues {
        // The broker closes the channel if it is missing.
        match count(&connection.create_channel().await?, &queue).await {
            Ok(_) => {}
            Err(error) if is_gone(&error) => missing.push(queue),
            Err(error) => return Err(error),
        }
    }
    Ok(missing)
}

/// Whether all these queues exist, as far as one channel can tell.
async fn all_exist(connection: &Connection, queues: &[String]) -> Result<bool> {
    let channel = connection.create_channel().await?;
    let looked = async {
        // The broker waits for the leader of a queue only to respond.
        let passive = QueueDeclareOptions { passive: true, nowait: true, ..QueueDeclareOptions::default() };
        for queue in queues {
            channel.queue_declare(queue.as_str().into(), passive, FieldTable::default()).await?;
        }
        respond(&channel).await
    };
    match looked.await {
        Ok(()) => channel.close(REPLY_SUCCESS, "finished".into()).await.map(|()| true),
        Err(error) if !connection.status().connected() => Err(error),
        Err(_closed) => Ok(false),
    }
}

/// Writes to each exchange that processes publish to; a refusal closes the channel. Nothing is left, because no queue has
/// the key. A message to [`DONE`] would reach every server. A queue whose dead letters would go there needs the same
/// permission, and ends with the connection.
pub(super) async fn try_writing(connection: &Connection) -> Result<()> {
    let channel = connection.create_channel().await?;
    let nowhere = ShortString::from(format!("{DONE}.{}", Uuid::now_v7().simple()));
    for exchange in ["", JOBS] {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        channel.basic_publish(exchange.into(), nowhere.clone(), options, &[], properties).await?;
        respond(&channel).await?;
    }
    let mut arguments = FieldTable::default();
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString(DONE.into()));
    let options =
        QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(nowhere, options, arguments).await?;
    channel.close(REPLY_SUCCESS, "finished".into()).await
}

/// Listens to [`DONE`] for a moment, as a server does.
pub(super) async fn try_hearing(connection: &Connection) -> Result<()> {
    let channel = connection.create_channel().await?;
    let queue = declare_replies(&channel, &Uuid::now_v7().simple().to_string()).await?;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?;
    channel.close(REPLY_SUCCESS, "finished".into()).await
}

/// Waits until the broker has handled everything that was sent on a channel.
pub(super) async fn respond(channel: &Channel) -> Result<()> {
    let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(BUILT_IN.into(), ExchangeKind::Direct, passive, FieldTable::default()).await
}

fn is_gone(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(refused) = error.kind() else { return false };
    *refused.kind() == AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND)
}

/// Whether a queue limits deliveries: only those of the lanes do.
pub(super) fn counts_deliveries(name: &str) -> bool {
    [Lane::Interactive, Lane::Bulk].into_iter().any(|lane| queue(lane) == name)
}

/// Declares everything except reply queues, and waits for the leaders of the queues. Returns those that look empty.
pub(super) async fn declare(channel: &Channel) -> Result<Vec<String>> {
    let waiting = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    declare_with(channel, waiting).await
}

/// Declares everything except reply queues, and waits for no leader of a queue.
pub(super) async fn declare_at_once(channel: &Channel) -> Result<()> {
    let at_once = QueueDeclareOptions { durable: true, nowait: true, ..QueueDeclareOptions::default() };
    declare_with(channel, at_once).await?;
    respond(channel).await
}

async fn declare_with(channel: &Channel, options: QueueDeclareOptions) -> Result<Vec<String>> {
    let mut empty = Vec::new();
    let mut declare_queue = async |name: &str, arguments: Arguments| {
        if channel.queue_declare(name.into(), options, arguments.0).await?.message_count() == 0 {
            empty.push(name.to_owned());
        }
        Ok::<_, lapin::Error>(())
    };
    for (exchange, kind) in
        [(JOBS, ExchangeKind::Direct), (DEAD_LETTERS, ExchangeKind::Direct), (DONE, ExchangeKind::Fanout)]
    {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel.exchange_declare(exchange.into(), kind, options, FieldTable::default()).await?;
    }
    declare_queue(BURIAL_QUEUE, Arguments::unlimited()).await?;
    bind(channel, BURIAL_QUEUE, JOBS, BURIAL_QUEUE).await?;
    bind(channel, BURIAL_QUEUE, DEAD_LETTERS, DEAD).await?;
    declare_queue(DEAD_QUEUE, Arguments::unlimited()).await?;
    bind(channel, DEAD_QUEUE, DEAD_LETTERS, DEAD).await?;
    let retry = Arguments::delayed(BURIAL_DELAY, BURIAL_QUEUE);
    declare_queue(BURIAL_RETRY_QUEUE, retry).await?;
    for lane in [Lane::Interactive, Lane::Bulk] {
        let jobs =
            Arguments::quorum().number("x-delivery-limit", MAX_CRASHES).dead_letters_to(DEAD_LETTERS, DEAD);
        declare_queue(queue(lane), jobs).await?;
        bind(channel, queue(lane), JOBS, queue(lane)).await?;
        for (delay, _) in DELAYS {
            let retry = Arguments::delayed(delay, queue(lane));
            declare_queue(&retry_queue(lane, delay), retry).await?;
        }
    }
    // Last: where it exists, the others did.
    declare_queue(CREATED_QUEUE, Arguments::unlimited()).await?;
    Ok(empty)
}

/// Declares the reply queue of one session of a server and binds it. It is exclusive to the session's connection and
/// deleted with it: a queue that outlived its node would make RabbitMQ 4 nack every announcement until the node is
/// back. Every session uses a new name, so a lost connection never keeps it locked.
pub(super) async fn declare_replies(channel: &Channel, session: &str) -> Result<String> {
    let name = format!("{DONE}.{session}");
    let arguments = Arguments(FieldTable::default())
        .number("x-message-ttl", milliseconds(REPLIES_EXPIRE))
        .number("x-max-length", MAX_REPLIES);
    let options =
        QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.as_str().into(), options, arguments.0).await?;
    bind(channel, &name, DONE, "").await?;
    Ok(name)
}

/// Declares a queue that keeps the newest message only.
pub(super) async fn declare_probe(channel: &Channel, name: &str) -> Result<()> {
    declare_queue(channel, name, Arguments::unlimited().number("x-max-length", 1)).await.map(drop)
}

/// Declares the queue that tells of created queues.
pub(super) async fn declare_created(channel: &Channel) -> Result<()> {
    declare_queue(channel, CREATED_QUEUE, Arguments::unlimited()).await.map(drop)
}

/// The number of ready messages of a queue.
pub(super) async fn count(channel: &Channel, queue: &str) -> Result<u64> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
    Ok(declared.message_count().into())
}

/// Declares a queue. Returns the number of its ready messages.
async fn declare_queue(channel: &Channel, name: &str, arguments: Arguments) -> Result<u32> {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    Ok(channel.queue_declare(name.into(), options, arguments.0).await?.message_count())
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> Result<()> {
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default()).await
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).expect("the delays here are minutes at most")
}

struct Arguments(FieldTable);

impl Arguments {
    fn quorum() -> Self {
        Self(FieldTable::default()).text("x-queue-type", "quorum")
    }

    /// A queue whose messages are never dropped.
    fn unlimited() -> Self {
        Self::quorum().number("x-delivery-limit", UNLIMITED)
    }

    /// A retry queue: its messages go to a queue of `up.jobs` after a delay.
    fn delayed(delay: Duration, then: &str) -> Self {
        let arguments = Self::unlimited().number("x-message-ttl", milliseconds(delay));
        arguments.dead_letters_to(JOBS, then)
    }

    fn dead_letters_to(self, exchange: &str, key: &str) -> Self {
        self.text("x-dead-letter-exchange", exchange)
            .text("x-dead-letter-routing-key", key)
            .text("x-dead-letter-strategy", "at-least-once")
            .text("x-overflow", "reject-publish")
    }

    fn text(mut self, name: &str, value: &str) -> Self {
        self.0.insert(ShortString::from(name), AMQPValue::LongString(value.into()));
        self
    }

    fn number(mut self, name: &str, value: u32) -> Self {
        self.0.insert(ShortString::from(name), AMQPValue::LongLongInt(value.into()));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::RETRY_DELAYS;

    #[test]
    fn a_queue_that_holds_jobs_is_of_their_lanes() {
        let of = |queues: &[&str]| queues.iter().flat_map(|queue| lanes_of(queue)).collect::<Vec<_>>();
        assert_eq!(of(&["resize", "resize.retry.5s"]), [Lane::Interactive, Lane::Interactive]);
        assert_eq!(of(&["resize.bulk", "resize.bulk.retry.5m"]), [Lane::Bulk, Lane::Bulk]);
        assert_eq!(of(&[BURIAL_QUEUE]), Lane::ALL);
        assert!(of(&[DEAD_QUEUE, CREATED_QUEUE, PROBE_QUEUE]).is_empty());
        assert_eq!(queues_of_jobs().len(), 10);
        assert!(queues_of_jobs().iter().all(|queue| !lanes_of(queue).is_empty()));
    }

    #[test]
    fn every_retry_delay_of_the_consumer_has_its_queue() {
        let names = RETRY_DELAYS.map(|delay| retry_queue(Lane::Interactive, delay));
        assert_eq!(names, ["resize.retry.5s", "resize.retry.30s", "resize.retry.5m"]);
        assert_eq!(retry_queue(Lane::Bulk, Duration::from_millis(10)), "resize.bulk.retry.5s");
        assert_eq!(retry_queue(Lane::Bulk, Duration::from_secs(3600)), "resize.bulk.retry.5m");
    }
}
