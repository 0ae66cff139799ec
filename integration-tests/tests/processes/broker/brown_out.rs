//! A store that refuses, delays, cuts and drops some of its requests for a while, under live uploads.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use futures::future::join_all;
use integration_tests::{
    brown_out::{BrownOut, Fault, Mood},
    fleet::Fleet,
    patience::eventually,
    pictures,
    s3::Bucket,
    server::{Server, Start, id, json},
    socket::Socket,
    worker::StartWorker,
};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// How long the store is unreliable: longer than the first delay of a job that failed.
const LASTS: Duration = Duration::from_secs(25);

/// Uploads in that time: four a second.
const UPLOADS: u32 = 100;

/// How long after its acceptance an upload must have ended: retries of the storage client, a delayed job, a sweep.
const ENDS_WITHIN: Duration = Duration::from_secs(120);

/// A JPEG whose sides lie behind so many bytes that the server reads them back from storage.
fn picture_with_late_header() -> Vec<u8> {
    const COMMENT_BYTES: u16 = 60_000;
    let picture = pictures::jpeg(64, 64);
    let comment =
        [&[0xFF, 0xFE][..], &COMMENT_BYTES.to_be_bytes(), &[b' '; COMMENT_BYTES as usize - 2]].concat();
    [&picture[..2], &comment.repeat(5), &picture[2..]].concat()
}

/// Uploads a picture to a server and waits for its end at another one. Answers `None` for a clean refusal.
async fn upload(number: u32, [one, other]: [&Server; 2]) -> Option<Value> {
    let picture = if number.is_multiple_of(3) { picture_with_late_header() } else { pictures::tiny(number) };
    let answer = one.post("cat.jpg", picture).await;
    let status = answer.status();
    if status != 202 {
        let waits = answer.headers().contains_key("retry-after");
        let problem = json(answer).await;
        assert_eq!((status.as_u16(), &problem["type"]), (503, &"/problems/unavailable".into()), "{problem}");
        assert!(waits, "a client is told when to try again: {problem}");
        return None;
    }
    let accepted = id(&json(answer).await["uploads"][0]);
    let mut socket = Socket::connect(&other.url).await;
    socket.subscribe(&[&accepted]).await;
    Some(socket.end_of(&accepted, ENDS_WITHIN).await)
}

