//! Logs that answer: a line for each end, flat JSON, and one line for one event.

use std::{collections::BTreeMap, net::TcpListener};

use integration_tests::{
    brown_out::{BrownOut, Mood},
    fleet::Fleet,
    patience::{SOON, eventually},
    pictures,
    proxy::{Network, Proxy},
    repository::text_of,
    s3::Bucket,
    server::{Start, id},
    worker::StartWorker,
};
use serde_json::Value;
use worker::{
    Storage, UploadStatus,
    transport::{JobQueue, Posting},
};

fn lines(log: &str) -> Vec<Value> {
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    log.lines().map(read).collect()
}

fn about<'a>(lines: &'a [Value], id: &str, message: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["id"] == id && line["message"] == message).collect()
}

/// Whether a text is the debug form of a value: an option, a text in quotes, or a variant with fields.
fn is_debug(text: &str) -> bool {
    let variant = text.split(['(', ' ']).next().unwrap_or_default();
    let begins_like_a_type = variant.starts_with(|first: char| first.is_ascii_uppercase())
        && variant.chars().all(char::is_alphanumeric);
    text == "None"
        || text.starts_with('"')
        || (begins_like_a_type
            && (text[variant.len()..].starts_with('(') || text[variant.len()..].starts_with(" { ")))
}

fn assert_flat(lines: &[Value]) {
    for line in lines {
        let fields = line.as_object().unwrap();
        assert!(fields["timestamp"].is_string() && fields["level"].is_string(), "{line}");
        for (name, value) in fields {
            assert!(!value.is_object() && !value.is_array(), "{name} is not flat: {line}");
            assert!(name != "span" && name != "spans", "{line}");
            assert!(!value.as_str().is_some_and(is_debug), "{name} is in debug form: {line}");
        }
    }
}

#[tokio::test]
async fn each_end_is_one_flat_line_with_name_duration_worker_and_outcome() {
    let server =
        Start::new().with("--workers", "0").with("--log-format", "json").logging_by_default().start();
    let worker = StartWorker::beside(&server.data).variable("UP_LOG_FORMAT", "json").logging_by_default();
    let worker = worker.start();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    for (name, picture, outcome) in
        [("cat \"one\".png", pictures::tiny(1), "ready"), ("torn.jpg", pictures::damaged(), "failed")]
    {
        let form = reqwest::multipart::Part::bytes(picture).file_name(name.to_owned());
        let request = server.client.post(server.at("/uploads")).header("accept", "application/json");
        let request = request.header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"));
        let answer =
            request.multipart(reqwest::multipart::Form::new().part("file", form)).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let id = id(&answer["uploads"][0]);
        server.end(&id, SOON).await;
        let sent = lines(&server.log());
        let [accepted] = about(&sent, &id, "accepted")[..] else { panic!("{}", server.log()) };
        assert_eq!((&accepted["name"], &accepted["trace_id"]), (&name.into(), &trace.into()), "{accepted}");
        let ended = eventually("the end is logged", SOON, async || {
            let lines = lines(&worker.log());
            let ends: Vec<Value> = about(&lines, &id, "the upload has ended").into_iter().cloned().collect();
            (!ends.is_empty()).then_some(ends)
        })
        .await;
        let [ended] = &ended[..] else { panic!("{ended:?}") };
        assert_eq!((&ended["name"], &ended["trace_id"]), (&name.into(), &trace.into()), "{ended}");
        assert_eq!(ended["outcome"], outcome, "{ended}");
        for duration in ["seconds", "worked_seconds"] {
            assert!(ended[duration].as_f64().is_some_and(|seconds| seconds > 0.0), "{ended}");
        }
        let pid = worker.pid().as_raw_nonzero().to_string();
        assert!(ended["worker"].as_str().unwrap().ends_with(&format!(":{pid}")), "{ended}");
    }
    assert_flat(&lines(&server.log()));
    assert_flat(&lines(&worker.log()));
}

