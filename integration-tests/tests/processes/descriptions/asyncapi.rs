//! `/asyncapi.json`

use std::{fs, path::Path, time::Duration};

use integration_tests::{
    fleet::Fleet,
    patience::{SOON, eventually},
    pictures,
    server::{Start, id, json as body},
    socket::{self, Came, Socket},
};
use serde_json::{Value, json};
use tokio::time::timeout;
use worker::{
    Lane,
    transport::{DeathReason, JobQueue, Settled, Slots, Task},
};

use super::document::Document;

impl Document {
    /// Asserts that a message is what is described by this name.
    fn assert_message(&self, name: &str, message: &Value) {
        let payload = &self.0["components"]["messages"][name]["payload"];
        assert!(payload.is_object(), "{name} is not described: {message}");
        self.assert_valid(payload, message);
    }

    /// Asserts that a message of a broker is what is described by this name, body and properties.
    fn assert_travels(&self, name: &str, message: &Value) {
        let payload = serde_json::from_str(message["payload"].as_str().unwrap()).unwrap();
        self.assert_message(name, &payload);
        let described = &self.0["components"]["messages"][name];
        let properties = &message["properties"];
        assert_eq!(properties["type"], described["name"]);
        assert_eq!(properties["type"], described["bindings"]["amqp"]["messageType"]);
        assert_eq!(properties["content_type"], described["contentType"]);
        self.assert_valid(&described["headers"], &properties["headers"]);
        // A broker adds headers of its own; ours all begin so.
        for header in
            properties["headers"].as_object().unwrap().keys().filter(|name| name.starts_with("x-up-"))
        {
            assert!(described["headers"]["properties"][header].is_object(), "{header} is not described");
        }
    }

    /// Asserts that a message has come by the exchange of a channel.
    fn assert_came_by(&self, channel: &str, message: &Value) {
        let bound = &self.0["channels"][channel]["bindings"]["amqp"]["exchange"]["name"];
        assert_eq!(&message["exchange"], bound);
    }
}

#[tokio::test]
async fn golden_messages_are_as_described() {
    let server = Start::new().with("--workers", "0").start();
    let document = Document::of(&server, "/asyncapi.json").await;
    document.assert_references_lead_somewhere();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../worker/golden");
    let names = [("resize-job", "ResizeJob"), ("changed", "Changed")];
    for file in fs::read_dir(folder).unwrap().flatten() {
        let name = file.file_name().into_string().unwrap();
        let Some((_, described)) = names.iter().find(|(prefix, _)| name.starts_with(prefix)) else {
            let stored = ["pending", "result", "failure", "gone", "expiry", "delete-secret", "merge"];
            assert!(stored.iter().any(|prefix| name.starts_with(prefix)), "{name} is not a message");
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

#[tokio::test]
async fn events_of_a_stream_are_what_a_socket_says() {
    let server = Start::new().start();
    let document = Document::of(&server, "/asyncapi.json").await;
    for (bytes, end) in
        [(pictures::jpeg(1600, 1200), "thumbnail-ready"), (pictures::damaged(), "upload-failed")]
    {
        let upload = id(&server.accepted("cat", bytes).await);
        let answer = server.client.get(server.at(&format!("/uploads/{upload}/events"))).send().await.unwrap();
        let stream = timeout(SOON, answer.text()).await.expect("a stream ends with its upload").unwrap();
        let mut last = None;
        for event in stream.split_terminator("\n\n").filter(|event| !event.starts_with(':')) {
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
            let message: Value = serde_json::from_str(field("data:")).unwrap();
            assert_eq!(message["type"], field("event:"));
            document.assert_message(&format!("server-{}", field("event:")), &message);
            last = Some(field("event:"));
        }
        assert_eq!(last, Some(end));
    }
}

#[tokio::test]
async fn what_travels_by_a_broker_is_as_described() {
    let fleet = Fleet::new().await;
    let server = fleet.server().start();
    let document = Document::of(&server, "/asyncapi.json").await;
    fleet.queue().connect().await.unwrap();
    fleet.vhost.declare("heard", json!({})).await;
    fleet.vhost.bind(document.0["channels"]["up.done"]["address"].as_str().unwrap(), "heard").await;
    let messages = async |queue: &str, count| {
        let all = async || Some(fleet.vhost.messages(queue).await).filter(|messages| messages.len() == count);
        eventually(&format!("{queue} holds {count}"), SOON, all).await
    };

    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut accepted = Vec::new();
    for path in ["/uploads", "/uploads?lane=bulk"] {
        let request = server.client.post(server.at(path)).header("traceparent", traceparent);
        let answer = body(request.body(pictures::tiny(1)).send().await.unwrap()).await;
        accepted.push(answer["uploads"][0].clone());
    }
    for queue in ["resize", "resize.bulk"] {
        let job = messages(queue, 1).await.remove(0);
        document.assert_travels("ResizeJob", &job);
        document.assert_came_by(queue, &job);
        assert_eq!(job["routing_key"], document.0["channels"][queue]["address"]);
        let posted = &document.0["operations"][format!("post-{queue}")]["bindings"]["amqp"];
        assert_eq!(job["properties"]["delivery_mode"], posted["deliveryMode"]);
        assert_eq!(job["properties"]["timestamp"].is_u64(), posted["timestamp"] == true);
    }

    let queue = fleet.queue();
    let mut deliveries = queue.consume(Slots::any(2.try_into().unwrap())).await.unwrap();
    for delivery in [deliveries.next().await.unwrap(), deliveries.next().await.unwrap()] {
        let Task::Resize(job) = &delivery.task else { panic!("it is a job") };
        let settled = match job.lane() {
            Lane::Interactive => delivery.dead_letter(DeathReason::Exhausted).await,
            Lane::Bulk => delivery.release().await,
        };
        assert_eq!(settled.unwrap(), Settled::Done);
    }
    drop(deliveries);
    let dead = messages("resize.dead", 1).await.remove(0);
    document.assert_travels("ResizeJob", &dead);
    assert_eq!(dead["properties"]["headers"]["x-up-death"], "exhausted");

    let _worker = fleet.worker().start();
    for upload in &accepted {
        server.end(&id(upload), SOON).await;
    }
    let mut ends = Vec::new();
    for message in messages("heard", 5).await {
        let payload: Value = serde_json::from_str(message["payload"].as_str().unwrap()).unwrap();
        let state = payload["upload"]["state"].as_str();
        document.assert_travels("Changed", &message);
        document.assert_came_by("up.done", &message);
        ends.extend(state.map(str::to_owned));
    }
    ends.sort();
    // Each was handed out once by this test, and one of them once more by the worker.
    assert_eq!(ends, ["failed", "processing", "processing", "processing", "ready"]);
}
