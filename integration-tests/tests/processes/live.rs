//! The socket and its rules.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use integration_tests::{
    patience::{SOON, eventually},
    pictures, raw,
    server::{Start, id},
    socket::{Came, Socket, open},
};
use rustix::process::Signal;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};
use tokio_tungstenite::tungstenite::{self, Message};

#[tokio::test]
async fn only_up_v1_is_spoken() {
    let server = Start::new().with("--workers", "0").start();
    for headers in [vec![], vec![("sec-websocket-protocol", "up.v9, chat")]] {
        let mut socket = Socket { stream: open(&server.url, &headers).await.unwrap() };
        match socket.next(SOON).await {
            Came::Closed(code) => assert_eq!(code, Some(4506), "{headers:?}"),
            Came::Message(message) => panic!("{message}"),
        }
    }
    let both = open(&server.url, &[("sec-websocket-protocol", "up.v9, up.v1")]).await.unwrap();
    assert!(matches!(Socket { stream: both }.next(SOON).await, Came::Message(_)));
}

#[tokio::test]
async fn a_page_of_another_site_gets_no_socket() {
    let server =
        Start::new().with("--workers", "0").with("--allowed-origins", "https://friend.example").start();
    let with = async |origin: &str| {
        open(&server.url, &[("sec-websocket-protocol", "up.v1"), ("origin", origin)]).await
    };
    assert!(with(&server.url).await.is_ok());
    assert!(with("https://friend.example").await.is_ok());
    match with("https://evil.example").await {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 403),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_socket_that_talks_nonsense_is_closed_with_4500() {
    let server = Start::new().with("--workers", "0").start();
    for nonsense in [
        Message::text("hello"),
        Message::text(r#"{"type":"subscribe"}"#),
        Message::binary(vec![1, 2, 3]),
        Message::text(format!(r#"{{"type":"x","pad":"{}"}}"#, "x".repeat(40_000))),
    ] {
        let mut socket = Socket::connect(&server.url).await;
        socket.stream.send(nonsense.clone()).await.unwrap();
        match socket.next(SOON).await {
            Came::Closed(code) => assert_eq!(code, Some(4500), "{}", nonsense.len()),
            Came::Message(message) => panic!("{message}"),
        }
    }
    let mut socket = Socket::connect(&server.url).await;
    socket.say(&json!({"type": "from-the-future", "with": ["fields"]})).await;
    socket.say(&json!({"type": "ping", "t": 9})).await;
    assert_eq!(socket.message(SOON).await, json!({"type": "pong", "t": 9}));
}

#[tokio::test]
async fn subscriptions_are_bounded() {
    let server = Start::new().with("--workers", "0").start();
    let mut socket = Socket::connect(&server.url).await;
    let ids: Vec<String> = (0..501).map(|_| worker::UploadId::new().to_string()).collect();
    socket.subscribe(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let error = socket.message(SOON).await;
    assert_eq!(
        (&error["type"], &error["ref"], &error["code"]),
        (&"error".into(), &1.into(), &"too-many-ids".into())
    );
    // It is still of use, and who asks for the same again takes no more room.
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    let upload = id(&upload);
    let known = [&*upload; 300];
    for _ in 0..2 {
        socket.subscribe(&known).await;
        assert_eq!(socket.message(SOON).await["uploads"][0]["id"], *upload);
    }
}

#[tokio::test]
async fn who_unsubscribes_hears_no_more() {
    let data = integration_tests::server::Data::new();
    let idle = Start::on(&data).with("--workers", "0").start();
    let (one, other) =
        (idle.accepted("a.png", pictures::tiny(1)).await, idle.accepted("b.png", pictures::tiny(2)).await);
    let mut socket = Socket::connect(&idle.url).await;
    socket.subscribe(&[&id(&one), &id(&other)]).await;
    assert_eq!(socket.message(SOON).await["uploads"].as_array().unwrap().len(), 2);
    socket.say(&json!({"type": "unsubscribe", "ids": [one["id"]]})).await;
    socket.say(&json!({"type": "ping", "t": 1})).await;
    assert_eq!(socket.message(SOON).await["type"], "pong");
    // Another server on the same host brings the workers.
    let _workers = Start::on(&data).start();
    let ready = socket.end_of(&id(&other), SOON).await;
    assert_eq!(ready["state"], "ready");
    idle.end(&id(&one), SOON).await;
    socket.say(&json!({"type": "ping", "t": 2})).await;
    assert_eq!(socket.message(SOON).await, json!({"type": "pong", "t": 2}));
}

#[tokio::test]
async fn a_socket_that_answers_no_ping_is_closed_with_4008() {
    let server = Start::new().with("--workers", "0").start();
    let mut socket = Socket::connect(&server.url).await;
    let opened = Instant::now();
    assert_eq!(socket.message(Duration::from_secs(40)).await["type"], "ping");
    match socket.next(Duration::from_secs(40)).await {
        Came::Closed(code) => assert_eq!(code, Some(4008)),
        Came::Message(message) => panic!("{message}"),
    }
    assert!(opened.elapsed() >= Duration::from_secs(44));
}

#[tokio::test]
async fn a_socket_that_reads_nothing_is_let_go_and_delays_nobody() {
    let server = Start::new().with("--workers", "0").with("--admin-listen", "127.0.0.1:0").start();
    let mut ids = Vec::new();
    for seed in 0..50 {
        ids.push(id(&server.accepted("cat.png", pictures::tiny(seed)).await));
    }
    let mut slow = Socket::connect(&server.url).await;
    let wanted: Vec<&str> = ids.iter().map(String::as_str).collect();
    let flood = async {
        // Snapshots of 25 kB each, until the server no longer takes the requests: its answers are stuck.
        loop {
            let subscribe = Message::text(json!({"type": "subscribe", "ids": wanted}).to_string());
            if slow.stream.send(subscribe).await.is_err() {
                return;
            }
        }
    };
    let begun = Instant::now();
    let neighbour = async {
        let mut socket = Socket::connect(&server.url).await;
        for t in 0..100 {
            let asked = Instant::now();
            socket.say(&json!({"type": "ping", "t": t})).await;
            assert_eq!(socket.message(SOON).await["t"], t);
            assert!(asked.elapsed() < Duration::from_secs(2), "a neighbour is delayed");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (flooded, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(60), flood), neighbour);
    assert!(flooded.is_ok(), "the slow one is not let go");
    assert_eq!(server.figure("up_sockets_closed_total{reason=\"slow\"}").await, Some(1.0));
    assert!(begun.elapsed() > Duration::from_secs(5), "it was given its time");
}

#[tokio::test]
async fn a_drain_says_goodbye_finishes_what_is_coming_in_and_exits_with_zero() {
    let mut server = Start::new().start();
    server.workers_ready(2).await;
    let mut socket = Socket::connect(&server.url).await;
    let picture = pictures::jpeg(640, 480);
    let mut uploading = raw::begin_upload(&server.url, "", picture.len()).await;
    uploading.write_all(&picture[..1000]).await.unwrap();
    server.signal(Signal::TERM);
    let bye = socket.message(SOON).await;
    assert_eq!((&bye["type"], &bye["reason"]), (&"bye".into(), &"restart".into()));
    assert!(bye["retry_ms"].as_u64().unwrap() > 0);
    assert!(matches!(socket.next(SOON).await, Came::Closed(Some(1012))));
    assert_eq!(server.client.get(server.at("/readyz")).send().await.unwrap().status(), 503);
    assert_eq!(server.post("late.png", pictures::tiny(1)).await.status(), 503);
    // Longer than connections have that only need to be closed.
    tokio::time::sleep(Duration::from_secs(7)).await;
    uploading.write_all(&picture[1000..]).await.unwrap();
    let mut answer = String::new();
    uploading.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert_eq!(server.ended(SOON).await.code(), Some(0));
    assert!(socket.stream.next().await.is_none_or(|frame| frame.is_err()));
    // The upload that was accepted last ends with the next server.
    let upload: serde_json::Value = serde_json::from_str(answer.rsplit_once("\r\n\r\n").unwrap().1).unwrap();
    let next = Start::on(&server.data).start();
    next.assert_ready(&next.end(&id(&upload["uploads"][0]), SOON).await).await;
}

#[tokio::test]
async fn a_stream_of_events_ends_when_the_server_stops() {
    let mut server = Start::new().with("--workers", "0").start();
    let upload = id(&server.accepted("cat.png", pictures::tiny(1)).await);
    let events = server.client.get(server.at(&format!("/uploads/{upload}/events"))).send().await.unwrap();
    assert_eq!(events.status(), 200);
    server.signal(Signal::TERM);
    let stream = tokio::time::timeout(SOON, events.text()).await.expect("the stream ends").unwrap();
    assert_eq!(stream.matches("event:").count(), 1, "{stream}");
    assert!(stream.contains("retry:"), "a browser comes back: {stream}");
    assert_eq!(server.ended(SOON).await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_leaves_at_once() {
    let mut server = Start::new().failing("job-started=park").start();
    server.accepted("cat.png", pictures::tiny(1)).await;
    let parked = async || server.log().contains("failpoint").then_some(());
    eventually("a worker has the job", SOON, parked).await;
    let started = Instant::now();
    server.signal(Signal::TERM);
    let drains = async || server.log().contains("received a signal: draining").then_some(());
    eventually("the server drains", SOON, drains).await;
    server.signal(Signal::TERM);
    assert_ne!(server.ended(SOON).await.code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn what_has_ended_is_told_at_once_to_who_subscribes_late() {
    let server = Start::new().start();
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    server.end(&id(&upload), SOON).await;
    let mut socket = Socket::connect(&server.url).await;
    socket.subscribe(&[&id(&upload)]).await;
    let snapshot = socket.message(SOON).await;
    assert_eq!(snapshot["uploads"][0]["state"], "ready");
}

#[tokio::test]
async fn no_completion_falls_between_subscribing_and_reading_in_a_thousand_rounds() {
    let server = Start::new().start();
    server.workers_ready(2).await;
    let mut socket = Socket::connect(&server.url).await;
    for round in 0..1000 {
        let upload = server.accepted("cat.png", pictures::tiny(round)).await;
        // From at once to about as long as such a job takes, so that some subscriptions meet the completion.
        tokio::time::sleep(Duration::from_micros(u64::from(round % 50) * 200)).await;
        socket.subscribe(&[&id(&upload)]).await;
        // Well below the slow re-check, which would hide a loss.
        let ready = socket.end_of(&id(&upload), Duration::from_secs(10)).await;
        assert_eq!(ready["state"], "ready");
        socket.say(&json!({"type": "unsubscribe", "ids": [upload["id"]]})).await;
    }
}

#[tokio::test]
async fn two_servers_on_one_queue_tell_each_others_waiters() {
    let data = integration_tests::server::Data::new();
    let (one, other) =
        (Start::on(&data).with("--workers", "0").start(), Start::on(&data).with("--workers", "1").start());
    let upload = one.accepted("cat.jpg", pictures::jpeg(1200, 800)).await;
    let mut socket = Socket::connect(&other.url).await;
    socket.subscribe(&[&id(&upload)]).await;
    drop(one);
    other.assert_ready(&socket.end_of(&id(&upload), SOON).await).await;
}
