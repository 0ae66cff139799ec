//! Starts, drains and data directories, as supervisors and operators see them.

use std::{fs, time::Duration};

use integration_tests::{
    descendants::{bytes_in_a_pipe, decoders, signal_all},
    patience::{SOON, eventually},
    pictures,
    raw::begin_upload,
    server::{Data, Server, Start, id, json},
    socket::Socket,
};
use rustix::process::{Pid, Signal};
use tokio::time::Instant;

/// The time after which Kubernetes kills.
const KILLED_AFTER: Duration = Duration::from_secs(30);

async fn ready(server: &Server) -> (u16, String) {
    let answer = server.client.get(server.at("/readyz")).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn load_balancers_learn_of_a_drain_before_uploads_are_refused() {
    let mut server = Start::new().with("--workers", "0").with("--drain-delay", "4s").start();
    assert_eq!(ready(&server).await.0, 200);
    let begun = Instant::now();
    server.signal(Signal::TERM);
    eventually("readiness answers 503", SOON, async || (ready(&server).await.0 == 503).then_some(())).await;
    server.accepted("cat.png", pictures::tiny(1)).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "the upload came during the delay");
    assert!(server.ended(SOON).await.success());
    assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_drain_ends_in_time_whatever_is_at_work_and_charges_no_job() {
    /// More than any message of a decoder has.
    const PICTURE_BYTES: u64 = 10_000;
    let data = Data::new();
    let start = Start::on(&data).with("--workers", "1").with("--interactive-workers", "0");
    let mut server = start.with("--drain-delay", "1s").start();
    server.workers_ready(1).await;
    let stopped: Vec<Pid> = server.workers().into_iter().flat_map(decoders).collect();
    signal_all(&stopped, Signal::STOP);
    let upload = id(&server.accepted("cat.jpg", pictures::jpeg(640, 480)).await);
    let worker = server.workers()[0];
    eventually("the decoder has the picture", SOON, async || {
        (bytes_in_a_pipe(worker) > PICTURE_BYTES).then_some(())
    })
    .await;
    let _slow = begin_upload(&server.url, "", 1_000_000).await;
    let mut socket = Socket::connect(&server.url).await;
    socket.subscribe(&[&upload]).await;
    let begun = Instant::now();
    server.signal(Signal::TERM);
    assert!(server.ended(KILLED_AFTER).await.success());
    let log = server.log();
    println!("drained within {:?}", begun.elapsed());
    assert!(log.contains("the job is released because this worker drains"), "{log}");
    assert!(!log.contains("did not drain in time"), "{log}");
    drop(server);
    let next = Start::on(&data).start();
    next.assert_ready(&next.end(&upload, SOON).await).await;
}

#[tokio::test]
async fn a_low_limit_of_open_files_refuses_to_start_or_serves() {
    let (code, said) = Start::new().limited("-n 500").refused();
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("the open-file limit is 500, and a server needs 512"), "{said}");
    let server = Start::new().with("--workers", "1").limited("-n 512").start();
    let mut accepted = Vec::new();
    for seed in 0..5 {
        accepted.push(id(&server.accepted("cat.png", pictures::tiny(seed)).await));
    }
    for upload in accepted {
        server.assert_ready(&server.end(&upload, SOON).await).await;
    }
}

#[tokio::test]
async fn a_server_whose_data_directory_vanishes_ends_for_its_supervisor() {
    let parent = Data::new();
    let data = parent.path().join("data");
    let aside = parent.path().join("aside");
    let start = || Start::on(&parent).data_at(&data).with("--workers", "1");
    fs::create_dir(&data).unwrap();
    let mut server = start().start();
    server.accepted("cat.png", pictures::tiny(1)).await;
    fs::rename(&data, &aside).unwrap();
    let ended = server.ended(KILLED_AFTER).await;
    assert_eq!(ended.code(), Some(1), "{}", server.log());
    let log = server.log();
    assert!(log.contains("was removed or replaced; start the server again"), "{log}");
    // The supervisor starts it again.
    let next = start().start();
    let upload = id(&next.accepted("cat.png", pictures::tiny(2)).await);
    next.assert_ready(&next.end(&upload, SOON).await).await;
}

#[test]
fn a_queue_on_a_network_file_system_is_refused_in_a_sentence() {
    let (code, said) = Start::new().failing("local-file-system=drop").refused();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("lies on a network file system (nfs4), where SQLite loses jobs"), "{said}");
}

#[tokio::test]
async fn two_servers_share_one_data_directory() {
    let data = Data::new();
    let servers = [Start::on(&data).start(), Start::on(&data).start()];
    let mut sockets = [Socket::connect(&servers[0].url).await, Socket::connect(&servers[1].url).await];
    for seed in 0..10 {
        let at = seed as usize % 2;
        let upload = id(&servers[at].accepted("cat.png", pictures::tiny(seed)).await);
        // Both hear of it, whichever took it and whosever worker made the thumbnails.
        for socket in &mut sockets {
            socket.subscribe(&[&upload]).await;
        }
        for (server, socket) in servers.iter().zip(&mut sockets) {
            let ready = socket.end_of(&upload, SOON).await;
            server.assert_ready(&ready).await;
        }
    }
    servers[0].assert_no_temporary_files();
    // One of them goes, and the other goes on.
    let [one, other] = servers;
    drop(one);
    let upload = id(&other.accepted("cat.png", pictures::tiny(99)).await);
    other.assert_ready(&other.end(&upload, SOON).await).await;
}

#[tokio::test]
async fn a_server_whose_workers_all_fail_to_start_is_degraded_and_says_so() {
    let start = Start::new().through("without-landlock").with("--confinement", "require");
    let server = start.with("--admin-listen", "127.0.0.1:0").start();
    let url = server.admin().await.replace("/metrics", "/readyz");
    eventually("readiness is degraded", SOON, async || {
        let reasons = server.client.get(&url).send().await.ok()?.text().await.ok()?;
        reasons.contains("no worker process of this server runs").then_some(())
    })
    .await;
    let answer = server.client.get(server.at("/readyz")).send().await.unwrap();
    assert_eq!(answer.status(), 200, "uploads are accepted all the same");
    assert_eq!(json(answer).await["status"], "degraded");
    server.accepted("cat.png", pictures::tiny(1)).await;
}
