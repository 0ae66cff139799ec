//! An operator lists, shows, replays and drops dead letters, on both transports.

use std::{process::Command, time::Duration};

use integration_tests::{
    fleet::Fleet,
    patience::SOON,
    pictures,
    server::{Data, Server, Start, binary, id},
    socket::Socket,
};
use serde_json::Value;

/// Runs `up-worker dead`; answers whether it succeeded, and what it said on either stream.
fn dead(broker: &str, storage: &str, arguments: &[&str]) -> (bool, String, String) {
    let command = &mut Command::new(binary("up-worker"));
    let output = command
        .arg("dead")
        .args(arguments)
        .args(["--broker", broker, "--storage", storage])
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// Handles the dead letter of a failed upload in every way, while somebody waits.
async fn handle(server: &Server, failed: &str, broker: &str, storage: &str) {
    let dead = |arguments: &[&str]| dead(broker, storage, arguments);
    let (_, listed, complaint) = dead(&["list"]);
    assert!(listed.contains(failed) && listed.contains("killed-its-workers"), "{listed}{complaint}");
    assert!(listed.contains(r#""poison.png""#) && listed.lines().count() == 2, "{listed}");
    let listed: Value = serde_json::from_str(&dead(&["list", "--json"]).1).unwrap();
    assert_eq!(listed["dead"][0]["id"], failed);
    let (_, shown, _) = dead(&["show", failed]);
    assert!(shown.contains("Failed, gen 1"), "{shown}");
    let shown: Value = serde_json::from_str(&dead(&["show", failed, "--json"]).1).unwrap();
    assert_eq!(shown["upload"]["error"]["type"], "/problems/killed-its-workers");
    for arguments in [&["show", "nothing"][..], &["drop", "nothing"], &["replay", "nothing"]] {
        let (done, said, complaint) = dead(arguments);
        assert!(
            !done && said.is_empty() && complaint.contains("could not find the dead letter \"nothing\""),
            "{complaint}"
        );
    }
    let mut socket = Socket::connect(&server.url).await;
    socket.subscribe(&[failed]).await;
    assert_eq!(socket.message(SOON).await["uploads"][0]["state"], "failed");
    let (done, said, complaint) = dead(&["replay", failed]);
    assert!(done && said.contains("now gen 2"), "{said}{complaint}");
    // Somebody who waits sees it go from failed to queued.
    let changed = socket.message(SOON).await;
    assert_eq!(
        (&changed["type"], &changed["upload"]["gen"]),
        (&"upload-changed".into(), &2.into()),
        "{changed}"
    );
    assert!(dead(&["list"]).1.contains("no dead letters"));
}

#[tokio::test]
async fn an_operator_lists_shows_replays_and_drops_dead_letters_of_the_embedded_queue() {
    let data = Data::new();
    let server = Start::on(&data).failing("job-started:poison.png=abort").start();
    let poison = id(&server.accepted("poison.png", pictures::tiny(6)).await);
    assert_eq!(server.end(&poison, SOON).await["state"], "failed");
    let path = data.path().display();
    let (broker, storage) = (format!("sqlite://{path}/queue.sqlite"), format!("file://{path}"));
    handle(&server, &poison, &broker, &storage).await;
    // It kills its workers again, and is dropped.
    assert_eq!(server.end(&poison, SOON).await["gen"], 2);
    let (done, said, complaint) = dead(&broker, &storage, &["drop", &poison]);
    assert!(done, "{said}{complaint}");
    assert_eq!(server.upload(&poison).await["state"], "failed");
    assert!(dead(&broker, &storage, &["list"]).1.contains("no dead letters"));
}

#[tokio::test]
async fn an_operator_lists_shows_replays_and_drops_dead_letters_of_the_broker() {
    let fleet = Fleet::new().await;
    let server = fleet.server().start();
    let poison = id(&server.accepted("poison.png", pictures::tiny(6)).await);
    while server.upload(&poison).await["state"] != "failed" {
        let mut worker = fleet.worker().slots(1).failing("job-started:poison.png=abort").start();
        tokio::select! {
            _ = server.end(&poison, Duration::from_secs(60)) => {}
            _ = worker.ended(Duration::from_secs(60)) => {}
        }
    }
    let (broker, storage) = (fleet.vhost.url(), fleet.storage());
    handle(&server, &poison, &broker, &storage).await;
    let _worker = fleet.worker().start();
    server.assert_ready(&server.end(&poison, SOON).await).await;
    // One that no upload belongs to can be dropped, and not replayed.
    fleet.vhost.publish("resize", "", "not json").await;
    fleet.assert_queue_holds(1).await;
    let listed: Value = serde_json::from_str(&dead(&broker, &storage, &["list", "--json"]).1).unwrap();
    let key = listed["dead"][0]["id"].as_str().unwrap().to_owned();
    let (done, _, complaint) = dead(&broker, &storage, &["replay", "--all"]);
    assert!(!done && complaint.contains("storage has no such upload"), "{complaint}");
    assert!(dead(&broker, &storage, &["drop", &key]).0);
    fleet.assert_queue_holds(0).await;
}

#[tokio::test]
async fn a_broker_that_is_away_is_said_in_words_and_without_its_password() {
    let (done, said, complaint) = dead("amqp://up:s3ntinel@127.0.0.1:1/", "file:///tmp", &["list"]);
    assert!(!done && said.is_empty());
    assert!(
        complaint.contains("could not read the dead letters") && !complaint.contains("s3ntinel"),
        "{complaint}"
    );
}
