//! A broker that refuses: queues with other arguments, and missing permissions.

use std::time::Duration;

use integration_tests::{
    fleet::Fleet,
    patience::{SOON, eventually},
    pictures,
    rabbit::Node,
    server::{Server, json},
};
use serde_json::json;

/// How long a repair by an operator takes to be found: the longest pause of a session, and the work.
const FOUND: Duration = Duration::from_secs(60);

/// How long the log of a process is watched, and the lines in it that may tell of a refusal that lasts so long: four
/// sessions, each after 1, 2, 4, 8 and 16 tries.
const WATCHED: Duration = Duration::from_secs(20);
const LINES: usize = 4 * 5;

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

#[tokio::test]
async fn a_missing_permission_is_degraded_and_its_repair_is_found() {
    let node = Node::start().await;
    let fleet = Fleet::on(node.vhost().await);
    let user = |permissions: [&str; 3]| {
        let [configure, write, read] = permissions;
        node.control(&["set_permissions", "-p", fleet.vhost.name(), "up", configure, write, read]);
    };
    node.control(&["add_user", "up", "secret"]);
    user(["^$", "^$", "^$"]);
    let broker = fleet.vhost.url().replace("guest:guest", "up:secret");
    let server = fleet.server().with("--admin-listen", "127.0.0.1:0").with("--broker", &broker).start();
    let _worker = fleet.worker_at(&broker).start();
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    is_degraded_because(&server, "ACCESS_REFUSED").await;
    user([".*", ".*", ".*"]);
    fleet.assert_all_ready(&server, &[upload], FOUND).await;
    server.is_ready().await;
}
