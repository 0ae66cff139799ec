//! The AsyncAPI 3 description of the messages over RabbitMQ. It is generated from the topology, the headers and the
//! message types of this adapter, from the view of a web server, which posts jobs and receives changes.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::{headers, topology};
use crate::{
    contract::{
        message::{Changed, ResizeJob},
        record::Lane,
    },
    transport::DeathReason,
};

/// The version of AsyncAPI's bindings for AMQP.
const BINDINGS: &str = "0.3.0";

/// The parts of an AsyncAPI document about the broker.
#[derive(Debug)]
pub struct Description {
    /// Channels, by name.
    pub channels: Map<String, Value>,
    /// Operations of a web server, by name.
    pub operations: Map<String, Value>,
    /// Messages, by name.
    pub messages: Map<String, Value>,
}

/// Describes the queues. Schemas of messages stay in the generator.
#[must_use]
pub fn describe(generator: &mut SchemaGenerator) -> Description {
    let jobs = [Lane::Interactive, Lane::Bulk].map(topology::queue);
    let mut channels: Map<_, _> =
        jobs.into_iter().map(|queue| (queue.to_owned(), job_channel(queue))).collect();
    channels.insert(topology::DEAD_QUEUE.to_owned(), dead_channel());
    channels.insert(topology::DONE.to_owned(), reply_channel());
    let mut operations: Map<_, _> =
        jobs.into_iter().map(|queue| (format!("post-{queue}"), post(queue))).collect();
    operations.insert("receive-changes".to_owned(), receive());
    let jobs =
        message::<ResizeJob>(generator, ResizeJob::TYPE, &job_headers(), "A request: make the thumbnails.");
    let changed = message::<Changed>(
        generator,
        Changed::TYPE,
        &trace_headers(),
        "The state of an upload changed: it is queued again, processing, ready, failed or deleted.",
    );
    Description { channels, operations, messages: [jobs, changed].into_iter().collect() }
}

fn job_channel(queue: &str) -> Value {
    json!({
        "address": queue,
        "description": format!("Jobs. A failed one is delayed in `{queue}.retry.*`; one that cannot be \
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
        "description": format!("Dead letters, which come by `{}` and stay here until an operator replays or drops \
            them. Their uploads have failed, and subscribers know.", topology::DEAD_LETTERS),
        "messages": references::<ResizeJob>(),
        "bindings": { "amqp": {
            "is": "queue",
            "queue": { "name": topology::DEAD_QUEUE, "durable": true, "exclusive": false, "autoDelete": false },
            "bindingVersion": BINDINGS,
        } },
    })
}

fn reply_channel() -> Value {
    json!({
        "address": topology::DONE,
        "description": format!("The reply exchange. Every web server binds an exclusive queue of its own, \
            `{}.<session>`, and receives every change.", topology::DONE),
        "messages": references::<Changed>(),
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
            "deliveryMode": headers::PERSISTENT,
            "mandatory": true,
            "timestamp": true,
            "bindingVersion": BINDINGS,
        } },
    })
}

fn receive() -> Value {
    json!({
        "action": "receive",
        "channel": { "$ref": format!("#/channels/{}", topology::DONE) },
        "summary": "Receives changes and pushes them to subscribers. A lost one is replaced by a read of storage.",
        "bindings": { "amqp": { "ack": false, "bindingVersion": BINDINGS } },
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
        "contentType": headers::CONTENT_TYPE,
        "headers": headers,
        "payload": generator.subschema_for::<T>(),
        "bindings": { "amqp": { "messageType": kind, "bindingVersion": BINDINGS } },
    });
    (T::schema_name().into_owned(), message)
}

fn job_headers() -> Value {
    let mut headers = trace_headers();
    let reasons = [DeathReason::Exhausted, DeathReason::KilledItsWorkers, DeathReason::Unreadable];
    headers["properties"][headers::GENERATION] = json!({
        "type": "integer",
        "minimum": 1,
        "description": "Which generation of the upload the job was posted for.",
    });
    headers["properties"][headers::ATTEMPT] = json!({ "type": "integer", "minimum": 1, "description": "How many times it has failed, once it has." });
    headers["properties"][headers::DEATH] = json!({
        "enum": reasons.map(DeathReason::name),
        "description": "The reason why a worker dead-lettered it.",
    });
    headers["required"] = json!([headers::GENERATION]);
    headers
}

fn trace_headers() -> Value {
    json!({
        "type": "object",
        "properties": { headers::TRACEPARENT: { "type": "string", "description": "W3C Trace Context of the request." } },
    })
}

#[cfg(test)]
mod tests {
    use schemars::generate::SchemaSettings;

    use super::*;
    use crate::testing;

    #[test]
    fn every_message_is_described() {
        let described = describe(&mut SchemaSettings::draft2020_12().into_generator());
        for (channel, name) in
            [("resize", "ResizeJob"), ("resize.bulk", "ResizeJob"), (topology::DONE, "Changed")]
        {
            assert!(described.messages.contains_key(name));
            assert!(described.channels[channel]["messages"][name].is_object());
        }
    }

    #[test]
    fn every_header_of_a_job_is_described() {
        let traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
        let job = ResizeJob::new(crate::UploadRecord { traceparent, ..testing::record() });
        let properties = headers::job_properties(&job);
        let headers = job_headers();
        for name in properties.headers().as_ref().unwrap().inner().keys() {
            assert!(headers["properties"][name.as_str()].is_object(), "{name}");
        }
    }
}