/// The names of the entries of a directory, where there is one.
fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// The ids of the uploads that have an object in a bucket.
fn stored(bucket: &Bucket) -> BTreeSet<String> {
    let shards = bucket.objects().join("uploads");
    let shards: Vec<_> = names(&shards).iter().map(|shard| shards.join(shard)).collect();
    let uploads = shards.iter().flat_map(|shard| names(shard).into_iter().map(|id| (shard.join(&id), id)));
    // A directory that is empty is no object.
    uploads.filter(|(directory, _)| !names(directory).is_empty()).map(|(_, id)| id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_brown_out_of_the_storage_loses_no_accepted_upload_and_is_charged_to_no_job() {
    let seed = std::env::var("UP_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    println!("UP_TEST_SEED={seed}");
    let (fleet, bucket) = (Fleet::new().await, Bucket::start().await);
    let store = BrownOut::before(bucket.port(), seed).await;
    let variables = bucket.variables_through(store.port);
    let servers = [(); 2].map(|()| {
        let start = Start::new().with("--workers", "0").with("--broker", &fleet.vhost.url());
        let start = start.with("--storage", &bucket.url);
        variables.iter().fold(start, |start, (name, value)| start.variable(name, value)).start()
    });
    let workers = [(); 2].map(|()| {
        let start = StartWorker::on(&fleet.vhost.url(), &bucket.url);
        variables.iter().fold(start, |start, (name, value)| start.variable(name, value)).start()
    });
    for worker in &workers {
        worker.takes_jobs().await;
    }
    store.set(Mood::Unreliable);
    let begun = Instant::now();
    let brown_out = async {
        sleep(LASTS).await;
        store.set(Mood::Reliable);
    };
    let uploading = join_all((0..UPLOADS).map(async |number| {
        sleep(LASTS / UPLOADS * number).await;
        let (one, other) = (number as usize % 2, (number as usize + 1) % 2);
        upload(number, [&servers[one], &servers[other]]).await
    }));
    let (ended, ()) = tokio::join!(uploading, brown_out);
    let settled = begun.elapsed();
    let accepted: Vec<Value> = ended.into_iter().flatten().collect();
    let ready = accepted.iter().filter(|upload| upload["state"] == "ready").count();
    println!(
        "accepted = {}, ready = {ready}, refused = {}, settled after {settled:?}, faults = {:?}",
        accepted.len(),
        UPLOADS as usize - accepted.len(),
        store.faults()
    );
    for fault in [Fault::Unavailable, Fault::LostRequest, Fault::LostReply, Fault::CutRead, Fault::Late] {
        assert!(store.faults().get(&fault) > Some(&2), "hardly any {fault:?}: {:?}", store.faults());
    }
    assert!(accepted.len() > UPLOADS as usize / 2, "hardly anything was accepted");
    for upload in &accepted {
        servers[0].assert_ready(upload).await;
    }
    for worker in &workers {
        assert!(!worker.log().contains("a job failed and is retried"), "no job is charged");
    }
    fleet.assert_queue_holds(0).await;
    let pending = bucket.objects().join("pending");
    eventually("nothing is pending", ENDS_WITHIN, async || names(&pending).is_empty().then_some(())).await;
    let promised: BTreeSet<String> = accepted.iter().map(id).collect();
    let left: Vec<_> = stored(&bucket).difference(&promised).cloned().collect();
    assert!(left.is_empty(), "refused uploads left something behind: {left:?}");
}

/// Runs uploads over a store that has one mood for a while. Nothing accepted is lost, no job is charged, and everything
/// heals.
async fn outlives(mood: Mood, lasts: Duration) {
    /// A pause between uploads: one a second.
    const PAUSE: Duration = Duration::from_secs(1);
    let (fleet, bucket) = (Fleet::new().await, Bucket::start().await);
    let store = BrownOut::before(bucket.port(), 1).await;
    let variables = bucket.variables_through(store.port);
    let start = Start::new().with("--workers", "0").with("--broker", &fleet.vhost.url());
    let start = start.with("--storage", &bucket.url);
    let server = variables.iter().fold(start, |start, (name, value)| start.variable(name, value)).start();
    let start = StartWorker::on(&fleet.vhost.url(), &bucket.url);
    let worker = variables.iter().fold(start, |start, (name, value)| start.variable(name, value)).start();
    worker.takes_jobs().await;
    let changing = async {
        // Some uploads are on their way when the mood changes.
        sleep(PAUSE * 3).await;
        store.set(mood);
        sleep(lasts).await;
        store.set(Mood::Reliable);
    };
    let count = u32::try_from((lasts + PAUSE * 6).as_secs()).unwrap();
    let uploading = join_all((0..count).map(async |number| {
        sleep(PAUSE * number).await;
        upload(number, [&server, &server]).await
    }));
    let (ended, ()) = tokio::join!(uploading, changing);
    let accepted: Vec<Value> = ended.into_iter().flatten().collect();
    println!("{mood:?}: accepted = {}, refused = {}", accepted.len(), count as usize - accepted.len());
    assert!(accepted.len() >= 4, "{mood:?}: nothing was accepted while the store was reliable");
    if mood == Mood::Late {
        // Each third picture has its header so late that it is read back piece by piece, within ten seconds.
        assert!(
            accepted.len() >= (count - count.div_ceil(3)) as usize,
            "a late store refuses ordinary pictures"
        );
    }
    for upload in &accepted {
        server.assert_ready(upload).await;
    }
    let log = worker.log();
    assert!(!log.contains("a job failed and is retried"), "{mood:?}: a job is charged: {log}");
    fleet.assert_queue_holds(0).await;
    let pending = bucket.objects().join("pending");
    eventually("nothing is pending", ENDS_WITHIN, async || names(&pending).is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minute_of_503_loses_no_upload_and_heals() {
    outlives(Mood::Unavailable, Duration::from_secs(60)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_two_seconds_late_loses_no_upload() {
    outlives(Mood::Late, Duration::from_secs(25)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_clock_differs_loses_no_upload_and_heals() {
    outlives(Mood::Skewed, Duration::from_secs(30)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_costs_the_requests_to_the_store_that_are_documented() {
    let (fleet, bucket) = (Fleet::new().await, Bucket::start().await);
    let store = BrownOut::before(bucket.port(), 1).await;
    let variables = bucket.variables_through(store.port);
    let start = Start::new().with("--workers", "0").with("--broker", &fleet.vhost.url());
    let start = start.with("--storage", &bucket.url).with("--webp", "none");
    let server = variables.iter().fold(start, |start, (name, value)| start.variable(name, value)).start();
    let start = StartWorker::on(&fleet.vhost.url(), &bucket.url).variable("UP_WEBP", "none");
    let worker = variables.iter().fold(start, |start, (name, value)| start.variable(name, value)).start();
    worker.takes_jobs().await;
    let accepted = id(&server.accepted("cat.jpg", pictures::tiny(1)).await);
    let mut socket = Socket::connect(&server.url).await;
    socket.subscribe(&[&accepted]).await;
    socket.end_of(&accepted, ENDS_WITHIN).await;
    let pending = bucket.objects().join("pending");
    eventually("nothing is pending", ENDS_WITHIN, async || names(&pending).is_empty().then_some(())).await;
    let requests = store.requests();
    let of = |method: &str, end: &str| {
        let is_counted = |request: &&String| {
            request.starts_with(method) && request.contains(&accepted) && request.ends_with(end)
        };
        requests.iter().filter(is_counted).count()
    };
    // A deletion names its objects in the body. Other reads are those of the subscriber, which looks at the state.
    let deletions =
        requests.iter().filter(|request| request.starts_with("POST ") && request.ends_with("?delete"));
    let counts = (
        of("PUT ", ""),
        of("GET ", "/original"),
        of("HEAD ", &format!("gone/{accepted}")),
        deletions.count(),
    );
    assert_eq!(counts, (6, 1, 1, 1), "{requests:#?}");
}
