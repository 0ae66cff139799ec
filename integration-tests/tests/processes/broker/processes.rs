//! Servers and workers that are killed, added and removed beside each other.

use std::{fs, time::Duration};

use integration_tests::{
    fleet::Fleet,
    patience::{SOON, eventually},
    pictures,
    server::{id, json, thumbnails_in, upload_in},
    socket::Socket,
    worker::reached,
};
use rustix::process::{Signal, kill_process};
use tokio::time::Instant;

#[tokio::test]
async fn an_upload_at_one_server_is_told_at_another_and_a_killed_server_changes_nothing() {
    let fleet = Fleet::new().await;
    let (mut one, other) = (fleet.server().start(), fleet.server().start());
    let marker = fleet.shared.path().join("marker");
    let worker = fleet.worker().failing(&format!("job-started=park@{}", marker.display())).start();
    worker.takes_jobs().await;
    let mut socket = Socket::connect(&other.url).await;
    let parked = one.accepted("parked.jpg", pictures::jpeg(640, 480)).await;
    let upload = one.accepted("cat.jpg", pictures::jpeg(640, 480)).await;
    socket.subscribe(&[&id(&parked), &id(&upload)]).await;
    let ready = socket.end_of(&id(&upload), SOON).await;
    other.assert_ready(&ready).await;
    // The server that took it dies; its job is on the broker and its waiter elsewhere.
    one.kill();
    let pid = reached(&marker).await;
    let _second = fleet.worker().start();
    kill_process(pid, Signal::KILL).unwrap();
    let ready = socket.end_of(&id(&parked), SOON).await;
    other.assert_ready(&ready).await;
    fleet.assert_queue_holds(0).await;
}

