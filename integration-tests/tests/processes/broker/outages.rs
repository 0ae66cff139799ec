//! A broker, or a network, that goes away and comes back.

use std::time::Duration;

use integration_tests::{
    fleet::Fleet,
    patience::{SOON, eventually},
    pictures,
    proxy::{Network, Proxy},
    rabbit::Node,
    server::{Server, id, json},
    socket::Socket,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

/// The time that an outage may take to heal: two heartbeats until it is noticed, a queue that was forgotten by half and is
/// recreated, the longest pause, and the work.
const HEALED: Duration = Duration::from_secs(120);

/// How long after a queue was created pending uploads may take to be posted again and done. A sweep alone takes more
/// than ten seconds to prove that a job is lost.
const POSTED_AGAIN: Duration = Duration::from_secs(8);

/// Cuts of a bad network: more than the tries after which pauses are longest, and each before a connection is steady.
const CUTS: u32 = 10;
const CUT_EVERY: Duration = Duration::from_secs(3);

/// How soon jobs and pushes go on after the last cut: the longest pause of a connection, and the work.
const GO_ON_WITHIN: Duration = Duration::from_secs(10);

async fn ready_state(server: &Server) -> Value {
    json(server.client.get(server.at("/readyz")).send().await.unwrap()).await["status"].take()
}

#[tokio::test]
async fn a_broker_killed_during_two_hundred_uploads_loses_none() {
    let mut node = Node::start().await;
    let fleet = Fleet::on(node.vhost().await);
    let server = fleet.server().start();
    let workers = [fleet.worker().start(), fleet.worker().start()];
    for worker in &workers {
        worker.takes_jobs().await;
    }
    let mut socket = Socket::connect(&server.url).await;
    let mut accepted = Vec::new();
    for number in 0..200 {
        if number == 50 {
            node.kill();
        }
        if number == 150 {
            node.run_later();
        }
        // Panics unless it is answered with 202.
        let upload = server.accepted(&format!("{number}.png"), pictures::tiny(number)).await;
        socket.subscribe(&[&id(&upload)]).await;
        accepted.push(upload);
    }
    let last = socket.end_of(&id(&accepted[199]), HEALED).await;
    server.assert_ready(&last).await;
    fleet.assert_all_ready(&server, &accepted, HEALED).await;
    fleet.assert_queue_holds(0).await;
}

#[tokio::test]
async fn a_broker_that_is_restarted_or_started_last_delays_and_loses_nothing() {
    let mut node = Node::start().await;
    let fleet = Fleet::on(node.vhost().await);
    node.stop();
    // Nobody is there yet, and everybody starts all the same.
    let mut server = fleet.server().start();
    let mut worker = fleet.worker().start();
    let mut accepted = Vec::new();
    for seed in 0..5 {
        accepted.push(server.accepted("early.png", pictures::tiny(seed)).await);
    }
    assert_eq!(ready_state(&server).await, "degraded");
    // Longer than the first pauses of any backoff.
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert!(worker.runs());
    node.run().await;
    // Not before: the server closes a socket that answers nothing while a slow broker starts.
    let mut socket = Socket::connect(&server.url).await;
    socket.subscribe(&[&id(&accepted[4])]).await;
    socket.end_of(&id(&accepted[4]), HEALED).await;
    node.stop();
    accepted.push(server.accepted("late.png", pictures::tiny(6)).await);
    node.run().await;
    fleet.assert_all_ready(&server, &accepted, HEALED).await;
    server.is_ready().await;
    fleet.assert_queue_holds(0).await;
    server.signal(Signal::TERM);
    assert!(server.ended(SOON).await.success());
}

#[tokio::test]
async fn processes_that_end_take_leave_of_the_broker() {
    let node = Node::start().await;
    let fleet = Fleet::on(node.vhost().await);
    let mut server = fleet.server().start();
    let mut worker = fleet.worker().start();
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    fleet.assert_all_ready(&server, &[upload], SOON).await;
    let closed = |log: &str| log.matches("closing AMQP connection").count();
    let before = closed(&node.log());
    server.signal(Signal::TERM);
    worker.signal(Signal::TERM);
    assert!(server.ended(SOON).await.success());
    assert!(worker.ended(SOON).await.success());
    let log = eventually("the broker has seen them go", SOON, async || {
        Some(node.log()).filter(|log| closed(log) >= before + 4)
    })
    .await;
    assert!(!log.contains("client unexpectedly closed"), "{log}");
}

#[tokio::test]
async fn whatever_the_network_does_heals_by_itself() {
    let fleet = Fleet::new().await;
    let (to_server, to_worker) = (Proxy::to(fleet.vhost.port()).await, Proxy::to(fleet.vhost.port()).await);
    let server = fleet.server_through(to_server.port).start();
    let mut worker = fleet.worker_through(to_worker.port).start();
    worker.takes_jobs().await;
    let mut seed = 0;
    for (network, lasts) in [
        (Network::Refuses, 2),
        (Network::AcceptsThenDrops, 2),
        // Longer than two heartbeats: the stall is noticed, and so is the handshake that hangs.
        (Network::BlackHole, 25),
        (Network::LosesReplies, 3),
    ] {
        for proxy in [&to_server, &to_worker] {
            let mut socket = Socket::connect(&server.url).await;
            proxy.set(network);
            let mut accepted = Vec::new();
            for _ in 0..3 {
                seed += 1;
                accepted.push(server.accepted("cat.png", pictures::tiny(seed)).await);
            }
            tokio::time::sleep(Duration::from_secs(lasts)).await;
            proxy.set(Network::Passes);
            let last = id(&accepted[2]);
            socket.subscribe(&[&last]).await;
            socket.end_of(&last, HEALED).await;
            fleet.assert_all_ready(&server, &accepted, HEALED).await;
        }
    }
    assert!(worker.runs());
    fleet.assert_queue_holds(0).await;
}

#[tokio::test]
async fn after_many_cuts_jobs_and_pushes_go_on_at_once() {
    let fleet = Fleet::new().await;
    let (to_server, to_worker) = (Proxy::to(fleet.vhost.port()).await, Proxy::to(fleet.vhost.port()).await);
    let server = fleet.server_through(to_server.port).start();
    let worker = fleet.worker_through(to_worker.port).start();
    worker.takes_jobs().await;
    for _ in 0..CUTS {
        tokio::time::sleep(CUT_EVERY).await;
        to_server.cut().await;
        to_worker.cut().await;
    }
    let cut = Instant::now();
    let mut socket = Socket::connect(&server.url).await;
    let upload = id(&server.accepted("cat.png", pictures::tiny(1)).await);
    socket.subscribe(&[&upload]).await;
    server.assert_ready(&socket.end_of(&upload, HEALED).await).await;
    assert!(cut.elapsed() < GO_ON_WITHIN, "{:?}", cut.elapsed());
}

#[tokio::test]
async fn a_broker_that_stands_still_is_noticed_and_found_again() {
    let node = Node::start().await;
    let fleet = Fleet::on(node.vhost().await);
    let server = fleet.server().start();
    let worker = fleet.worker().start();
    worker.takes_jobs().await;
    node.signal(Signal::STOP);
    let mut accepted = Vec::new();
    for seed in 0..5 {
        accepted.push(server.accepted("cat.png", pictures::tiny(seed)).await);
    }
    eventually("the standstill is noticed", Duration::from_secs(30), async || {
        (ready_state(&server).await == "degraded").then_some(())
    })
    .await;
    node.signal(Signal::CONT);
    fleet.assert_all_ready(&server, &accepted, HEALED).await;
    fleet.assert_queue_holds(0).await;
    for log in [server.log(), worker.log()] {
        assert!(!log.contains("it is deleted"), "a queue that does not respond for a while is kept:\n{log}");
    }
}

#[tokio::test]
async fn a_memory_alarm_fills_the_outbox_and_then_refuses_with_503_and_passes() {
    let node = Node::start().await;
    let fleet = Fleet::on(node.vhost().await);
    let server = fleet.server().with("--max-outbox", "8").start();
    let worker = fleet.worker().start();
    worker.takes_jobs().await;
    let first = server.accepted("first.png", pictures::tiny(0)).await;
    fleet.assert_all_ready(&server, std::slice::from_ref(&first), SOON).await;
    node.control(&["set_vm_memory_high_watermark", "0"]);
    let mut accepted = Vec::new();
    let refused = loop {
        let refused = server.post("cat.png", pictures::tiny(accepted.len().try_into().unwrap())).await;
        if refused.status() != 202 {
            break refused;
        }
        accepted.push(json(refused).await["uploads"][0].take());
        assert!(accepted.len() <= 20, "the outbox is never full");
    };
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert!(accepted.len() >= 8, "202 while there was room: {}", accepted.len());
    node.control(&["set_vm_memory_high_watermark", "0.4"]);
    fleet.assert_all_ready(&server, &accepted, HEALED).await;
    let next = server.accepted("next.png", pictures::tiny(99)).await;
    fleet.assert_all_ready(&server, &[next], SOON).await;
    fleet.assert_queue_holds(0).await;
}

#[tokio::test]
async fn jobs_that_are_on_the_broker_are_done_during_a_memory_alarm() {
    let node = Node::start().await;
    let fleet = Fleet::on(node.vhost().await);
    let server = fleet.server().start();
    let mut accepted = Vec::new();
    for seed in 0..5 {
        accepted.push(server.accepted("cat.png", pictures::tiny(seed)).await);
    }
    let queue = fleet.queue();
    eventually("the jobs are on the broker", SOON, async || {
        (worker::transport::JobQueue::depth(&queue).await.ok()?.ready == 5).then_some(())
    })
    .await;
    node.control(&["set_vm_memory_high_watermark", "0"]);
    let _worker = fleet.worker().start();
    // Completions cannot be announced, and acknowledgements can.
    fleet.assert_all_ready(&server, &accepted, HEALED).await;
    fleet.assert_queue_holds(0).await;
    node.control(&["set_vm_memory_high_watermark", "0.4"]);
}

#[tokio::test]
async fn a_queue_that_a_killed_broker_has_forgotten_half_is_recreated() {
    let mut node = Node::start().await;
    let fleet = Fleet::on(node.vhost().await);
    let arguments = json!({
        "x-queue-type": "quorum", "x-delivery-limit": 5, "x-overflow": "reject-publish",
        "x-dead-letter-exchange": "up.dlx", "x-dead-letter-routing-key": "dead",
        "x-dead-letter-strategy": "at-least-once",
    });
    // Killed within a second, the broker comes back with a queue that is there and has no member.
    fleet.vhost.declare("resize", arguments).await;
    node.kill();
    node.run().await;
    // As if minutes had passed.
    let server = || fleet.server().failing("silent-queue=drop").start();
    let worker = || fleet.worker().failing("silent-queue=drop").start();
    let (server, other, workers) = (server(), server(), [worker(), worker()]);
    let mut accepted = Vec::new();
    for seed in 0..20 {
        accepted.push(server.accepted("cat.png", pictures::tiny(seed)).await);
    }
    fleet.assert_all_ready(&other, &accepted, HEALED).await;
    fleet.assert_queue_holds(0).await;
    let logs = [server.log(), other.log()].into_iter().chain(workers.iter().map(|worker| worker.log()));
    let deletions = logs.map(|log| log.matches("it is deleted and redeclared").count()).sum::<usize>();
    assert_eq!(deletions, 1, "one queue is stuck, and one process deletes it");
}

#[tokio::test]
async fn uploads_are_posted_again_at_once_by_one_server_after_a_worker_created_a_deleted_queue() {
    let fleet = Fleet::new().await;
    let servers = [fleet.server().start(), fleet.server().start()];
    let mut accepted = Vec::new();
    for seed in 0..6 {
        accepted.push(servers[seed as usize % 2].accepted("cat.png", pictures::tiny(seed)).await);
    }
    let queue = fleet.queue();
    eventually("the jobs are on the broker", SOON, async || {
        (worker::transport::JobQueue::depth(&queue).await.ok()?.ready == 6).then_some(())
    })
    .await;
    assert_eq!(fleet.vhost.delete_queues("resize").await, 11, "every queue that may hold jobs");
    let worker = fleet.worker().start();
    worker.takes_jobs().await;
    let created = Instant::now();
    fleet.assert_all_ready(&servers[0], &accepted, POSTED_AGAIN).await;
    assert!(created.elapsed() < POSTED_AGAIN, "they were posted at once");
    let posted = |server: &Server| server.log().matches("was lost; it is requeued").count();
    assert_eq!(servers.iter().map(posted).sum::<usize>(), 6, "each once, by one of the servers");
    fleet.assert_queue_holds(0).await;
}
