//! A client that sends more than the workers can do delays no other client.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use integration_tests::{
    fleet::Fleet,
    patience::{SOON, eventually},
    pictures,
    server::{Server, Start, id, json},
};
use reqwest::{Body, Client, Response};
use worker::transport::JobQueue;

/// Uploads of the greedy client, unless the variable says another number.
const UPLOADS: usize = 200;
const UPLOADS_VARIABLE: &str = "UP_TEST_GREEDY_UPLOADS";

/// Its uploads before the first photograph: they occupy every slot that they can.
const FIRST_UPLOADS: usize = 12;

/// Photographs of the other client for a median.
const PHOTOGRAPHS: usize = 7;

/// Most measurements of one time.
const MEASUREMENTS: usize = 3;

/// A client with an address of its own.
fn client(last: u8) -> Client {
    let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
    Client::builder().local_address(address).build().unwrap()
}

async fn post(server: &Server, client: &Client, query: &str, bytes: impl Into<Body>) -> Response {
    client.post(server.at(&format!("/uploads{query}"))).body(bytes).send().await.unwrap()
}

/// Whether uploads have not ended.
fn has_pending(storage: &Path) -> bool {
    fs::read_dir(storage.join("pending")).unwrap().next().is_some()
}

/// The time from the first byte of an upload until its thumbnails are ready.
async fn time_to_ready(server: &Server, client: &Client, photograph: &[u8]) -> Duration {
    let begun = Instant::now();
    let request = client.post(server.at("/uploads")).header("Prefer", "wait=25");
    let answer = request.body(photograph.to_vec()).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let taken = begun.elapsed();
    assert_eq!(json(answer).await["uploads"][0]["state"], "ready");
    taken
}

async fn median_time(server: &Server, client: &Client, photograph: &[u8]) -> Duration {
    let mut times = Vec::new();
    for _ in 0..PHOTOGRAPHS {
        times.push(time_to_ready(server, client, photograph).await);
    }
    times.sort_unstable();
    times[PHOTOGRAPHS / 2]
}

/// The median time, measured again while it is more than `most`: another process may have taken the processors meanwhile.
async fn median_within(most: Duration, server: &Server, client: &Client, photograph: &[u8]) -> Duration {
    let mut least = Duration::MAX;
    for _ in 0..MEASUREMENTS {
        least = least.min(median_time(server, client, photograph).await);
        if least <= most {
            break;
        }
    }
    least
}

/// One client sends slow pictures; a photograph of another is ready within twice its time on an idle server.
async fn assert_no_delay(server: &Server, storage: &Path) {
    let uploads = std::env::var(UPLOADS_VARIABLE).map_or(UPLOADS, |count| count.parse().unwrap());
    let (greedy, other) = (client(2), client(3));
    let (slow, photograph) = (pictures::slow(), pictures::jpeg(3000, 2000));
    // The first one starts decoders.
    time_to_ready(server, &other, &photograph).await;
    let idle = median_time(server, &other, &photograph).await;
    let send = async |count| {
        let sending = stream::iter(0..count).map(|_| post(server, &greedy, "", slow.clone()));
        let mut answers = sending.buffer_unordered(8);
        while let Some(answer) = answers.next().await {
            assert!(matches!(answer.status().as_u16(), 202 | 429), "{answer:?}");
        }
    };
    send(FIRST_UPLOADS).await;
    // One of the first slow pictures is in the interactive lane.
    let at_once = median_within(2 * idle, server, &other, &photograph).await;
    send(uploads).await;
    let later = median_within(2 * idle, server, &other, &photograph).await;
    println!("idle {idle:?}, beside the first slow pictures {at_once:?}, beside {uploads} {later:?}");
    assert!(at_once <= 2 * idle, "idle {idle:?}, beside the first slow pictures {at_once:?}");
    assert!(later <= 2 * idle, "idle {idle:?}, beside {uploads} slow pictures {later:?}");
    assert!(has_pending(storage), "slow pictures still wait");
}

#[tokio::test]
async fn a_photograph_beside_the_slow_pictures_of_another_client_takes_at_most_twice_its_time() {
    let server = Start::new().with("--workers", "2").start();
    server.workers_ready(2).await;
    assert_no_delay(&server, server.data.path()).await;
}

