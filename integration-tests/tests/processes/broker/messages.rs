//! Messages that are lost, doubled, damaged, or poison.

use std::{num::NonZeroUsize, time::Duration};

use futures::future::join_all;
use integration_tests::{fleet::Fleet, patience::SOON, pictures, server::id, socket::Socket};
use worker::{
    Format, ResizeJob, UploadId,
    transport::{DeathReason, Delivery, Lane, Posting, Transport},
};

#[tokio::test]
async fn a_job_that_kills_its_workers_becomes_a_dead_letter_and_its_neighbours_are_unharmed() {
    let fleet = Fleet::new().await;
    let server = fleet.server().start();
    let mut socket = Socket::connect(&server.url).await;
    let poison = server.accepted("poison.png", pictures::tiny(666)).await;
    let poison_id = id(&poison);
    socket.subscribe(&[&poison_id]).await;
    let mut neighbours = Vec::new();
    for seed in 0..5 {
        neighbours.push(server.accepted("cat.png", pictures::tiny(seed)).await);
    }
    // The broker counts the deaths: one delivery and five more.
    let mut deaths = 0;
    let failed = loop {
        let mut worker = fleet.worker().slots(1).failing("job-started:poison.png=abort").start();
        tokio::select! {
            failed = socket.end_of(&poison_id, Duration::from_secs(60)) => break failed,
            _ = worker.ended(Duration::from_secs(60)) => deaths += 1,
        }
    };
    assert_eq!(failed["state"], "failed");
    assert_eq!(failed["error"]["type"], "/problems/killed-its-workers");
    assert_eq!(deaths, 6);
    let _worker = fleet.worker().start();
    fleet.assert_all_ready(&server, &neighbours, SOON).await;
    fleet.assert_queue_holds(1).await;
}

