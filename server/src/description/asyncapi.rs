//! `GET /asyncapi.json`: what is said on the socket, and what travels between server and worker. Every message is made
//! from a variant of the very enum that is written or read.

use schemars::{JsonSchema, SchemaGenerator, generate::Contract};
use serde_json::{Map, Value, json};
use worker::transport::rabbitmq::description;

use super::{Document, schemas};
use crate::live::protocol::{self, ClientMessage, Close, ServerMessage};

/// What the whole description is headed with.
const ABOUT: &str = "What is said on the socket, and what travels between web servers and workers by RabbitMQ; \
    without a broker the same messages lie in a SQLite file. Seen from a web server: a worker receives what it sends, \
    and the reverse. Receivers ignore fields and types that they do not know.";

/// Answers the description.
pub(crate) async fn asyncapi() -> Document {
    Document::new(&document())
}

fn document() -> Value {
    let mut written = schemas::generator(Contract::Serialize);
    let said = messages::<ServerMessage>("server", &mut written);
    let mut read = schemas::generator(Contract::Deserialize);
    let heard = messages::<ClientMessage>("client", &mut read);
    let queue = description::describe(&mut written);
    let mut schemas = written.take_definitions(true);
    schemas.extend(read.take_definitions(true));
    let mut channels = Map::from_iter([("live".to_owned(), live(&said, &heard))]);
    for (name, mut channel) in queue.channels {
        channel["servers"] = json!([{ "$ref": "#/servers/broker" }]);
        channels.insert(name, channel);
    }
    let mut operations = Map::from_iter([
        ("tell".to_owned(), operation("send", "Tells how uploads stand.", &said)),
        ("hear".to_owned(), operation("receive", "Hears which uploads a client waits for.", &heard)),
    ]);
    operations.extend(queue.operations);
    json!({
        "asyncapi": "3.0.0",
        "info": { "title": "up!", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT },
        "defaultContentType": "application/json",
        "servers": {
            "web": { "host": "localhost:8080", "protocol": "ws", "description": "A web server." },
            "broker": { "host": "localhost:5672", "protocol": "amqp", "protocolVersion": "0.9.1",
                "description": "RabbitMQ, where there is one." },
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": said.into_iter().chain(heard).chain(queue.messages).collect::<Map<_, _>>(),
            "schemas": schemas,
        },
    })
}

/// The messages of an enum whose tag is `type`, by the names of its variants.
fn messages<T: JsonSchema>(speaker: &str, generator: &mut SchemaGenerator) -> Map<String, Value> {
    let schema = T::json_schema(generator);
    let variants =
        schema.get("oneOf").and_then(Value::as_array).expect("an enum with a tag is one of its variants");
    let message = |variant: &Value| {
        let name = variant["properties"]["type"]["const"].as_str().expect("a tag is a text");
        let message = json!({ "name": name, "summary": variant["description"], "payload": variant });
        (format!("{speaker}-{name}"), message)
    };
    variants.iter().map(message).collect()
}

fn live(said: &Map<String, Value>, heard: &Map<String, Value>) -> Value {
    let references = said.keys().chain(heard.keys()).map(|name| {
        let place = format!("#/components/messages/{name}");
        (name.clone(), json!({ "$ref": place }))
    });
    let description = format!(
        "One socket for all uploads of a page: JSON in text frames of at most {} bytes from the client. Each message \
         carries the whole state of its upload: keep the greater of (`gen`, `queued` < `processing` < `failed` < \
         `ready`), and loss, repetition and order do not matter. Closed with {} when the server stops: come back after \
         `retry_ms`; with {} for want of a pong, {} when what was said is not read, {} when there are too many \
         sockets: come back with growing delays; with {} for what is no message, {} for another sub-protocol: do not \
         come back.",
        protocol::MAX_CLIENT_BYTES,
        Close::Restart as u16,
        Close::Silent as u16,
        Close::Slow as u16,
        Close::TooManySockets as u16,
        Close::Malformed as u16,
        Close::Protocol as u16,
    );
    json!({
        "address": "/live",
        "servers": [{ "$ref": "#/servers/web" }],
        "description": description,
        "messages": references.collect::<Map<_, _>>(),
        "bindings": { "ws": {
            "method": "GET",
            "headers": {
                "type": "object",
                "properties": { "Sec-WebSocket-Protocol": { "type": "string", "const": protocol::NAME } },
                "required": ["Sec-WebSocket-Protocol"],
            },
            "bindingVersion": "0.1.0",
        } },
    })
}

fn operation(action: &str, summary: &str, messages: &Map<String, Value>) -> Value {
    let messages: Vec<_> =
        messages.keys().map(|name| json!({ "$ref": format!("#/channels/live/messages/{name}") })).collect();
    json!({ "action": action, "summary": summary, "channel": { "$ref": "#/channels/live" }, "messages": messages })
}
