//! Workers that are restarted or killed again and again.

use std::time::Duration;

use integration_tests::{
    fleet::Fleet,
    patience::{SOON, eventually},
    pictures,
    server::{Server, id, json},
    worker::reached,
};
use reqwest::multipart::{Form, Part};
use rustix::process::Signal;
use serde_json::Value;
use worker::transport::JobQueue;

/// How often every worker is restarted: more often than the delivery limit of a lane.
const ROUNDS: usize = 7;

/// The workers, and the jobs of each lane, which are more than the workers prefetch.
const WORKERS: usize = 3;
const JOBS: u32 = 15;

/// How long the run may take.
const ENDED: Duration = Duration::from_secs(120);

#[tokio::test]
async fn rolling_restarts_of_all_workers_in_a_bulk_run_dead_letter_nothing() {
    let fleet = Fleet::new().await;
    let server = fleet.server().start();
    let mut workers: Vec<_> = (0..WORKERS).map(|_| fleet.worker().start()).collect();
    for worker in &workers {
        worker.takes_jobs().await;
    }
    let mut accepted = Vec::new();
    for seed in 0..JOBS {
        // Both lanes, so that jobs of one wait in a prefetch while the other has the slots.
        for query in ["?lane=bulk", ""] {
            let picture = pictures::jpeg(1600, 1200 + seed);
            accepted.push(accepted_in(query, &server, &format!("{seed}.jpg"), picture).await);
        }
    }
    for _ in 0..ROUNDS {
        for worker in &mut workers {
            worker.takes_jobs().await;
            worker.signal(Signal::TERM);
            assert!(worker.ended(SOON).await.success());
            *worker = fleet.worker().start();
        }
    }
    fleet.assert_all_ready(&server, &accepted, ENDED).await;
    fleet.assert_queue_holds(0).await;
}

#[tokio::test]
async fn a_job_that_only_waited_in_workers_that_were_killed_is_no_dead_letter() {
    let fleet = Fleet::new().await;
    let (server, queue) = (fleet.server().start(), fleet.queue());
    let poison = accepted_in("", &server, "poison.png", pictures::tiny(1)).await;
    let waits = accepted_in("?lane=bulk", &server, "waits.png", pictures::tiny(2)).await;
    let markers = tempfile::tempdir().unwrap();
    // The broker returns both jobs as often as it does before it dead-letters them.
    for death in 0..6 {
        let marker = markers.path().join(death.to_string());
        let park = format!("job-started:poison.png=park@{}", marker.display());
        let worker = fleet.worker().slots(1).variable("UP_INTERACTIVE_SLOTS", "0").failing(&park);
        let mut worker = worker.start();
        reached(&marker).await;
        // The only slot is taken, so the other job waits in the worker.
        eventually("both jobs are delivered", SOON, async || {
            queue.depth().await.is_ok_and(|depth| depth.ready == 0).then_some(())
        })
        .await;
        worker.kill();
    }
    let worker = fleet.worker().start();
    assert_eq!(server.end(&id(&poison), SOON).await["error"]["type"], "/problems/killed-its-workers");
    fleet.assert_all_ready(&server, &[waits], SOON).await;
    assert!(worker.log().contains("a job was returned before workers began it, and is posted again"));
    fleet.assert_queue_holds(1).await;
}

/// Sends a picture with a query, and returns its upload.
async fn accepted_in(query: &str, server: &Server, name: &str, picture: Vec<u8>) -> Value {
    let form = Form::new().part("file", Part::bytes(picture).file_name(name.to_owned()));
    let at = server.at(&format!("/uploads{query}"));
    let answer = server.client.post(at).multipart(form).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    json(answer).await["uploads"][0].take()
}
