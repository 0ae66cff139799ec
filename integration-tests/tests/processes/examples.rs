//! The examples do what they say: each is run as it stands in the repository, against a real server.

use std::{fs, net::TcpListener, process::Command};

use integration_tests::{
    patience::SOON,
    pictures,
    repository::root,
    server::{Data, Server, Start, id},
};
use serde_json::Value;

/// The example clients: what runs them, and where they are.
const CLIENTS: [(&str, &str); 3] = [
    ("python3", "server/examples/client.py"),
    ("node", "server/examples/client.mjs"),
    ("sh", "server/examples/client.sh"),
];

/// The end of an example.
struct Ended {
    code: Option<i32>,
    output: String,
    error: String,
}

fn run(interpreter: &str, options: &[&str], example: &str, arguments: &[&str]) -> Ended {
    let mut command = Command::new(interpreter);
    command.args(options).arg(root().join(example)).args(arguments);
    let output = command.output().unwrap_or_else(|error| panic!("{interpreter} is needed: {error}"));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), output: text(output.stdout), error: text(output.stderr) }
}

/// Asserts that a client uploads a photograph and saves its three thumbnails.
fn assert_saves(server: &Server, interpreter: &str, options: &[&str], example: &str) {
    let scratch = Data::new();
    let (photo, saved) = (scratch.path().join("a photo.jpg"), scratch.path().join("saved"));
    fs::write(&photo, pictures::jpeg(1200, 800)).unwrap();
    let arguments = [photo.to_str().unwrap(), saved.to_str().unwrap(), &server.url];
    let Ended { code, output, error } = run(interpreter, options, example, &arguments);
    assert_eq!(code, Some(0), "{example} {options:?}: {output}{error}");
    assert_eq!(output.lines().count(), 3, "{example} names what it saved: {output}");
    for (size, longest) in [("small", 160), ("medium", 480), ("large", 1024)] {
        let path = saved.join(format!("{size}.jpg"));
        let picture = image::open(&path).unwrap();
        assert_eq!(picture.width(), longest, "{example} {size}");
        assert!(output.contains(path.to_str().unwrap()), "{example} names {size}: {output}");
    }
}

/// Nothing, and the options by which this version of Node has a WebSocket or none.
fn node_options() -> Vec<&'static [&'static str]> {
    let all: [&[&str]; 3] = [&[], &["--experimental-websocket"], &["--no-experimental-websocket"]];
    let is_known = |options: &&[&str]| {
        Command::new("node").args(*options).arg("--version").output().unwrap().status.success()
    };
    all.into_iter().filter(is_known).collect()
}

#[tokio::test]
async fn every_example_client_saves_the_three_thumbnails() {
    let server = Start::new().start();
    for (interpreter, example) in CLIENTS {
        assert_saves(&server, interpreter, &[], example);
    }
    assert_eq!(server.data.uploads().len(), CLIENTS.len(), "each made one upload");
}

#[tokio::test]
async fn the_javascript_client_works_with_a_socket_and_without() {
    let server = Start::new().start();
    for options in node_options() {
        assert_saves(&server, "node", options, "server/examples/client.mjs");
    }
}

#[tokio::test]
async fn example_clients_explain_what_went_wrong_and_say_it_by_their_exit_code() {
    let server = Start::new().start();
    let scratch = Data::new();
    let path = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    let (text, damaged, missing, saved) =
        (path("text.jpg"), path("damaged.png"), path("missing.jpg"), path("saved"));
    fs::write(&text, "This is no picture.").unwrap();
    fs::write(&damaged, pictures::damaged()).unwrap();
    // A port that nobody listens on any more.
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = format!("http://{away}");
    for (interpreter, example) in CLIENTS {
        let mistakes: [(&[&str], i32, &str); 5] = [
            (&[&text, &saved, &server.url], 1, "415"),
            (&[&damaged, &saved, &server.url], 1, "The file is damaged."),
            (&[&damaged, &saved, &away], 2, "could not reach"),
            (&[&missing, &saved, &server.url], 64, "missing.jpg"),
            (&[&text], 64, "usage"),
        ];
        for (arguments, code, explained) in mistakes {
            let ended = run(interpreter, &[], example, arguments);
            assert_eq!(ended.code, Some(code), "{example} {arguments:?}: {}", ended.error);
            assert!(ended.error.contains(explained), "{example} {arguments:?}: {}", ended.error);
            assert_eq!(ended.output, "", "{example} {arguments:?}");
        }
    }
}

/// Asserts that the example that reads storage and the server see the same state of an upload, and answers it.
async fn assert_same_state(server: &Server, upload: &str) -> Value {
    let storage = server.data.path().to_str().unwrap();
    let Ended { code, output, error } = run("python3", &[], "worker/examples/status.py", &[storage, upload]);
    assert_eq!(code, Some(0), "{error}");
    let (read, told): (Value, _) = (serde_json::from_str(&output).unwrap(), server.upload(upload).await);
    for member in ["id", "gen", "state"] {
        assert_eq!(read[member], told[member], "{read} {told}");
    }
    assert_eq!(read.get("error"), told.get("error"), "{read} {told}");
    read
}

#[tokio::test]
async fn the_example_that_reads_storage_and_the_server_see_the_same_states() {
    let data = Data::new();
    let server = Start::on(&data).start();
    let ready = id(&server.accepted("cat.jpg", pictures::jpeg(300, 200)).await);
    let lost = id(&server.accepted("lost.jpg", pictures::jpeg(300, 200)).await);
    let failed = id(&server.accepted("damaged.png", pictures::damaged()).await);
    for upload in [&ready, &lost, &failed] {
        server.end(upload, SOON).await;
    }
    let read = assert_same_state(&server, &ready).await;
    assert_eq!(read["thumbnails"].as_array().unwrap().len(), 3, "{read}");
    assert!(read["thumbnails"].as_array().unwrap().iter().all(|it| it["whole"] == true), "{read}");
    assert_same_state(&server, &failed).await;
    // Another server, which remembers nothing, and no worker that would change anything.
    drop(server);
    fs::write(data.upload(&lost).join("result.json"), "{").unwrap();
    let server = Start::on(&data).with("--workers", "0").start();
    assert_eq!(assert_same_state(&server, &lost).await["error"]["type"], "/problems/forgotten");
    let queued = id(&server.accepted("dog.jpg", pictures::jpeg(300, 200)).await);
    assert_eq!(assert_same_state(&server, &queued).await["state"], "queued");
    let retried = server.client.post(server.at(&format!("/uploads/{failed}/retry"))).send().await.unwrap();
    assert_eq!(retried.status(), 202);
    assert_eq!(assert_same_state(&server, &failed).await["gen"], 2);
    let unknown = "0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10";
    let ended = run("python3", &[], "worker/examples/status.py", &[data.path().to_str().unwrap(), unknown]);
    assert_eq!(ended.code, Some(1), "{}", ended.error);
}
