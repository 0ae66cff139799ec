//! `GET /asyncapi.json`: the messages of the socket, and those between servers and workers. Every message is generated
//! from a variant of the enum that the code serializes or parses.

use schemars::{JsonSchema, SchemaGenerator, generate::Contract};
use serde_json::{Map, Value, json};
use worker::transport::rabbitmq::description;

use super::{Document, schemas};
use crate::live::protocol::{self, ClientMessage, Close, ServerMessage};

/// The introduction of the document.
const ABOUT: &str = "The messages of the socket, and the messages between web servers and workers over RabbitMQ. \
    Without a broker, a SQLite file holds the same messages. Operations are those of a web server: a worker receives \
    the messages that a server sends, and the reverse. Receivers ignore unknown fields and types.";

/// Serves the document.
pub(crate) async fn asyncapi() -> Document {
    Document::new(&document())
}

fn document() -> Value {
    let mut written = schemas::generator(Contract::Serialize);
    let server_messages = messages::<ServerMessage>("server", &mut written);
    let mut read = schemas::generator(Contract::Deserialize);
    let client_messages = messages::<ClientMessage>("client", &mut read);
    let queue = description::describe(&mut written);
    let mut schemas = written.take_definitions(true);
    schemas.extend(read.take_definitions(true));
    let mut channels = Map::from_iter([("live".to_owned(), live(&server_messages, &client_messages))]);
    for (name, mut channel) in queue.channels {
        channel["servers"] = json!([{ "$ref": "#/servers/broker" }]);
        channels.insert(name, channel);
    }
    let mut operations = Map::from_iter([
        ("deliver".to_owned(), operation("send", "Delivers the states of uploads.", &server_messages)),
        (
            "subscribe".to_owned(),
            operation("receive", "Receives the subscriptions of a client.", &client_messages),
        ),
    ]);
    operations.extend(queue.operations);
    json!({
        "asyncapi": "3.0.0",
        "info": { "title": "up!", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT },
        "defaultContentType": "application/json",
        "servers": {
            "web": { "host": "localhost:8080", "protocol": "ws", "description": "A web server." },
            "broker": { "host": "localhost:5672", "protocol": "amqp", "protocolVersion": "0.9.1",
                "description": "RabbitMQ, if the server uses a broker." },
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": server_messages.into_iter().chain(client_messages).chain(queue.messages).collect::<Map<_, _>>(),
            "schemas": schemas,
        },
    })
}

/// The messages of an enum whose tag is `type`, by the names of its variants.
fn messages<T: JsonSchema>(sender: &str, generator: &mut SchemaGenerator) -> Map<String, Value> {
    let schema = T::json_schema(generator);
    let variants =
        schema.get("oneOf").and_then(Value::as_array).expect("an enum with a tag is one of its variants");
    let message = |variant: &Value| {
        let name = variant["properties"]["type"]["const"].as_str().expect("a tag is a text");
        let message = json!({ "name": name, "summary": variant["description"], "payload": variant });
        (format!("{sender}-{name}"), message)
    };
    variants.iter().map(message).collect()
}

fn live(server_messages: &Map<String, Value>, client_messages: &Map<String, Value>) -> Value {
    let references = server_messages.keys().chain(client_messages.keys()).map(|name| {
        let path = format!("#/components/messages/{name}");
        (name.clone(), json!({ "$ref": path }))
    });
    let description = format!(
        "One socket for all uploads of a page: JSON in text frames of at most {} bytes from the client. Each message \
         carries the whole state of its upload: keep the greater of (`gen`, `queued` < `processing` < `failed` < \
         `ready`), and `gone` at any `gen`; then loss, repetition and order do not matter. Close codes: {}, the server is shutting down: \
         reconnect after `retry_ms`. {}, no pong arrived in time; {}, the client reads too slowly; {}, too many \
         sockets: reconnect with growing delays. {}, an invalid message; {}, an unsupported sub-protocol: do not \
         reconnect.",
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
