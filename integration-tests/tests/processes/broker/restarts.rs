//! Workers that are restarted one after the other, again and again, in the middle of a bulk run.

use std::time::Duration;

use integration_tests::{fleet::Fleet, patience::SOON, pictures, server::json};
use reqwest::multipart::{Form, Part};
use rustix::process::Signal;

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
        for bulk in [true, false] {
            let part = Part::bytes(pictures::jpeg(1600, 1200 + seed)).file_name(format!("{seed}.jpg"));
            let form = Form::new().part("file", part);
            let form = if bulk { form.text("lane", "bulk") } else { form };
            let answer = server.client.post(server.at("/uploads")).multipart(form).send().await.unwrap();
            assert_eq!(answer.status(), 202);
            accepted.push(json(answer).await["uploads"][0].take());
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
