//! The faults that need no broker, and what must hold after each.

use std::{fs, path::Path, time::Duration};

use integration_tests::{
    patience::{SOON, eventually},
    pictures,
    server::{Data, Server, Start, id, thumbnails_in},
    socket::Socket,
    worker::reached,
};
use rustix::process::{Signal, kill_process};
use tokio::time::Instant;
use worker::{
    UploadRecord, testing,
    transport::{Depth, JobQueue, Posting, sqlite::SqliteTransport},
};

fn queue(data: &Data) -> SqliteTransport {
    SqliteTransport::open(&data.path().join("queue.sqlite"), u64::MAX).unwrap()
}

async fn assert_queue_holds(data: &Data, dead: u64) {
    let queue = queue(data);
    eventually("the queue is empty", SOON, async || {
        let depth = queue.depth().await.unwrap();
        (depth == Depth { dead, unacked: Some(0), ..Depth::default() }).then_some(())
    })
    .await;
}

fn failing_once(data: &Data, point: &str, action: &str) -> (Start, std::path::PathBuf) {
    let marker = data.path().join(point);
    (Start::on(data).failing(format!("{point}={action}@{}", marker.display())), marker)
}

#[tokio::test]
async fn a_killed_worker_loses_no_job_and_it_is_redelivered_within_two_seconds() {
    let data = Data::new();
    let (start, marker) = failing_once(&data, "job-started", "park");
    let server = start.start();
    server.workers_ready(2).await;
    let mut socket = Socket::connect(&server.url).await;
    let upload = server.accepted("cat.jpg", pictures::jpeg(640, 480)).await;
    socket.subscribe(&[&id(&upload)]).await;
    let worker = reached(&marker).await;
    let killed = Instant::now();
    kill_process(worker, Signal::KILL).unwrap();
    let ready = socket.end_of(&id(&upload), SOON).await;
    assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());
    server.assert_ready(&ready).await;
    server.assert_no_temporary_files();
    assert_queue_holds(&data, 0).await;
}