#[tokio::test]
async fn a_photograph_is_not_delayed_on_rabbitmq_either() {
    let fleet = Fleet::new().await;
    let server = fleet.fair_server().start();
    let worker = fleet.worker().variable("UP_INTERACTIVE_SLOTS", "2").start();
    worker.takes_jobs().await;
    assert_no_delay(&server, fleet.shared.path()).await;
}

#[tokio::test]
async fn clients_take_turns_in_the_bulk_lane_on_rabbitmq() {
    const BEFORE: u32 = 60;
    let fleet = Fleet::new().await;
    let server = fleet.fair_server().start();
    let (greedy, other) = (client(2), client(3));
    for seed in 0..BEFORE {
        assert_eq!(post(&server, &greedy, "?lane=bulk", pictures::tiny(seed)).await.status(), 202);
    }
    let mine = json(post(&server, &other, "?lane=bulk", pictures::tiny(999)).await).await;
    let queue = fleet.queue();
    eventually("the relay has posted ahead", SOON, async || {
        (queue.depth().await.ok()?.ready == 9).then_some(())
    })
    .await;
    let worker = fleet.worker().slots(1).start();
    server.end(&id(&mine["uploads"][0]), SOON).await;
    eventually("every upload ends", SOON, async || (!has_pending(fleet.shared.path())).then_some(())).await;
    // The worker logs the ends in its order.
    let log = worker.log();
    let ends: Vec<_> = log.lines().filter(|line| line.contains("the upload has ended")).collect();
    let at = ends.iter().position(|line| line.contains(&id(&mine["uploads"][0]))).unwrap();
    assert!(at <= 9, "it came after {at} jobs of the other client");
    assert_eq!(ends.len(), BEFORE as usize + 1);
}

#[tokio::test]
async fn a_client_with_too_many_unended_uploads_is_refused_and_others_are_not() {
    let server = Start::new().with("--workers", "0").with("--max-unended-per-client", "3").start();
    let (greedy, other) = (client(2), client(3));
    for seed in 0..3 {
        assert_eq!(post(&server, &greedy, "?lane=bulk", pictures::tiny(seed)).await.status(), 202);
    }
    let refused = post(&server, &greedy, "", pictures::tiny(3)).await;
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (429, "5"));
    assert_eq!(json(refused).await["type"], "/problems/too-many-unended");
    assert_eq!(post(&server, &other, "", pictures::tiny(3)).await.status(), 202);
    let form = reqwest::multipart::Form::new();
    let file = |seed| reqwest::multipart::Part::bytes(pictures::tiny(seed)).file_name(format!("{seed}.png"));
    let form = (0..4).fold(form, |form, seed| form.part("file", file(seed)));
    let answer = json(other.post(server.at("/uploads")).multipart(form).send().await.unwrap()).await;
    let names = |list: &str| {
        answer[list].as_array().unwrap().iter().map(|file| file["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        (names("uploads"), names("rejected")),
        (vec!["0.png".into(), "1.png".into()], vec!["2.png".into(), "3.png".into()])
    );
    assert_eq!(answer["rejected"][0]["status"], 429);
    assert_eq!(server.data.uploads().len(), 6, "nothing of a refused upload is left");
}

#[tokio::test]
async fn retries_count_as_uploads_do() {
    let server = Start::new().with("--workers", "1").with("--max-unended-per-client", "1").start();
    let damaged = json(post(&server, &client(2), "", pictures::damaged()).await).await;
    let id = id(&damaged["uploads"][0]);
    assert_eq!(server.end(&id, SOON).await["state"], "failed");
    let slow = json(post(&server, &client(2), "", pictures::slow()).await).await;
    let retry = |last| client(last).post(server.at(&format!("/uploads/{id}/retry"))).send();
    assert_eq!(retry(2).await.unwrap().status(), 429);
    assert_eq!(retry(3).await.unwrap().status(), 202);
    server.end(&integration_tests::server::id(&slow["uploads"][0]), SOON).await;
    eventually("the retried upload fails again", SOON, async || {
        (server.upload(&id).await["state"] == "failed").then_some(())
    })
    .await;
    eventually("its end is counted", SOON, async || (retry(2).await.unwrap().status() == 202).then_some(()))
        .await;
}
