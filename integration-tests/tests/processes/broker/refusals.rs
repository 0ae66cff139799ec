//! A broker that refuses: queues with other arguments, and missing permissions, also of messages alone.

use std::{error::Error, num::NonZeroUsize, time::Duration};

use integration_tests::{
    fleet::Fleet,
    patience::{SOON, eventually},
    pictures,
    rabbit::Node,
    server::{Server, json},
};
use serde_json::json;
use tokio::time::Instant;
use worker::{
    UploadId, testing,
    transport::{JobQueue, Posting, Settled, Slots},
};

/// How long a repair by an operator takes to be found: the longest pause of a session, and the work.
const FOUND: Duration = Duration::from_secs(60);

/// How long the log of a process is watched, and the lines in it that may tell of a refusal that lasts so long: four
/// sessions, each after 1, 2, 4, 8 and 16 tries.
const WATCHED: Duration = Duration::from_secs(20);
const LINES: usize = 4 * TRIES_LOGGED;
const TRIES_LOGGED: usize = 5;

/// The status of the server, and the reasons that operators are shown.
async fn readiness(server: &Server) -> (String, String) {
    let public = json(server.client.get(server.at("/readyz")).send().await.unwrap()).await;
    let admin = server.admin().await.replace("/metrics", "/readyz");
    let shown = server.client.get(admin).send().await.unwrap().text().await.unwrap();
    (public["status"].as_str().unwrap().to_owned(), shown)
}

async fn is_degraded_because(server: &Server, reason: &str) {
    eventually("the refusal is shown", SOON, async || {
        let (status, shown) = readiness(server).await;
        (status == "degraded" && shown.contains(reason)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_degraded_and_said_a_few_times_and_its_repair_is_found() {
    let fleet = Fleet::new().await;
    fleet.vhost.declare("resize.bulk", json!({ "x-queue-type": "quorum", "x-delivery-limit": 77 })).await;
    let server = fleet.server().with("--admin-listen", "127.0.0.1:0").start();
    let worker = fleet.worker().start();
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    is_degraded_because(&server, "PRECONDITION_FAILED").await;
    tokio::time::sleep(WATCHED).await;
    for log in [server.log(), worker.log()] {
        let warned =
            log.lines().filter(|line| line.contains("WARN") && line.contains("PRECONDITION")).count();
        assert!((1..=LINES).contains(&warned), "{warned} lines:\n{log}");
    }
    assert_eq!(fleet.vhost.delete_queues("resize.bulk").await, 1);
    fleet.assert_all_ready(&server, &[upload], FOUND).await;
    server.is_ready().await;
}

/// A node, a vhost on it, and a user `up` of that vhost.
struct Restricted {
    node: Node,
    fleet: Fleet,
    broker: String,
}

impl Restricted {
    async fn new() -> Self {
        let node = Node::start().await;
        let fleet = Fleet::on(node.vhost().await);
        node.control(&["add_user", "up", "secret"]);
        let broker = fleet.vhost.url().replace("guest:guest", "up:secret");
        Self { node, fleet, broker }
    }

    /// Exchanges and queues exist, and the user may do everything except write to some exchanges.
    async fn without_write_to(exchanges: &str) -> Self {
        let restricted = Self::new().await;
        // To declare a queue with a dead-letter exchange needs the permission to write to it.
        restricted.fleet.queue().connect().await.unwrap();
        restricted.may([".*", &format!("^(?!({exchanges})$)"), ".*"]);
        restricted
    }

    fn may(&self, [configure, write, read]: [&str; 3]) {
        let vhost = self.fleet.vhost.name();
        self.node.control(&["set_permissions", "-p", vhost, "up", configure, write, read]);
    }
}

#[tokio::test]
async fn a_job_that_may_not_be_written_is_degraded_and_said_a_few_times_and_its_repair_is_found() {
    let restricted = Restricted::without_write_to("up\\.jobs").await;
    let (fleet, broker) = (&restricted.fleet, &restricted.broker);
    let server = fleet.server().with("--admin-listen", "127.0.0.1:0").with("--broker", broker).start();
    let _worker = fleet.worker().start();
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    is_degraded_because(&server, "ACCESS_REFUSED").await;
    let until = Instant::now() + WATCHED;
    while Instant::now() < until {
        let (status, shown) = readiness(&server).await;
        assert!(status == "degraded" && shown.contains("ACCESS_REFUSED"), "{status}: {shown}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let log = server.log();
    let warned = log.lines().filter(|line| line.contains("WARN") && line.contains("ACCESS_REFUSED")).count();
    assert!((1..=TRIES_LOGGED).contains(&warned), "{warned} lines:\n{log}");
    restricted.may([".*", ".*", ".*"]);
    fleet.assert_all_ready(&server, &[upload], FOUND).await;
    server.is_ready().await;
}

#[tokio::test]
async fn a_retry_or_an_announcement_that_may_not_be_written_is_known_until_one_is_taken() {
    let restricted = Restricted::without_write_to("amq\\.default|up\\.done").await;
    let jobs = restricted.fleet.queue();
    jobs.publish(Posting::of_client(testing::record_of(UploadId::new()))).await.unwrap();
    let transport = Fleet::queue_at(&restricted.broker);
    let mut deliveries = transport.consume(Slots::any(NonZeroUsize::MIN)).await.unwrap();
    let delivery = deliveries.next().await.unwrap();
    // The announcement that it is `processing` is refused.
    let is_refused = async |purpose: &str| {
        eventually("the refusal is known", SOON, async || {
            let error = transport.check().await.err()?;
            let cause = error.source()?.to_string();
            (error.to_string().contains(purpose) && cause.contains("ACCESS_REFUSED")).then_some(())
        })
        .await;
    };
    is_refused("publish announcements").await;
    restricted.may([".*", "^(?!amq\\.default$)", ".*"]);
    eventually("an announcement is taken", FOUND, async || {
        let changed = worker::Changed::new(testing::ready_upload(), worker::Lane::Interactive);
        worker::transport::Announcer::announce(&transport, &changed, None).await.ok()?;
        transport.check().await.ok()
    })
    .await;
    let retrying = tokio::spawn(delivery.retry(Duration::ZERO));
    is_refused("publish jobs").await;
    restricted.may([".*", ".*", ".*"]);
    let settled = tokio::time::timeout(FOUND, retrying).await.expect("the repair is found");
    assert_eq!(settled.unwrap().unwrap(), Settled::Done);
    transport.check().await.unwrap();
}

#[tokio::test]
async fn a_missing_permission_is_degraded_and_its_repair_is_found() {
    let restricted = Restricted::new().await;
    let (fleet, broker) = (&restricted.fleet, &restricted.broker);
    restricted.may(["^$", "^$", "^$"]);
    let server = fleet.server().with("--admin-listen", "127.0.0.1:0").with("--broker", broker).start();
    let _worker = fleet.worker_at(broker).start();
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    is_degraded_because(&server, "ACCESS_REFUSED").await;
    restricted.may([".*", ".*", ".*"]);
    fleet.assert_all_ready(&server, &[upload], FOUND).await;
    server.is_ready().await;
}