#[tokio::test]
async fn a_message_that_is_no_job_is_dead_lettered_at_once_and_the_worker_lives() {
    let fleet = Fleet::new().await;
    let server = fleet.server().start();
    let mut worker = fleet.worker().start();
    worker.takes_jobs().await;
    let id = UploadId::new().to_string();
    let good = String::from_utf8(ResizeJob::new(id.parse().unwrap(), Format::Jpeg).encode()).unwrap();
    let deep = "[".repeat(10_000);
    let long = format!(r#"{{"v":1,"id":"{id}","padding":"{}"}}"#, "x".repeat(70_000));
    let hostile = [
        ("", "not json".to_owned()),
        (&*id, good.replace(r#""v":1"#, r#""v":99"#)),
        (&id, good.replace("uploads/", "uploads/../")),
        ("another", good.clone()),
        ("", deep),
        ("", long),
    ];
    for (message_id, body) in &hostile {
        fleet.vhost.publish("resize", message_id, body).await;
    }
    fleet.assert_queue_holds(hostile.len() as u64).await;
    assert!(worker.runs());
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    fleet.assert_all_ready(&server, &[upload], SOON).await;
}

#[tokio::test]
async fn a_job_that_is_posted_twice_makes_one_upload() {
    let fleet = Fleet::new().await;
    let server = fleet.server().start();
    let upload = server.accepted("cat.jpg", pictures::jpeg(640, 480)).await;
    let posting = Posting {
        job: ResizeJob::new(id(&upload).parse().unwrap(), Format::Jpeg),
        generation: 1,
        lane: Lane::Bulk,
        traceparent: None,
    };
    let queue = fleet.queue();
    for _ in 0..3 {
        queue.publish(posting.clone()).await.unwrap();
    }
    let _workers = [fleet.worker().start(), fleet.worker().start()];
    let ready = server.end(&id(&upload), SOON).await;
    let first = server.assert_ready(&ready).await;
    fleet.assert_queue_holds(0).await;
    assert_eq!(server.assert_ready(&server.upload(&id(&upload)).await).await, first);
}

#[tokio::test]
async fn sessions_that_begin_cost_no_job_a_delivery() {
    let fleet = Fleet::new().await;
    let queue = fleet.queue();
    queue.meet().await.unwrap();
    let beginners = (0..4).map(|_| async {
        loop {
            fleet.queue().meet().await.unwrap();
        }
    });
    let jobs = async {
        let mut deliveries = queue.consume(NonZeroUsize::MIN).await.unwrap();
        let mut held = None::<Delivery>;
        for _ in 0..30 {
            let posting = Posting {
                job: ResizeJob::new(UploadId::new(), Format::Png),
                generation: 1,
                lane: Lane::Interactive,
                traceparent: None,
            };
            // While one is held the next lies in a queue that some session has just seen empty.
            queue.publish(posting).await.unwrap();
            if let Some(held) = held.take() {
                held.ack().await.unwrap();
            }
            let delivery = deliveries.next().await.unwrap();
            assert_eq!(delivery.attempt, 1);
            held = Some(delivery);
        }
    };
    tokio::select! {
        () = jobs => {}
        never = join_all(beginners) => drop::<Vec<()>>(never),
    }
}

#[tokio::test]
async fn a_late_burial_does_not_end_an_upload_that_goes_round_once_more() {
    let fleet = Fleet::new().await;
    let server = fleet.server().start();
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    let queue = fleet.queue();
    // The job of a generation before the one that the upload has now.
    let older = Posting {
        job: ResizeJob::new(id(&upload).parse().unwrap(), Format::Png),
        generation: 0,
        lane: Lane::Interactive,
        traceparent: None,
    };
    queue.publish(older).await.unwrap();
    let mut deliveries = queue.consume(2.try_into().unwrap()).await.unwrap();
    let (one, other) = (deliveries.next().await.unwrap(), deliveries.next().await.unwrap());
    let (older, newer) = if one.generation == Some(0) { (one, other) } else { (other, one) };
    drop(deliveries);
    older.dead_letter(DeathReason::Exhausted).await.unwrap();
    newer.release().await.unwrap();
    let _worker = fleet.worker().start();
    server.assert_ready(&server.end(&id(&upload), SOON).await).await;
    fleet.assert_queue_holds(1).await;
}

#[tokio::test]
async fn a_lost_completion_costs_seconds_and_not_for_ever() {
    let fleet = Fleet::new().await;
    let server = fleet.server().start();
    let _worker = fleet.worker().failing("announce:lost.png=drop").start();
    let mut socket = Socket::connect(&server.url).await;
    let upload = server.accepted("lost.png", pictures::tiny(1)).await;
    socket.subscribe(&[&id(&upload)]).await;
    let ready = socket.end_of(&id(&upload), Duration::from_secs(20)).await;
    server.assert_ready(&ready).await;
}

#[tokio::test]
async fn a_reply_queue_that_is_deleted_comes_back() {
    let fleet = Fleet::new().await;
    let server = fleet.server().start();
    let worker = fleet.worker().start();
    worker.takes_jobs().await;
    let mut socket = Socket::connect(&server.url).await;
    for seed in 0..3 {
        // It may not have been there yet.
        let deleted = async || (fleet.vhost.delete_queues("up.done.").await == 1).then_some(());
        integration_tests::patience::eventually("the reply queue is deleted", SOON, deleted).await;
        let upload = server.accepted("cat.png", pictures::tiny(seed)).await;
        socket.subscribe(&[&id(&upload)]).await;
        let ready = socket.end_of(&id(&upload), Duration::from_secs(20)).await;
        server.assert_ready(&ready).await;
    }
}

#[tokio::test]
async fn a_job_queue_that_is_deleted_comes_back_and_what_was_in_it_is_posted_again() {
    let fleet = Fleet::new().await;
    let server = fleet.server().start();
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    let queue = fleet.queue();
    integration_tests::patience::eventually("the job is on the broker", SOON, async || {
        (queue.depth().await.ok()?.ready == 1).then_some(())
    })
    .await;
    fleet.vhost.delete_queues("resize").await;
    let _worker = fleet.worker().start();
    let next = server.accepted("next.png", pictures::tiny(2)).await;
    fleet.assert_all_ready(&server, &[next, upload], Duration::from_secs(90)).await;
}
