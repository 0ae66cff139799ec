//! Wall clocks that are set back and forth.

use std::time::{Duration, SystemTime};

use integration_tests::{
    clock::Clock,
    fleet::Fleet,
    pictures,
    server::{Data, Server, Start, id, json},
    worker::StartWorker,
};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use worker::UploadId;

const HOUR: i64 = 3600;

/// The time of an upload on a busy machine; a clock that had to catch up would take an hour.
const SECONDS: Duration = Duration::from_secs(10);

/// How long each time of the clock is kept.
const KEPT: Duration = Duration::from_secs(9);

/// Uploads before and after each step of a clock.
async fn step(server: &Server, clock: &Clock) {
    let mut seed = 0;
    for offset in [0, -HOUR, 0, HOUR, 0] {
        let waiting = server.accepted("before.png", pictures::tiny(1000)).await;
        clock.set(offset);
        server.assert_ready(&server.end(&id(&waiting), SECONDS).await).await;
        assert_shows(&server.accepted("after.png", pictures::tiny(1001)).await, offset);
        let set = Instant::now();
        while set.elapsed() < KEPT {
            seed += 1;
            let upload = server.accepted("cat.png", pictures::tiny(seed)).await;
            server.assert_ready(&server.end(&id(&upload), SECONDS).await).await;
            sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Asserts that an upload was accepted by a clock that is so many seconds off.
fn assert_shows(accepted: &Value, offset: i64) {
    let id: UploadId = id(accepted).parse().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let off = i64::try_from(id.unix_ms() / 1000).unwrap() - i64::try_from(now).unwrap();
    assert!((off - offset).abs() < 60, "the server's clock is {off} s off, and should be {offset}");
}

fn with_clock(start: Start, clock: &Clock) -> Start {
    clock.variables().into_iter().fold(start, |start, (name, value)| start.variable(name, value))
}

fn worker_with_clock(start: StartWorker, clock: &Clock) -> StartWorker {
    clock.variables().into_iter().fold(start, |start, (name, value)| start.variable(name, &value))
}

#[tokio::test]
async fn a_clock_that_is_set_back_and_forth_holds_up_no_job_of_the_embedded_queue() {
    let (data, clock) = (Data::new(), Clock::new());
    let server = with_clock(Start::on(&data), &clock).start();
    step(&server, &clock).await;
    assert!(!server.log().contains("requeued the jobs of a dead process"), "everybody lives");
}

#[tokio::test]
async fn a_clock_that_is_set_forward_deletes_no_upload_before_its_time_and_one_set_back_none_after() {
    let (data, clock) = (Data::new(), Clock::new());
    let server = with_clock(Start::on(&data), &clock).start();
    let put = async |seconds: u32| {
        let path = server.at(&format!("/uploads/cat.png?expires={seconds}"));
        let answer = server.client.put(path).body(pictures::tiny(seconds)).send().await.unwrap();
        id(&json(answer).await["uploads"][0])
    };
    let kept = put(1800).await;
    server.assert_ready(&server.end(&kept, SECONDS).await).await;
    clock.set(HOUR);
    // Two rounds of expiry and more.
    sleep(Duration::from_secs(40)).await;
    server.assert_ready(&server.upload(&kept).await).await;
    clock.set(0);
    let brief = put(1).await;
    server.assert_leaves_its_tombstone_alone(data.path(), &brief, Duration::from_secs(60)).await;
    server.assert_ready(&server.upload(&kept).await).await;
}

#[tokio::test]
async fn jobs_that_wait_while_the_clock_is_set_back_are_taken_at_once() {
    let (data, clock) = (Data::new(), Clock::new());
    let server = with_clock(Start::on(&data), &clock).with("--workers", "0").start();
    let mut accepted = Vec::new();
    for seed in 0..5 {
        accepted.push(server.accepted("cat.png", pictures::tiny(seed)).await);
    }
    clock.set(-HOUR);
    let late = server.accepted("late.png", pictures::tiny(9)).await;
    assert_shows(&late, -HOUR);
    accepted.push(late);
    let worker = worker_with_clock(StartWorker::beside(&data), &clock).start();
    worker.takes_jobs().await;
    for upload in accepted {
        server.assert_ready(&server.end(&id(&upload), SECONDS).await).await;
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_and_forth_holds_up_no_job_of_the_outbox() {
    let (fleet, clock) = (Fleet::new().await, Clock::new());
    let server = with_clock(fleet.server(), &clock).start();
    let worker = worker_with_clock(fleet.worker(), &clock).start();
    worker.takes_jobs().await;
    step(&server, &clock).await;
    assert!(!server.log().contains("requeued the jobs of a dead process"), "everybody lives");
    fleet.assert_queue_holds(0).await;
}
