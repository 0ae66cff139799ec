//! The queue's file is damaged, goes, or cannot be used, while everybody who uses it runs on.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
    time::Duration,
};

use integration_tests::{
    patience::{SOON, eventually},
    pictures,
    server::{Data, Server, Start, id, json},
    socket::Socket,
    worker::StartWorker,
};
use serde_json::Value;

/// Lost jobs are found in storage with the second sweep that sees their uploads.
const POSTED_AGAIN: Duration = Duration::from_secs(90);

/// The queue's file and its log.
fn parts(data: &Data) -> [PathBuf; 2] {
    ["queue.sqlite", "queue.sqlite-wal"].map(|name| data.path().join(name))
}

/// Puts noise in the place of everything, as a broken disk or a careless hand does.
fn overwrite(data: &Data) {
    for part in parts(data) {
        let length = fs::metadata(&part).unwrap().len();
        let noise: Vec<u8> = (0..length).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect();
        File::options().write(true).open(&part).unwrap().write_all(&noise).unwrap();
    }
}

async fn readiness(server: &Server) -> u16 {
    server.client.get(server.at("/readyz")).send().await.unwrap().status().as_u16()
}

/// Posts until it is accepted; what is refused before has to be refused well.
async fn accepted_in_the_end(server: &Server, seed: u32) -> Value {
    eventually("an upload is accepted again", SOON, async || {
        let answer = server.post("cat.png", pictures::tiny(seed)).await;
        if answer.status() == 202 {
            return Some(json(answer).await["uploads"][0].take());
        }
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
        None
    })
    .await
}

#[tokio::test]
async fn a_queue_that_is_overwritten_is_set_aside_and_every_accepted_upload_ends() {
    let data = Data::new();
    let server = Start::on(&data).with("--workers", "0").start();
    let mut accepted = Vec::new();
    for seed in 0..3 {
        accepted.push(server.accepted("lost.png", pictures::tiny(seed)).await);
    }
    overwrite(&data);
    for seed in 3..6 {
        accepted.push(accepted_in_the_end(&server, seed).await);
    }
    let aside = data.path().join("queue.sqlite.damaged");
    eventually("the damaged file is set aside", SOON, async || aside.exists().then_some(())).await;
    let _worker = StartWorker::beside(&data).start();
    for upload in &accepted {
        server.assert_ready(&server.end(&id(upload), POSTED_AGAIN).await).await;
    }
    assert_eq!(readiness(&server).await, 200);
    let stored = data.uploads().len();
    assert_eq!(stored, accepted.len(), "nothing is left of what was refused");
}

#[tokio::test]
async fn a_queue_that_is_damaged_under_jobs_at_work_is_recreated_by_every_process_at_once() {
    let data = Data::new();
    let server = Start::on(&data).start();
    let worker = StartWorker::beside(&data).start();
    server.workers_ready(2).await;
    worker.takes_jobs().await;
    let mut socket = Socket::connect(&server.url).await;
    let mut accepted = Vec::new();
    for seed in 0..40 {
        if seed % 10 == 5 {
            overwrite(&data);
        }
        accepted.push(accepted_in_the_end(&server, seed).await);
    }
    let ids: Vec<String> = accepted.iter().map(id).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    socket.subscribe(&ids).await;
    for ready in socket.ends_of(&ids, POSTED_AGAIN).await {
        server.assert_ready(&ready).await;
    }
    assert_eq!(readiness(&server).await, 200);
}

#[tokio::test]
async fn a_queue_that_is_removed_is_recreated_and_no_listener_misses_the_next_completion() {
    let data = Data::new();
    let server = Start::on(&data).with("--workers", "0").start();
    let worker = StartWorker::beside(&data).start();
    worker.takes_jobs().await;
    let mut socket = Socket::connect(&server.url).await;
    for seed in 0..5 {
        let upload = server.accepted("cat.png", pictures::tiny(seed)).await;
        socket.subscribe(&[&id(&upload)]).await;
        server.assert_ready(&socket.end_of(&id(&upload), SOON).await).await;
        // As a hand does that wants to be rid of it.
        for part in parts(&data) {
            fs::remove_file(&part).unwrap();
        }
    }
}

#[tokio::test]
async fn a_queue_that_cannot_be_recreated_is_reported_by_readiness_and_recovers_without_a_restart() {
    let data = Data::new();
    let server = Start::on(&data).start();
    server.workers_ready(2).await;
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    server.assert_ready(&server.end(&id(&upload), SOON).await).await;
    let stored = data.files();
    let [queue, log] = parts(&data);
    fs::remove_file(&queue).unwrap();
    let _ = fs::remove_file(&log);
    // No database can be made where a directory is.
    fs::create_dir(&queue).unwrap();
    let refused = server.post("cat.png", pictures::tiny(2)).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(readiness(&server).await, 503);
    assert_eq!(data.files(), stored, "nothing is left of what was refused");
    fs::remove_dir(&queue).unwrap();
    eventually("the server is ready again", SOON, async || (readiness(&server).await == 200).then_some(()))
        .await;
    let upload = server.accepted("cat.png", pictures::tiny(3)).await;
    server.assert_ready(&server.end(&id(&upload), SOON).await).await;
}

#[tokio::test]
async fn a_queue_that_is_put_back_as_it_was_before_loses_nothing_that_was_accepted_since() {
    let data = Data::new();
    let server = Start::on(&data).with("--workers", "0").start();
    let mut accepted = vec![server.accepted("before.png", pictures::tiny(0)).await];
    let copies = parts(&data).map(|part| {
        let copy = PathBuf::from(format!("{}.copy", part.display()));
        fs::copy(&part, &copy).unwrap();
        (copy, part)
    });
    for seed in 1..4 {
        accepted.push(server.accepted("since.png", pictures::tiny(seed)).await);
    }
    for (copy, part) in &copies {
        fs::rename(copy, part).unwrap();
    }
    let _worker = StartWorker::beside(&data).start();
    for upload in &accepted {
        server.assert_ready(&server.end(&id(upload), POSTED_AGAIN).await).await;
    }
}

#[tokio::test]
async fn a_queue_that_is_found_damaged_at_the_start_is_recreated() {
    let data = Data::new();
    let mut server = Start::on(&data).with("--workers", "0").start();
    let mut accepted = Vec::new();
    for seed in 0..3 {
        accepted.push(server.accepted("before.png", pictures::tiny(seed)).await);
    }
    server.kill();
    overwrite(&data);
    let server = Start::on(&data).start();
    assert!(data.path().join("queue.sqlite.damaged").exists());
    for upload in &accepted {
        server.assert_ready(&server.end(&id(upload), POSTED_AGAIN).await).await;
    }
}