#[tokio::test]
async fn a_worker_that_dies_after_the_thumbnails_leaves_them_as_they_are() {
    for point in ["before-outcome", "after-outcome", "before-ack"] {
        let data = Data::new();
        let (start, marker) = failing_once(&data, point, "park");
        let server = start.start();
        let upload = server.accepted("cat.jpg", pictures::jpeg(640, 480)).await;
        let worker = reached(&marker).await;
        let directory = data.upload(&id(&upload));
        let before = thumbnails_in(&directory);
        kill_process(worker, Signal::KILL).unwrap();
        let ready = server.end(&id(&upload), SOON).await;
        assert_queue_holds(&data, 0).await;
        assert_eq!(server.assert_ready(&ready).await, before, "{point}");
        server.assert_no_temporary_files();
        eventually("one making is left", SOON, async || {
            // Original, result and the thumbnails that won.
            (fs::read_dir(&directory).unwrap().count() == 3).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_server_killed_before_the_answer_promised_nothing_and_leaves_no_orphan() {
    for (point, is_stored) in [("after-original", false), ("after-record", true), ("after-commit", true)] {
        let data = Data::new();
        let (start, _) = failing_once(&data, point, "abort");
        let mut server = start.start();
        let post =
            server.client.put(server.at("/uploads/cat.jpg")).body(pictures::jpeg(640, 480)).send().await;
        assert!(post.is_err(), "{point}: no 202 was given");
        server.ended(SOON).await;
        let next = Start::on(&data).start();
        if is_stored {
            // Nobody was promised anything, but what is stored ends all the same.
            let stored = data.uploads().remove(0);
            next.assert_ready(&next.end(&stored, Duration::from_secs(90)).await).await;
            next.assert_no_temporary_files();
        } else {
            // Nobody can see the orphan, and a day after its shard closed the audit removes it.
            let orphan = data.uploads().remove(0);
            let seen = next.client.get(next.at(&format!("/uploads/{orphan}"))).send().await.unwrap();
            assert_eq!((seen.status().as_u16(), data.pending().len()), (404, 0));
        }
    }
}

#[tokio::test]
async fn an_accepted_upload_outlives_the_server_that_took_it() {
    let data = Data::new();
    let mut server = Start::on(&data).with("--workers", "0").start();
    let mut accepted = Vec::new();
    for seed in 0..5 {
        accepted.push(server.accepted("cat.png", pictures::tiny(seed)).await);
    }
    server.kill();
    let next = Start::on(&data).start();
    for upload in accepted {
        next.assert_ready(&next.end(&id(&upload), SOON).await).await;
    }
    assert_queue_holds(&data, 0).await;
}

#[tokio::test]
async fn an_upload_whose_job_is_lost_with_the_queue_is_posted_again() {
    let data = Data::new();
    let server = Start::on(&data).with("--workers", "0").start();
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    drop(server);
    for file in ["queue.sqlite", "queue.sqlite-wal", "queue.sqlite-shm"] {
        let _ = fs::remove_file(data.path().join(file));
    }
    let next = Start::on(&data).start();
    next.assert_ready(&next.end(&id(&upload), Duration::from_secs(90)).await).await;
}

#[tokio::test]
async fn a_lost_completion_costs_seconds_and_not_for_ever() {
    for point in ["announce", "hear"] {
        let server = Start::new().failing(format!("{point}=drop")).start();
        let mut socket = Socket::connect(&server.url).await;
        let upload = server.accepted("cat.jpg", pictures::jpeg(640, 480)).await;
        socket.subscribe(&[&id(&upload)]).await;
        let ready = socket.end_of(&id(&upload), Duration::from_secs(20)).await;
        server.assert_ready(&ready).await;
    }
}

#[tokio::test]
async fn a_job_that_kills_its_workers_fails_after_three_and_its_neighbours_are_unharmed() {
    let data = Data::new();
    let server = Start::on(&data).failing("job-started:poison.png=abort").start();
    let mut socket = Socket::connect(&server.url).await;
    let poison = server.accepted("poison.png", pictures::tiny(666)).await;
    socket.subscribe(&[&id(&poison)]).await;
    let mut neighbours = Vec::new();
    for seed in 0..5 {
        neighbours.push(server.accepted("cat.png", pictures::tiny(seed)).await);
    }
    let failed = socket.end_of(&id(&poison), SOON).await;
    assert_eq!(failed["state"], "failed");
    assert_eq!(failed["error"]["type"], "/problems/killed-its-workers");
    for upload in neighbours {
        server.assert_ready(&server.end(&id(&upload), SOON).await).await;
    }
    assert_eq!(server.log().matches("name=\"job-started\" subject=\"poison.png\"").count(), 3);
    assert_queue_holds(&data, 1).await;
}

#[tokio::test]
async fn a_job_that_is_posted_twice_makes_one_upload() {
    let data = Data::new();
    let (start, marker) = failing_once(&data, "job-started", "park");
    let server = start.start();
    let upload = server.accepted("cat.jpg", pictures::jpeg(640, 480)).await;
    let worker = reached(&marker).await;
    let record = testing::record_of(id(&upload).parse().unwrap());
    // Another generation, so that the queue takes it for another job.
    let record = UploadRecord { generation: 77, width: 640, height: 480, ..record };
    let duplicate = Posting::of_client(record);
    queue(&data).publish(duplicate).await.unwrap();
    let ready = server.end(&id(&upload), SOON).await;
    let first = server.assert_ready(&ready).await;
    kill_process(worker, Signal::KILL).unwrap();
    assert_queue_holds(&data, 0).await;
    assert_eq!(server.assert_ready(&server.upload(&id(&upload)).await).await, first);
    server.assert_no_temporary_files();
}

#[tokio::test]
async fn a_worker_whose_server_is_killed_ends_by_itself() {
    let mut server: Server = Start::new().with("--workers", "2").start();
    // Two more take interactive jobs alone.
    server.workers_ready(4).await;
    let workers = server.workers();
    assert_eq!(workers.len(), 4);
    server.kill();
    for worker in workers {
        let gone =
            async || (!Path::new(&format!("/proc/{}", worker.as_raw_nonzero())).exists()).then_some(());
        eventually("the worker is gone", SOON, gone).await;
    }
}
