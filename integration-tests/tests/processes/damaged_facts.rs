//! Stored facts and pending entries that cannot be read: the upload is never answered with 5xx, and ends well.

use std::{fs, path::Path, time::Duration};

use integration_tests::{
    patience::{SOON, eventually},
    pictures,
    server::{Data, Server, Start, id, json},
    worker::StartWorker,
};
use tokio::time::timeout;

/// Damage that may lie in the place of a stored object.
const DAMAGES: [&str; 6] = ["empty", "cut", "newer", "foreign", "directory", "long"];

/// Lost jobs are found with the second sweep that sees their uploads.
const POSTED_AGAIN: Duration = Duration::from_secs(90);

/// The time that a retry of a few small pictures takes on a busy machine.
const HEALED: Duration = Duration::from_secs(15);

/// Puts damage in the place of a stored object. `foreign` is the same fact of another upload.
fn damage(kind: &str, path: &Path, foreign: &[u8]) {
    let right = fs::read(path).unwrap();
    fs::remove_file(path).unwrap();
    match kind {
        "empty" => fs::write(path, "").unwrap(),
        "cut" => fs::write(path, &right[..right.len() / 2]).unwrap(),
        "newer" => {
            let text = String::from_utf8(right).unwrap();
            assert!(text.contains(r#""v":2"#), "{text}");
            fs::write(path, text.replacen(r#""v":2"#, r#""v":3"#, 1)).unwrap();
        }
        "foreign" => fs::write(path, foreign).unwrap(),
        "directory" => fs::create_dir(path).unwrap(),
        "long" => fs::write(path, vec![b' '; 10_000_000]).unwrap(),
        _ => unreachable!(),
    }
}

/// An upload for each kind of damage, and the id of one that stays whole.
async fn accept_all(server: &Server) -> (Vec<(&'static str, String)>, String) {
    let mut accepted = Vec::new();
    for kind in DAMAGES {
        accepted.push((kind, id(&server.accepted(&format!("{kind}.jpg"), pictures::jpeg(320, 240)).await)));
    }
    (accepted, id(&server.accepted("whole.jpg", pictures::jpeg(320, 240)).await))
}

async fn assert_nothing_pending(data: &Data) {
    eventually("nothing is pending", SOON, async || data.pending().is_empty().then_some(())).await;
}

/// A server without workers, and how long the log was before it.
fn start_alone(data: &Data) -> (Server, usize) {
    let logged = fs::metadata(data.path().join("server.log")).unwrap().len();
    (Start::on(data).with("--workers", "0").start(), usize::try_from(logged).unwrap())
}

/// Asserts that a server has logged once that an object cannot be read.
fn assert_logged_once(server: &Server, since: usize, kind: &str, key: &str) {
    let log = server.log();
    let lines = log[since..].lines().filter(|line| line.contains("cannot be read and counts as absent"));
    assert_eq!(lines.filter(|line| line.contains(key)).count(), 1, "{kind}: {key}");
}

/// The status of an answer about an upload, and its state.
async fn seen(server: &Server, id: &str) -> (u16, String) {
    let answer = server.client.get(server.at(&format!("/uploads/{id}"))).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, json(answer).await["state"].as_str().unwrap_or_default().to_owned())
}

/// Asserts that each upload reads as failed, can be retried, is queued then, and becomes ready; its damaged object is
/// logged once. Goes on after a fault, so that a report names every kind of damage.
async fn assert_retry_heals(data: &Data, damaged: &[(&str, String)], object: &str) {
    let (server, since) = start_alone(data);
    let mut faults = Vec::new();
    for (kind, id) in damaged {
        for _ in 0..3 {
            let before = seen(&server, id).await;
            if before != (200, "failed".into()) {
                faults.push(format!("{kind}: reads as {before:?}"));
            }
        }
        let retried = server.client.post(server.at(&format!("/uploads/{id}/retry"))).send().await.unwrap();
        if retried.status() != 202 {
            faults.push(format!("{kind}: a retry is answered with {}", retried.status()));
        }
        let after = seen(&server, id).await;
        if after != (200, "queued".into()) {
            faults.push(format!("{kind}: reads as {after:?} after the retry"));
        }
    }
    let _worker = StartWorker::beside(data).start();
    for (kind, id) in damaged {
        let is_ready = async || (seen(&server, id).await == (200, "ready".into())).then_some(());
        if timeout(HEALED, eventually("ready", SOON, is_ready)).await.is_err() {
            faults.push(format!("{kind}: stays {:?}", seen(&server, id).await));
            continue;
        }
        server.assert_ready(&server.upload(id).await).await;
        assert_logged_once(&server, since, kind, &format!("{id}/{object}"));
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert_nothing_pending(data).await;
}

#[tokio::test]
async fn a_ready_upload_whose_result_is_damaged_reads_as_failed_and_a_retry_makes_it_ready() {
    let data = Data::new();
    let server = Start::on(&data).start();
    let (accepted, whole) = accept_all(&server).await;
    for id in accepted.iter().map(|(_, id)| id).chain([&whole]) {
        server.assert_ready(&server.end(id, SOON).await).await;
    }
    assert_nothing_pending(&data).await;
    drop(server);
    let foreign = fs::read(data.upload(&whole).join("result.json")).unwrap();
    for (kind, id) in &accepted {
        damage(kind, &data.upload(id).join("result.json"), &foreign);
    }
    assert_retry_heals(&data, &accepted, "result.json").await;
    for (kind, id) in &accepted {
        let left = || fs::read_dir(data.upload(id)).unwrap().count();
        let one_making = async || (left() == 3).then_some(());
        eventually(&format!("{kind}: original, result and one making are left"), SOON, one_making).await;
    }
}

#[tokio::test]
async fn a_failed_upload_whose_failure_is_damaged_can_be_retried() {
    let data = Data::new();
    let server = Start::on(&data).with("--workers", "0").start();
    let (accepted, whole) = accept_all(&server).await;
    let everyone = || accepted.iter().map(|(_, id)| id).chain([&whole]);
    let original = |id: &str| data.upload(id).join("original");
    let aside = |id: &str| data.path().join(format!("{id}.aside"));
    everyone().for_each(|id| fs::rename(original(id), aside(id)).unwrap());
    let worker = StartWorker::beside(&data).start();
    for id in everyone() {
        assert_eq!(server.end(id, SOON).await["error"]["type"], "/problems/original-gone");
    }
    assert_nothing_pending(&data).await;
    drop((server, worker));
    everyone().for_each(|id| fs::rename(aside(id), original(id)).unwrap());
    let foreign = fs::read(data.upload(&whole).join("failure.1.json")).unwrap();
    for (kind, id) in &accepted {
        damage(kind, &data.upload(id).join("failure.1.json"), &foreign);
    }
    assert_retry_heals(&data, &accepted, "failure.1.json").await;
}

/// Damages the pending entries of uploads whose jobs wait, with or without the queue.
async fn damage_pending(queue_is_lost: bool) {
    let data = Data::new();
    let server = Start::on(&data).with("--workers", "0").start();
    let (accepted, whole) = accept_all(&server).await;
    drop(server);
    let entry = |id: &str| data.path().join("pending").join(id);
    let foreign = fs::read(entry(&whole)).unwrap();
    for (kind, id) in &accepted {
        damage(kind, &entry(id), &foreign);
    }
    if queue_is_lost {
        for file in ["queue.sqlite", "queue.sqlite-wal", "queue.sqlite-shm"] {
            let _ = fs::remove_file(data.path().join(file));
        }
    }
    let (server, since) = start_alone(&data);
    for (kind, id) in &accepted {
        for _ in 0..3 {
            let seen = server.upload(id).await;
            assert_eq!(seen["state"], "queued", "{kind}: {seen}");
        }
    }
    let _worker = StartWorker::beside(&data).start();
    let mut lost = Vec::new();
    for (kind, id) in &accepted {
        let within = if queue_is_lost { POSTED_AGAIN } else { SOON };
        let ending = timeout(within, server.end(id, POSTED_AGAIN * 2)).await;
        match ending {
            Ok(ended) => {
                server.assert_ready(&ended).await;
                assert_logged_once(&server, since, kind, &format!("pending/{id}"));
            }
            Err(_) => lost.push(*kind),
        }
    }
    assert!(lost.is_empty(), "uploads with these damages never end: {lost:?}");
    assert_nothing_pending(&data).await;
}

#[tokio::test]
async fn a_damaged_pending_entry_does_not_keep_an_upload_from_its_end() {
    damage_pending(false).await;
}

#[tokio::test]
async fn a_damaged_pending_entry_is_healed_when_its_job_is_lost_too() {
    damage_pending(true).await;
}
