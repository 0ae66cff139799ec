//! Messages that are lost, doubled, damaged, or poison.

use std::{num::NonZeroUsize, time::Duration};

use futures::future::join_all;
use integration_tests::{
    fleet::Fleet,
    patience::{SOON, eventually},
    pictures,
    server::id,
    socket::Socket,
};
use worker::{
    ResizeJob, UploadId, UploadRecord, testing,
    transport::{Delivery, JobQueue, Posting, Slots},
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
    let record = testing::record_of(id.parse().unwrap());
    let good = String::from_utf8(ResizeJob::new(record).encode()).unwrap();
    let deep = "[".repeat(10_000);
    let long = format!(r#"{{"v":2,"id":"{id}","padding":"{}"}}"#, "x".repeat(70_000));
    let hostile = [
        ("", "not json".to_owned()),
        (&*id, good.replace(r#""v":2"#, r#""v":99"#)),
        (&id, good.replacen(&id, "../../etc/passwd", 1)),
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
    let record = testing::record_of(id(&upload).parse().unwrap());
    let posting = Posting::of_sweeper(UploadRecord { bulk: true, width: 640, height: 480, ..record });
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
    // A busy broker may refuse queues that it has declared a moment ago.
    eventually("the queues answer", SOON, async || queue.connect().await.ok()).await;
    let beginners = (0..4).map(|_| async {
        loop {
            fleet.queue().connect().await.unwrap();
        }
    });
    let jobs = async {
        let mut deliveries = queue.consume(Slots::any(NonZeroUsize::MIN)).await.unwrap();
        let mut held = None::<Delivery>;
        for _ in 0..30 {
            let posting = Posting::of_client(testing::record_of(UploadId::new()));
            // While one is held the next lies in a queue that some session has just seen empty.
            queue.publish(posting).await.unwrap();
            if let Some(held) = held.take() {
                held.ack().await.unwrap();
            }
            let delivery = deliveries.next().await.unwrap();
            assert_eq!(delivery.tries.deliveries, 1);
            held = Some(delivery);
        }
    };
    tokio::select! {
        () = jobs => {}
        never = join_all(beginners) => drop::<Vec<()>>(never),
    }
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
async fn a_server_whose_connections_are_closed_listens_again_by_a_queue_of_another_name() {
    let fleet = Fleet::new().await;
    let server = fleet.server().start();
    let worker = fleet.worker().start();
    worker.takes_jobs().await;
    let reply_queue = async || {
        let one = async || {
            let queues = fleet.vhost.queues("up.done.").await;
            (queues.len() == 1).then(|| queues.into_iter().next()).flatten()
        };
        eventually("there is one reply queue", SOON, one).await
    };
    let mut socket = Socket::connect(&server.url).await;
    for seed in 0..3 {
        let before = reply_queue().await;
        fleet.vhost.close_connections().await;
        eventually("the server listens again", SOON, async || (reply_queue().await != before).then_some(()))
            .await;
        worker.takes_jobs().await;
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
    eventually("the job is on the broker", SOON, async || {
        (queue.depth().await.ok()?.ready == 1).then_some(())
    })
    .await;
    fleet.vhost.delete_queues("resize").await;
    let _worker = fleet.worker().start();
    let next = server.accepted("next.png", pictures::tiny(2)).await;
    fleet.assert_all_ready(&server, &[next, upload], Duration::from_secs(90)).await;
}