#[tokio::test]
async fn one_trace_goes_over_the_broker_through_all_processes() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let fleet = Fleet::new().await;
    let (one, other) = (fleet.server().start(), fleet.server().start());
    let worker = fleet.worker().start();
    worker.takes_jobs().await;
    one.hears_announcements().await;
    other.hears_announcements().await;
    let request = one.client.post(one.at("/uploads")).body(pictures::tiny(1));
    let request = request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    let upload = json(request.send().await.unwrap()).await["uploads"][0].take();
    one.end(&id(&upload), SOON).await;
    let has = |log: &str, event: &str| log.lines().any(|line| line.contains(event) && line.contains(trace));
    eventually("every process has logged it", SOON, async || {
        let pushed = [&one, &other].iter().all(|server| has(&server.log(), "an upload changed"));
        (pushed && has(&one.log(), "accepted") && has(&worker.log(), "the upload has ended")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_event_follows_its_completion_within_ten_milliseconds_at_the_median() {
    let fleet = Fleet::new().await;
    let (one, other) = (fleet.server().start(), fleet.server().start());
    let worker = fleet.worker().slots(1).start();
    worker.takes_jobs().await;
    other.hears_announcements().await;
    let mut socket = Socket::connect(&other.url).await;
    let mut took = Vec::new();
    for seed in 0..41 {
        let upload = one.accepted("cat.png", pictures::tiny(seed)).await;
        socket.subscribe(&[&id(&upload)]).await;
        let result = upload_in(fleet.shared.path(), &id(&upload)).join("result.json");
        let ready = socket.end_of(&id(&upload), SOON).await;
        let told = std::time::SystemTime::now();
        assert_eq!(ready["state"], "ready");
        // The worker announces after it has stored the result: this is the upper bound.
        let written = fs::metadata(result).unwrap().modified().unwrap();
        took.push(told.duration_since(written).unwrap_or_default());
    }
    took.sort();
    let median = took[took.len() / 2];
    println!("from completion to event: median {median:?}, slowest {:?}", took[took.len() - 1]);
    assert!(median < Duration::from_millis(10), "{median:?}");
}

#[tokio::test]
async fn a_worker_killed_in_the_middle_of_a_job_loses_none() {
    let fleet = Fleet::new().await;
    let server = fleet.server().start();
    let marker = fleet.shared.path().join("marker");
    let failing = format!("job-started=park@{}", marker.display());
    let (one, other) = (fleet.worker().failing(&failing).start(), fleet.worker().failing(&failing).start());
    one.takes_jobs().await;
    other.takes_jobs().await;
    let mut socket = Socket::connect(&server.url).await;
    let upload = server.accepted("cat.jpg", pictures::jpeg(640, 480)).await;
    socket.subscribe(&[&id(&upload)]).await;
    let worker = reached(&marker).await;
    let killed = Instant::now();
    kill_process(worker, Signal::KILL).unwrap();
    let ready = socket.end_of(&id(&upload), SOON).await;
    assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());
    server.assert_ready(&ready).await;
    fleet.assert_queue_holds(0).await;
}

#[tokio::test]
async fn a_worker_that_dies_between_thumbnails_and_acknowledgement_leaves_them_as_they_are() {
    for point in ["before-outcome", "after-outcome", "before-ack"] {
        let fleet = Fleet::new().await;
        let server = fleet.server().start();
        let marker = fleet.shared.path().join("marker");
        let _first = fleet.worker().failing(&format!("{point}=park@{}", marker.display())).start();
        let upload = server.accepted("cat.jpg", pictures::jpeg(640, 480)).await;
        let worker = reached(&marker).await;
        let directory = upload_in(fleet.shared.path(), &id(&upload));
        let before = thumbnails_in(&directory);
        kill_process(worker, Signal::KILL).unwrap();
        let _second = fleet.worker().start();
        let ready = server.end(&id(&upload), SOON).await;
        fleet.assert_queue_holds(0).await;
        assert_eq!(server.assert_ready(&ready).await, before, "{point}");
        eventually("one making is left", SOON, async || {
            // Original, result and the thumbnails that won.
            (fs::read_dir(&directory).unwrap().count() == 3).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_server_killed_before_the_answer_promised_nothing_and_leaves_no_orphan() {
    let fleet = Fleet::new().await;
    let _worker = fleet.worker().start();
    let mut stored = 0;
    for (point, ends) in [("after-original", false), ("after-record", true), ("after-commit", true)] {
        let mut server = fleet.server().failing(format!("{point}=abort")).start();
        let put =
            server.client.put(server.at("/uploads/cat.jpg")).body(pictures::jpeg(640, 480)).send().await;
        assert!(put.is_err(), "{point}: no 202 was given");
        server.ended(SOON).await;
        stored += usize::from(ends);
    }
    // The outbox of a server that is gone for good is lost; another one finds what is stored.
    let other = fleet.server().start();
    let pending = fs::read_dir(fleet.shared.path().join("pending")).unwrap().flatten();
    let ids: Vec<_> = pending.map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert_eq!(ids.len(), stored, "the orphan is nobody's upload");
    for id in ids {
        other.assert_ready(&other.end(&id, Duration::from_secs(90)).await).await;
    }
    fleet.assert_queue_holds(0).await;
}

#[tokio::test]
async fn a_worker_that_drains_gives_back_what_it_has_not_begun() {
    let fleet = Fleet::new().await;
    let server = fleet.server().start();
    let marker = fleet.shared.path().join("marker");
    let mut draining =
        fleet.worker().slots(1).failing(&format!("job-started=park@{}", marker.display())).start();
    draining.takes_jobs().await;
    let mut accepted = vec![server.accepted("parked.png", pictures::tiny(0)).await];
    let parked = reached(&marker).await;
    for seed in 1..6 {
        accepted.push(server.accepted("cat.png", pictures::tiny(seed)).await);
    }
    let _other = fleet.worker().start();
    draining.signal(Signal::TERM);
    fleet.assert_all_ready(&server, &accepted[1..], SOON).await;
    assert!(draining.runs(), "it still has a job");
    draining.signal(Signal::TERM);
    draining.ended(SOON).await;
    assert_eq!(parked, draining.pid());
    fleet.assert_all_ready(&server, &accepted, SOON).await;
    fleet.assert_queue_holds(0).await;
}

#[tokio::test]
async fn a_server_that_drains_empties_its_outbox() {
    let fleet = Fleet::new().await;
    let mut server = fleet.server().start();
    let mut accepted = Vec::new();
    for seed in 0..20 {
        accepted.push(server.accepted("cat.png", pictures::tiny(seed)).await);
    }
    server.signal(Signal::TERM);
    assert!(server.ended(SOON).await.success());
    let _worker = fleet.worker().start();
    let other = fleet.server().start();
    // Sooner than a sweeper would find them.
    fleet.assert_all_ready(&other, &accepted, Duration::from_secs(20)).await;
}

#[tokio::test]
async fn a_second_worker_doubles_nothing() {
    let fleet = Fleet::new().await;
    let server = fleet.server().start();
    let workers = [fleet.worker().start(), fleet.worker().start()];
    for worker in &workers {
        worker.takes_jobs().await;
    }
    let mut accepted = Vec::new();
    for number in 0..30 {
        accepted.push(server.accepted(&format!("{number}.jpg"), pictures::jpeg(800, 600)).await);
    }
    fleet.assert_all_ready(&server, &accepted, SOON).await;
    fleet.assert_queue_holds(0).await;
    let ended = workers.each_ref().map(|worker| worker.log().matches("the upload has ended").count());
    assert_eq!(ended.iter().sum::<usize>(), 30, "{ended:?}");
    assert!(ended.iter().all(|count| *count > 3), "both worked: {ended:?}");
}

#[tokio::test]
async fn a_bulk_run_delays_nobody_by_more_than_one_job() {
    let fleet = Fleet::new().await;
    let server = fleet.server().start();
    let mut bulk = Vec::new();
    for number in 0..40 {
        let posted =
            server.client.post(server.at("/uploads?lane=bulk")).body(pictures::jpeg(1200, 900)).send();
        let upload = json(posted.await.unwrap()).await["uploads"][0].take();
        assert_eq!(upload["state"], "queued", "{number}");
        bulk.push(upload);
    }
    let _worker = fleet.worker().slots(2).start();
    server.end(&id(&bulk[0]), SOON).await;
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    server.end(&id(&upload), SOON).await;
    let mut waiting = 0;
    for upload in &bulk {
        waiting += usize::from(server.upload(&id(upload)).await["state"] == "queued");
    }
    assert!(waiting > 10, "the bulk run was not over: {waiting} wait");
    fleet.assert_all_ready(&server, &bulk, Duration::from_secs(60)).await;
}
