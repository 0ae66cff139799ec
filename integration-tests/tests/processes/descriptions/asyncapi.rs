//! `/asyncapi.json`

use std::{fs, path::Path, time::Duration};

use integration_tests::{
    patience::SOON,
    pictures,
    server::{Start, id},
    socket::{self, Came, Socket},
};
use serde_json::{Value, json};

use super::document::Document;

impl Document {
    /// Asserts that a message is what is described by this name.
    fn assert_message(&self, name: &str, message: &Value) {
        let payload = &self.0["components"]["messages"][name]["payload"];
        assert!(payload.is_object(), "{name} is not described: {message}");
        self.assert_valid(payload, message);
    }
}

#[tokio::test]
async fn golden_messages_are_as_described() {
    let server = Start::new().with("--workers", "0").start();
    let document = Document::of(&server, "/asyncapi.json").await;
    document.assert_references_lead_somewhere();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../worker/golden");
    let names = [("resize-job", "ResizeJob"), ("started", "Started"), ("completion", "Completion")];
    for file in fs::read_dir(folder).unwrap().flatten() {
        let name = file.file_name().into_string().unwrap();
        // What is merged is no message.
        let Some((_, described)) = names.iter().find(|(prefix, _)| name.starts_with(prefix)) else {
            assert_eq!(name, "merge.json");
            continue;
        };
        let golden: Value = serde_json::from_str(&fs::read_to_string(file.path()).unwrap()).unwrap();
        document.assert_message(described, &golden);
    }
}

#[tokio::test]
async fn what_is_said_on_a_socket_is_as_described() {
    let server = Start::new().start();
    let document = Document::of(&server, "/asyncapi.json").await;
    let offer = [("sec-websocket-protocol", "up.v1")];
    let mut socket = Socket { stream: socket::open(&server.url, &offer).await.unwrap() };
    let mut said = Vec::new();
    let mut hear = async |socket: &mut Socket| {
        let message = socket.message(SOON).await;
        let name = message["type"].as_str().unwrap().to_owned();
        document.assert_message(&format!("server-{name}"), &message);
        said.push(name.clone());
        name
    };
    let say = async |socket: &mut Socket, message: Value| {
        document.assert_message(&format!("client-{}", message["type"].as_str().unwrap()), &message);
        socket.say(&message).await;
    };
    hear(&mut socket).await;
    say(&mut socket, json!({ "type": "ping", "t": 7 })).await;
    assert_eq!(hear(&mut socket).await, "pong");
    for bytes in [pictures::jpeg(1600, 1200), pictures::damaged()] {
        let upload = id(&server.accepted("cat", bytes).await);
        say(&mut socket, json!({ "type": "subscribe", "ref": 1, "ids": [upload, "nonsense"] })).await;
        assert_eq!(hear(&mut socket).await, "snapshot");
        server.end(&upload, SOON).await;
        say(&mut socket, json!({ "type": "unsubscribe", "ids": [upload] })).await;
        say(&mut socket, json!({ "type": "ping", "t": 8 })).await;
        while hear(&mut socket).await != "pong" {}
    }
    let many: Vec<_> = (0..501).map(|number| number.to_string()).collect();
    say(&mut socket, json!({ "type": "subscribe", "ids": many })).await;
    assert_eq!(hear(&mut socket).await, "error");
    say(&mut socket, json!({ "type": "pong", "t": 9 })).await;
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(hear(&mut socket).await, "bye");
    assert!(matches!(socket.next(Duration::from_secs(5)).await, Came::Closed(Some(1012))));
}