#[tokio::test]
async fn a_job_that_is_posted_three_times_ends_in_one_line_and_counts_once() {
    let fleet = Fleet::new().await;
    let server = fleet.server().start();
    let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let worker = fleet.worker().variable("UP_LOG_FORMAT", "json").variable("UP_ADMIN_LISTEN", &admin).start();
    let mut ids = Vec::new();
    for picture in [pictures::tiny(1), pictures::damaged()] {
        let ready = id(&server.accepted("cat.png", picture).await);
        server.end(&ready, SOON).await;
        ids.push(ready);
    }
    let storage = Storage::open(&fleet.storage().parse().unwrap()).unwrap();
    let queue = fleet.queue();
    for id in &ids {
        let record = match storage.status(id.parse().unwrap()).await.unwrap() {
            UploadStatus::Ready(result) => result.record,
            UploadStatus::Failed(failure) => failure.record,
            other => panic!("{other:?}"),
        };
        // As clients and sweepers post it.
        queue.publish(Posting::of_client(record.clone())).await.unwrap();
        queue.publish(Posting::of_sweeper(record)).await.unwrap();
    }
    eventually("all are announced", SOON, async || {
        let again = worker.log().matches("the end of an upload is announced again").count();
        (again == 4).then_some(())
    })
    .await;
    let lines = lines(&worker.log());
    for id in &ids {
        assert_eq!(about(&lines, id, "the upload has ended").len(), 1, "{}", worker.log());
    }
    let metrics = server.client.get(format!("http://{admin}/metrics")).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for line in [
        r#"up_jobs_total{outcome="ready"} 1"#,
        r#"up_jobs_total{outcome="failed"} 1"#,
        "up_accepted_to_ended_seconds_count 2",
    ] {
        assert!(metrics.lines().any(|shown| shown == line), "{line}: {metrics}");
    }
}

/// The messages of level warn and error that OPERATING.md lists, without their fields.
fn listed_messages() -> Vec<String> {
    let operating = text_of("server/OPERATING.md");
    let (_, section) = operating.split_once("\n## Log messages\n").unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(message, _)| message.split('{').next().unwrap().to_owned()).collect()
}

fn messages(log: &str, levels: &[&str]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in lines(log) {
        if levels.contains(&line["level"].as_str().unwrap()) {
            *counts.entry(line["message"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    counts
}

#[tokio::test]
async fn a_broker_that_is_lost_is_told_by_our_lines_alone_and_once_for_each_connection() {
    let fleet = Fleet::new().await;
    let proxy = Proxy::to(fleet.vhost.port()).await;
    let start = fleet.server_through(proxy.port).with("--log-format", "json").logging_by_default();
    let server = start.start();
    let connected = |times| {
        let log = server.log();
        (log.matches("connected to the broker").count() >= times).then_some(())
    };
    eventually("both connections are open", SOON, async || connected(2)).await;
    proxy.set(Network::Refuses);
    eventually("the loss is logged", SOON, async || {
        (server.log().matches("could not connect to the broker").count() >= 2).then_some(())
    })
    .await;
    proxy.set(Network::Passes);
    eventually("both connections are open again", SOON, async || connected(4)).await;
    let (listed, told) = (listed_messages(), messages(&server.log(), &["WARN", "ERROR"]));
    for message in told.keys() {
        assert!(
            listed.iter().any(|known| message.starts_with(known.as_str())),
            "{message} is not ours: {told:?}"
        );
    }
    for event in ["lost the connection to the broker", "the connection to the broker failed"] {
        assert!(told.get(event).copied().unwrap_or_default() <= 2, "{event}: {told:?}");
    }
    assert_flat(&lines(&server.log()));
}

#[tokio::test]
async fn a_store_that_is_away_is_told_by_our_lines_alone() {
    let bucket = Bucket::start().await;
    let store = BrownOut::before(bucket.port(), 1).await;
    let start = Start::new().with("--workers", "0").with("--storage", &bucket.url);
    let start = start.with("--log-format", "json").logging_by_default();
    let variables = bucket.variables_through(store.port);
    let server = variables.iter().fold(start, |start, (name, value)| start.variable(name, value)).start();
    server.accepted("cat.png", pictures::tiny(1)).await;
    store.set(Mood::Unavailable);
    assert_eq!(server.post("cat.png", pictures::tiny(2)).await.status(), 503);
    store.set(Mood::Reliable);
    let told = messages(&server.log(), &["INFO", "WARN", "ERROR"]);
    assert!(told.contains_key("storage is unavailable"), "{told:?}");
    assert!(!told.keys().any(|message| message.starts_with("Encountered")), "{told:?}");
    let unavailable = lines(&server.log());
    let unavailable = unavailable.iter().find(|line| line["message"] == "storage is unavailable").unwrap();
    assert!(unavailable["error"].as_str().unwrap().starts_with("could not write"), "{unavailable}");
    assert!(unavailable["error"].as_str().unwrap().contains(": "), "the causes are there: {unavailable}");
    assert_flat(&lines(&server.log()));
}
