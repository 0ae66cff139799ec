//! What travels by RabbitMQ, in the words of AsyncAPI 3: made from the topology, the headers and the message types
//! that this adapter uses. Seen from a web server, which posts jobs and hears announcements.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::{topology, wire};
use crate::{
    Completion, ResizeJob, Started,
    transport::{DeathReason, Lane},
};

/// The version of AsyncAPI's bindings for AMQP.
const BINDINGS: &str = "0.3.0";

/// The parts of an AsyncAPI document that speak of the broker.
#[derive(Debug)]
pub struct Description {
    /// By name: where messages go.
    pub channels: Map<String, Value>,
    /// By name: what a web server does there.
    pub operations: Map<String, Value>,
    /// By name: the messages.
    pub messages: Map<String, Value>,
}

/// Describes the queues. Schemas of messages are left with the generator.
#[must_use]
pub fn describe(generator: &mut SchemaGenerator) -> Description {
    let jobs = [Lane::Interactive, Lane::Bulk].map(topology::queue);
    let mut channels: Map<_, _> =
        jobs.into_iter().map(|queue| (queue.to_owned(), job_channel(queue))).collect();
    channels.insert(topology::DEAD_QUEUE.to_owned(), dead_channel());
    channels.insert(topology::DONE.to_owned(), reply_channel());
    let mut operations: Map<_, _> =
        jobs.into_iter().map(|queue| (format!("post-{queue}"), post(queue))).collect();
    operations.insert("hear-announcements".to_owned(), hear());
    let jobs = message::<ResizeJob>(generator, wire::JOB, &job_headers(), "A request: make the thumbnails.");
    let started = message::<Started>(
        generator,
        wire::ANNOUNCEMENT,
        &trace_headers(),
        "A worker has begun with an upload.",
    );
    let completion = message::<Completion>(
        generator,
        wire::ANNOUNCEMENT,
        &trace_headers(),
        "An upload has ended. Told from `Started` by its `upload`.",
    );
    Description { channels, operations, messages: [jobs, started, completion].into_iter().collect() }
}

fn job_channel(queue: &str) -> Value {
    json!({
        "address": queue,
        "description": format!("Jobs. One that fails rests in `{queue}.retry.*` and comes back; one that cannot be \
            done, or killed its workers, goes to `{}`.", topology::DEAD_QUEUE),
        "messages": references::<ResizeJob>(),
        "bindings": { "amqp": {
            "is": "routingKey",
            "exchange": exchange(topology::JOBS, "direct"),
            "bindingVersion": BINDINGS,
        } },
    })
}

fn dead_channel() -> Value {
    json!({
        "address": topology::DEAD_QUEUE,
        "description": format!("Dead letters, which come by `{}` and rest here until an operator replays or drops \
            them. Their uploads have failed, and whoever waits has been told.", topology::DEAD_LETTERS),
        "messages": references::<ResizeJob>(),
        "bindings": { "amqp": {
            "is": "queue",
            "queue": { "name": topology::DEAD_QUEUE, "durable": true, "exclusive": false, "autoDelete": false },
            "bindingVersion": BINDINGS,
        } },
    })
}

fn reply_channel() -> Value {
    let mut messages = references::<Started>();
    messages.extend(references::<Completion>());
    json!({
        "address": topology::DONE,
        "description": format!("The reply exchange. Every web server binds a queue of its own, `{}.<instance>`, and \
            hears of every upload.", topology::DONE),
        "messages": messages,
        "bindings": { "amqp": {
            "is": "routingKey",
            "exchange": exchange(topology::DONE, "fanout"),
            "bindingVersion": BINDINGS,
        } },
    })
}

fn exchange(name: &str, kind: &str) -> Value {
    json!({ "name": name, "type": kind, "durable": true, "autoDelete": false })
}

fn post(queue: &str) -> Value {
    json!({
        "action": "send",
        "channel": { "$ref": format!("#/channels/{queue}") },
        "summary": "Posts a job, and keeps it in the outbox until the broker has confirmed it.",
        "bindings": { "amqp": {
            "deliveryMode": wire::PERSISTENT,
            "mandatory": true,
            "timestamp": true,
            "bindingVersion": BINDINGS,
        } },
    })
}

fn hear() -> Value {
    json!({
        "action": "receive",
        "channel": { "$ref": format!("#/channels/{}", topology::DONE) },
        "summary": "Hears what workers announce, and tells whoever waits. A lost one is made up for from storage.",
        "bindings": { "amqp": { "ack": true, "bindingVersion": BINDINGS } },
    })
}

fn references<T: JsonSchema>() -> Map<String, Value> {
    let name = T::schema_name().into_owned();
    let place = format!("#/components/messages/{name}");
    Map::from_iter([(name, json!({ "$ref": place }))])
}

fn message<T: JsonSchema>(
    generator: &mut SchemaGenerator,
    kind: &str,
    headers: &Value,
    summary: &str,
) -> (String, Value) {
    let message = json!({
        "name": kind,
        "title": T::schema_name(),
        "summary": summary,
        "contentType": wire::CONTENT_TYPE,
        "headers": headers,
        "payload": generator.subschema_for::<T>(),
        "bindings": { "amqp": { "messageType": kind, "bindingVersion": BINDINGS } },
    });
    (T::schema_name().into_owned(), message)
}

fn job_headers() -> Value {
    let mut headers = trace_headers();
    let reasons = [DeathReason::Exhausted, DeathReason::KilledItsWorkers, DeathReason::Unreadable];
    headers["properties"][wire::GENERATION] = json!({
        "type": "integer",
        "minimum": 1,
        "description": "Which generation of the upload the job was posted for.",
    });
    headers["properties"][wire::ATTEMPT] = json!({ "type": "integer", "minimum": 1, "description": "How many times it has failed, once it has." });
    headers["properties"][wire::DEATH] = json!({
        "enum": reasons.map(DeathReason::name),
        "description": "Why it is dead, where a worker said so.",
    });
    headers["required"] = json!([wire::GENERATION]);
    headers
}

fn trace_headers() -> Value {
    json!({
        "type": "object",
        "properties": { wire::TRACEPARENT: { "type": "string", "description": "W3C Trace Context of the request." } },
    })
}

#[cfg(test)]
mod tests {
    use schemars::generate::SchemaSettings;

    use super::*;
    use crate::{Announcement, Format, testing, transport::Posting};

    /// Another announcement does not compile until it has a name here.
    const fn name(announcement: &Announcement) -> &'static str {
        match announcement {
            Announcement::Started(_) => "Started",
            Announcement::Completion(_) => "Completion",
        }
    }

    #[test]
    fn every_announcement_is_described() {
        let described = describe(&mut SchemaSettings::draft2020_12().into_generator());
        for announcement in
            [Announcement::started(testing::id()), Announcement::completion(testing::ready_upload())]
        {
            let name = name(&announcement);
            assert!(described.messages.contains_key(name));
            assert!(described.channels[topology::DONE]["messages"][name].is_object());
        }
    }

    #[test]
    fn every_header_of_a_job_is_described() {
        let posting = Posting {
            job: ResizeJob::new(testing::id(), Format::Jpeg),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            generation: 1,
            lane: Lane::Interactive,
        };
        let properties = wire::job_properties(&posting);
        let headers = job_headers();
        for name in properties.headers().as_ref().unwrap().inner().keys() {
            assert!(headers["properties"][name.as_str()].is_object(), "{name}");
        }
    }
}
