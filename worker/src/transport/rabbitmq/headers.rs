//! The properties and headers of messages.

use std::time::SystemTime;

use jiff::Timestamp;
use lapin::{
    BasicProperties,
    message::Delivery as Message,
    types::{AMQPValue, FieldTable, ShortString},
};

use super::topology;
use crate::{
    contract::{
        id::UploadId,
        message::{Changed, ResizeJob},
    },
    transport::DeathReason,
};

/// The number of failures of a job. A header of our own, because newer brokers ignore an `x-death` that a client sends.
pub(super) const ATTEMPT: &str = "x-up-attempt";
/// How often a worker that had begun a job posted it again without a failure: postponed or released.
pub(super) const RETURNS: &str = "x-up-returns";
/// The reason why a worker dead-lettered a job.
pub(super) const DEATH: &str = "x-up-death";
/// The generation of a job: a late burial of an older generation must not end a newer one.
pub(super) const GENERATION: &str = "x-up-gen";
pub(super) const TRACEPARENT: &str = "traceparent";

/// The content type of every message.
pub(super) const CONTENT_TYPE: &str = "application/json";

/// The delivery mode of messages that the broker stores on disk.
pub(super) const PERSISTENT: u8 = 2;
/// The delivery mode of messages that the broker keeps in memory.
const TRANSIENT: u8 = 1;

/// The properties of a job that is posted for the first time.
pub(super) fn job_properties(job: &ResizeJob) -> BasicProperties {
    let properties = described(job.id, job.record.traceparent.as_deref()).with_type(ResizeJob::TYPE.into());
    with_header(&properties, GENERATION, AMQPValue::LongUInt(job.generation))
}

/// The properties of an announcement. It is not persistent: after a broker restart, servers read storage.
pub(super) fn announcement_properties(id: UploadId, traceparent: Option<&str>) -> BasicProperties {
    described(id, traceparent).with_delivery_mode(TRANSIENT).with_type(Changed::TYPE.into())
}

/// The properties of a probe.
pub(super) fn probe_properties() -> BasicProperties {
    BasicProperties::default().with_message_id("probe".into()).with_delivery_mode(TRANSIENT)
}

fn described(id: UploadId, traceparent: Option<&str>) -> BasicProperties {
    let mut headers = FieldTable::default();
    if let Some(traceparent) = traceparent {
        headers.insert(TRACEPARENT.into(), AMQPValue::LongString(traceparent.into()));
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    BasicProperties::default()
        .with_message_id(id.to_string().into())
        .with_content_type(CONTENT_TYPE.into())
        .with_timestamp(now.as_secs())
        .with_headers(headers)
}

/// The properties of a job that is posted again without a counted failure.
pub(super) fn again(message: &Message) -> BasicProperties {
    message.properties.clone().with_delivery_mode(PERSISTENT)
}

/// The same for a job that a worker had begun: its next worker looks first for what was stored.
pub(super) fn begun_again(message: &Message) -> BasicProperties {
    let returns = returns(message).saturating_add(1);
    with_header(&message.properties, RETURNS, AMQPValue::LongUInt(returns))
}

/// The properties of a job that failed once more.
pub(super) fn failed_again(message: &Message) -> BasicProperties {
    let failures = failures(message).saturating_add(1);
    with_header(&message.properties, ATTEMPT, AMQPValue::LongUInt(failures))
}

/// The properties of a job that a worker declares dead.
pub(super) fn died(message: &Message, reason: DeathReason) -> BasicProperties {
    with_header(&message.properties, DEATH, AMQPValue::LongString(reason.name().into()))
}

fn with_header(properties: &BasicProperties, name: &str, value: AMQPValue) -> BasicProperties {
    let mut headers = properties.headers().clone().unwrap_or_default();
    headers.insert(name.into(), value);
    properties.clone().with_headers(headers).with_delivery_mode(PERSISTENT)
}

pub(super) fn failures(message: &Message) -> u32 {
    header(message, ATTEMPT).and_then(number).unwrap_or(0)
}

fn returns(message: &Message) -> u32 {
    header(message, RETURNS).and_then(number).unwrap_or(0)
}

pub(super) fn generation(message: &Message) -> Option<u32> {
    header(message, GENERATION).and_then(number)
}

/// The number of earlier deliveries: those that failed, those that were returned, and those that the broker counted.
pub(super) fn deliveries_before(message: &Message) -> u32 {
    let counted =
        header(message, "x-delivery-count").and_then(number).unwrap_or_else(|| message.redelivered.into());
    failures(message).saturating_add(returns(message)).saturating_add(counted)
}

pub(super) fn traceparent(message: &Message) -> Option<String> {
    header(message, TRACEPARENT).and_then(text)
}

/// The upload id in the properties; the body may contain another.
pub(super) fn message_id(message: &Message) -> Option<&str> {
    message.properties.message_id().as_ref().map(ShortString::as_str)
}

/// When the message was posted.
pub(super) fn posted_at(message: &Message) -> Option<Timestamp> {
    let seconds = i64::try_from((*message.properties.timestamp())?).ok()?;
    Timestamp::from_second(seconds).ok()
}

/// Whether a dead letter was in this queue before, or in one of its retry queues.
pub(super) fn came_by(message: &Message, queue: &str) -> bool {
    let Some(AMQPValue::FieldArray(deaths)) = header(message, "x-death") else { return false };
    deaths.as_slice().iter().any(|death| match death {
        AMQPValue::FieldTable(death) => {
            death.inner().get("queue").and_then(text).is_some_and(|name| name.starts_with(queue))
        }
        _ => false,
    })
}

/// The reason of a dead letter: written by a worker, or by the broker when the message left its lane.
pub(super) fn death_reason(message: &Message) -> DeathReason {
    if let Some(reason) = header(message, DEATH).and_then(text) {
        return DeathReason::from_name(&reason);
    }
    match lane_death(message).as_deref() {
        Some("delivery_limit") => DeathReason::KilledItsWorkers,
        Some("rejected") => DeathReason::Unreadable,
        // A TTL or length limit of an operator; our own limits are on the retry queues only.
        Some("expired" | "maxlen") => DeathReason::Expired,
        _ => DeathReason::Exhausted,
    }
}

/// The reason of the newest entry of `x-death` that names a lane: a burial that was retried has newer entries of its own.
fn lane_death(message: &Message) -> Option<String> {
    let AMQPValue::FieldArray(deaths) = header(message, "x-death")? else { return None };
    deaths.as_slice().iter().find_map(|death| {
        let AMQPValue::FieldTable(death) = death else { return None };
        let queue = death.inner().get("queue").and_then(text)?;
        let reason = death.inner().get("reason").and_then(text);
        if topology::counts_deliveries(&queue) { reason } else { None }
    })
}

fn header<'message>(message: &'message Message, name: &str) -> Option<&'message AMQPValue> {
    message.properties.headers().as_ref()?.inner().get(name)
}

fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

fn number(value: &AMQPValue) -> Option<u32> {
    match *value {
        AMQPValue::ShortShortInt(number) => number.try_into().ok(),
        AMQPValue::ShortShortUInt(number) => Some(number.into()),
        AMQPValue::ShortInt(number) => number.try_into().ok(),
        AMQPValue::ShortUInt(number) => Some(number.into()),
        AMQPValue::LongInt(number) => number.try_into().ok(),
        AMQPValue::LongUInt(number) => Some(number),
        AMQPValue::LongLongInt(number) => number.try_into().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(headers: &[(&str, AMQPValue)]) -> Message {
        let mut message = Message::mock(1, "".into(), "resize".into(), false, Vec::new());
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), value.clone());
        }
        message.properties = BasicProperties::default().with_headers(table);
        message
    }

    #[test]
    fn failures_are_counted_in_numbers_of_any_width() {
        assert_eq!(failures(&message(&[])), 0);
        for value in [AMQPValue::LongLongInt(2), AMQPValue::ShortShortUInt(2), AMQPValue::LongUInt(2)] {
            let mut failed = message(&[(ATTEMPT, value)]);
            failed.properties = failed_again(&failed);
            assert_eq!(failures(&failed), 3);
        }
        assert_eq!(failures(&message(&[(ATTEMPT, AMQPValue::LongLongInt(-5))])), 0);
    }

    #[test]
    fn a_dead_letter_has_the_reason_of_its_death() {
        let text = |text: &str| AMQPValue::LongString(text.into());
        let by_worker = message(&[(DEATH, text("exhausted")), ("x-first-death-reason", text("rejected"))]);
        assert_eq!(death_reason(&by_worker), DeathReason::Exhausted);
        let dead = |entries: &[(&str, &str)]| {
            let entry = |(queue, reason): &(&str, &str)| {
                let mut entry = FieldTable::default();
                entry.insert("queue".into(), text(queue));
                entry.insert("reason".into(), text(reason));
                AMQPValue::FieldTable(entry)
            };
            let deaths: Vec<_> = entries.iter().map(entry).collect();
            death_reason(&message(&[("x-death", AMQPValue::FieldArray(deaths.into()))]))
        };
        assert_eq!(dead(&[("resize", "delivery_limit")]), DeathReason::KilledItsWorkers);
        assert_eq!(dead(&[("resize", "rejected"), ("resize.retry.5s", "expired")]), DeathReason::Unreadable);
        assert_eq!(
            dead(&[("resize.burial.retry", "expired"), ("resize.bulk", "delivery_limit")]),
            DeathReason::KilledItsWorkers
        );
        assert_eq!(dead(&[("resize.bulk", "expired")]), DeathReason::Expired);
        assert_eq!(dead(&[("resize", "maxlen"), ("resize.retry.5s", "expired")]), DeathReason::Expired);
        assert_eq!(dead(&[]), DeathReason::Exhausted);
    }
}
