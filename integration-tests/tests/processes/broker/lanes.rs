//! The queue's depth, operators' policies on it, and announcements that nobody takes.

use std::time::Duration;

use integration_tests::{
    fleet::Fleet,
    patience::{SOON, eventually},
    pictures,
    server::id,
};
use serde_json::json;
use tokio::time::{Instant, sleep};
use worker::transport::JobQueue;

#[tokio::test]
async fn a_backlog_is_as_long_as_the_uploads_that_wait_however_many_servers_sweep() {
    const WATCHED: Duration = Duration::from_secs(45);
    let fleet = Fleet::new().await;
    let servers = [fleet.server().start(), fleet.server().start()];
    let mut accepted = Vec::new();
    for seed in 0..100 {
        accepted.push(servers[seed as usize % 2].accepted("cat.png", pictures::tiny(seed)).await);
    }
    let queue = fleet.queue();
    let depth = async || Some(queue.depth().await.ok()?.ready);
    eventually("every job is on the broker", SOON, async || (depth().await? == 100).then_some(())).await;
    let begun = Instant::now();
    while begun.elapsed() < WATCHED {
        assert_eq!(depth().await, Some(100), "after {:?}", begun.elapsed());
        sleep(Duration::from_millis(500)).await;
    }
    for server in &servers {
        let sweeps = server.log().matches("swept the pending uploads").count();
        assert!(sweeps >= 4, "sweeps ran meanwhile: {sweeps}");
    }
    let _worker = fleet.worker().start();
    fleet.assert_all_ready(&servers[0], &accepted, SOON).await;
    fleet.assert_queue_holds(0).await;
}

#[tokio::test]
async fn an_announcement_that_the_broker_refuses_fails_no_job() {
    let fleet = Fleet::new().await;
    let server = fleet.server().start();
    let worker = fleet.worker().start();
    worker.takes_jobs().await;
    // Announcements to this exchange are nacked from now on.
    let arguments = json!({ "x-queue-type": "classic", "x-max-length": 0, "x-overflow": "reject-publish" });
    fleet.vhost.declare("full", arguments).await;
    fleet.vhost.bind("up.done", "full").await;
    let mut accepted = Vec::new();
    for seed in 0..20 {
        accepted.push(server.accepted("cat.png", pictures::tiny(seed)).await);
    }
    fleet.assert_all_ready(&server, &accepted, SOON).await;
    fleet.assert_queue_holds(0).await;
    let log = worker.log();
    assert!(fleet.vhost.messages("full").await.is_empty(), "the broker refused every announcement");
    assert!(!log.contains("a job failed and is retried"), "{log}");
    let ended = log.matches("the upload has ended").count();
    assert_eq!(ended, accepted.len(), "each job is done once");
}

#[tokio::test]
async fn jobs_that_expire_by_an_operators_policy_are_posted_again() {
    let fleet = Fleet::new().await;
    let server = fleet.server().start();
    fleet.vhost.set_policy("^resize$", json!({ "message-ttl": 500 })).await;
    let mut accepted = Vec::new();
    for seed in 0..10 {
        accepted.push(server.accepted("cat.png", pictures::tiny(seed)).await);
    }
    let queue = fleet.queue();
    eventually("every job has expired", SOON, async || (queue.depth().await.ok()?.dead >= 10).then_some(()))
        .await;
    let worker = fleet.worker().start();
    for upload in &accepted {
        let ended = server.end(&id(upload), Duration::from_secs(60)).await;
        assert_eq!(ended["state"], "ready", "{ended}");
        server.assert_ready(&ended).await;
    }
    fleet.assert_queue_holds(0).await;
    assert!(worker.log().contains("expired in its queue"));
}
