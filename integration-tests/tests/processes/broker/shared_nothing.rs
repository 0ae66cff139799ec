//! Two servers and two workers that share nothing but RabbitMQ and S3; and RabbitMQ over TLS.

use std::time::Duration;

use integration_tests::worker::reached;
use integration_tests::{
    fleet::Fleet,
    patience::SOON,
    pictures,
    rabbit::Node,
    s3::Bucket,
    server::{Start, id, token},
    socket::Socket,
    worker::StartWorker,
};
use rustix::process::{Signal, kill_process};
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_and_two_workers_share_nothing_but_a_broker_and_a_bucket() {
    let fleet = Fleet::new().await;
    let bucket = Bucket::start().await;
    let server = || {
        let start = Start::new().with("--workers", "0").with("--broker", &fleet.vhost.url());
        let start = start.with("--storage", &bucket.url);
        bucket.variables().into_iter().fold(start, |start, (name, value)| start.variable(name, value)).start()
    };
    let worker = |failing: &str| {
        let start = StartWorker::on(&fleet.vhost.url(), &bucket.url).failing(failing);
        bucket
            .variables()
            .into_iter()
            .fold(start, |start, (name, value)| start.variable(name, &value))
            .start()
    };
    let (mut one, other) = (server(), server());
    let marker = fleet.shared.path().join("marker");
    let failing = format!("after-outcome=park@{}", marker.display());
    let workers = [worker(&failing), worker(&failing)];
    for worker in &workers {
        worker.takes_jobs().await;
    }
    let mut socket = Socket::connect(&other.url).await;
    // Larger than one part of an S3 upload.
    let (_, photograph, (width, height)) = pictures::photograph(8);
    let upload = one.accepted("photo.jpg", photograph.clone()).await;
    assert_eq!((&upload["width"], &upload["height"]), (&width.into(), &height.into()));
    socket.subscribe(&[&id(&upload)]).await;
    kill_process(reached(&marker).await, Signal::KILL).unwrap();
    let ready = socket.end_of(&id(&upload), Duration::from_secs(60)).await;
    other.assert_ready(&ready).await;
    let original =
        other.client.get(other.at(&format!("/uploads/{}/original", id(&upload)))).send().await.unwrap();
    assert_eq!(original.bytes().await.unwrap(), photograph);
    let refused = other.post("page.html", "<html>").await;
    assert_eq!(refused.status(), 415);
    let mut accepted = Vec::new();
    for seed in 0..10 {
        accepted.push(one.accepted("cat.png", pictures::tiny(seed)).await);
    }
    one.kill();
    // The other server finds in the bucket the upload whose job is only in the dead server's outbox.
    fleet.assert_all_ready(&other, &accepted, Duration::from_secs(90)).await;
    fleet.assert_queue_holds(0).await;
    for log in [other.log(), workers[0].log(), workers[1].log()] {
        assert!(!log.contains("s3ntinel"), "a secret is logged");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_reaches_another_server_over_the_broker_within_two_seconds() {
    const HEARD_WITHIN: Duration = Duration::from_secs(2);
    let fleet = Fleet::new().await;
    let (one, other) = (fleet.server().start(), fleet.server().start());
    let _worker = fleet.worker().start();
    for seed in 0..5 {
        let upload = one.accepted("cat.png", pictures::tiny(seed)).await;
        let mut socket = Socket::connect(&other.url).await;
        socket.subscribe(&[&id(&upload)]).await;
        let ready = socket.end_of(&id(&upload), SOON).await;
        other.assert_ready(&ready).await;
        assert_eq!(one.delete(&id(&upload), &token(&upload)).await, 204);
        let deleted = Instant::now();
        while socket.message(HEARD_WITHIN).await["type"] != "upload-gone" {}
        let answer = other.client.get(other.at(&format!("/uploads/{}", id(&upload)))).send().await.unwrap();
        assert_eq!(answer.status(), 410);
        assert!(deleted.elapsed() < HEARD_WITHIN, "{:?}", deleted.elapsed());
    }
}

#[tokio::test]
async fn a_broker_over_tls_must_be_vouched_for() {
    let node = Node::start().await;
    let fleet = Fleet::on(node.vhost().await);
    let url = fleet.vhost.url_over_tls(node.amqps);
    let authority = node.authority().into_os_string().into_string().unwrap();
    let server = fleet.server().with("--broker", &url).variable("SSL_CERT_FILE", authority.clone()).start();
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    let stranger = StartWorker::on(&url, &fleet.storage()).start();
    integration_tests::patience::eventually("the stranger refuses", SOON, async || {
        stranger.log().contains("could not connect to the broker").then_some(())
    })
    .await;
    assert_eq!(server.upload(&id(&upload)).await["state"], "queued");
    let _worker = StartWorker::on(&url, &fleet.storage()).variable("SSL_CERT_FILE", &authority).start();
    fleet.assert_all_ready(&server, &[upload], SOON).await;
}
