//! The cost of an upload at the broker.

use std::time::Duration;

use integration_tests::{fleet::Fleet, patience::eventually, pictures};

/// The broker tells its statistics every five seconds.
const TOLD: Duration = Duration::from_secs(40);

#[tokio::test]
async fn an_upload_costs_six_methods_and_two_more_for_each_server() {
    const UPLOADS: u32 = 20;
    let fleet = Fleet::new().await;
    let servers = [fleet.server().start(), fleet.server().start()];
    let worker = fleet.worker().slots(1).start();
    worker.takes_jobs().await;
    let listening = async || (fleet.vhost.queues("up.done.").await.len() == servers.len()).then_some(());
    eventually("both servers listen", TOLD, listening).await;
    let mut accepted = Vec::new();
    for seed in 0..UPLOADS {
        accepted.push(servers[0].accepted("cat.png", pictures::tiny(seed)).await);
    }
    fleet.assert_all_ready(&servers[1], &accepted, TOLD).await;
    let (uploads, heard) = (u64::from(UPLOADS), servers.len() as u64);
    // Job, `processing` and end are published, and the job alone is confirmed; the job is delivered and acknowledged;
    // both announcements are delivered to every server, and acknowledged by none.
    let expected = [
        ("publish", 3 * uploads),
        ("confirm", uploads),
        ("deliver", uploads),
        ("ack", uploads),
        ("deliver_no_ack", 2 * heard * uploads),
    ];
    let mut seen = Vec::new();
    eventually(&format!("the broker counts {expected:?}"), TOLD, async || {
        seen = fleet.vhost.statistics(expected.map(|(name, _)| name)).await;
        println!("{seen:?}");
        (seen == expected.map(|(_, count)| count)).then_some(())
    })
    .await;
}
