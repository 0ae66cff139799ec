//! The claims of the transport port. Every adapter is held to all of them; an adapter is one line at the end.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use integration_tests::{
    patience::{SOON, eventually},
    rabbit::Vhost,
};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};
use worker::{
    Changed, JobName, Lane, State, Upload, UploadId, UploadRecord, testing,
    transport::{
        DeathReason, Deliveries, Delivery, Depth, ListenEvent, LookUp, Posting, Settled, Slots, Task,
        Transport, TransportError, Tries, rabbitmq::RabbitTransport, sqlite::SqliteTransport,
    },
};

/// A queue that several processes have opened.
#[async_trait::async_trait(?Send)]
trait Rig: Sized {
    async fn new() -> Self;
    /// Opens it as another process would.
    async fn open(&self) -> Arc<dyn Transport>;
}

/// A queue with nothing in it.
const EMPTY: Depth = Depth { ready: 0, delayed: 0, unacked: Some(0), dead: 0, oldest: None };

/// How long nothing must come before it counts as nothing.
const QUIET: Duration = Duration::from_millis(300);

fn posting(id: UploadId) -> Posting {
    Posting::of_client(testing::record_of(id))
}

fn bulk(id: UploadId) -> Posting {
    Posting::of_client(UploadRecord { bulk: true, ..testing::record_of(id) })
}

fn changed(id: UploadId) -> Changed {
    let upload = Upload { id, ..testing::upload() };
    Changed::new(upload, Lane::Interactive)
}

fn slots(count: usize) -> Slots {
    Slots::any(NonZeroUsize::new(count).unwrap())
}

async fn next(deliveries: &mut Box<dyn Deliveries>) -> Delivery {
    timeout(SOON, deliveries.next()).await.expect("a delivery comes").expect("the transport is open")
}

async fn assert_quiet(deliveries: &mut Box<dyn Deliveries>) {
    assert!(timeout(QUIET, deliveries.next()).await.is_err(), "nothing is to come");
}

fn job_of(delivery: &Delivery) -> UploadId {
    match &delivery.task {
        Task::Resize(job) => job.id,
        Task::Bury(letter) => panic!("{letter:?}"),
    }
}

async fn assert_depth(transport: &Arc<dyn Transport>, expected: Depth) {
    eventually("the queue is so deep", SOON, async || {
        let depth = transport.depth().await.unwrap();
        // Not every transport can tell the age, nor what is unacknowledged.
        let unacked = depth.unacked.and(expected.unacked);
        let expected = Depth { unacked, ..expected };
        (Depth { oldest: None, ..depth } == expected).then_some(())
    })
    .await;
}

async fn a_job_is_delivered_once_and_is_gone_when_acknowledged<R: Rig>() {
    let rig = R::new().await;
    let (server, worker) = (rig.open().await, rig.open().await);
    let record = testing::record_of(UploadId::new());
    let posted = Posting::of_client(UploadRecord { traceparent: Some("00-trace".into()), ..record });
    server.publish(posted.clone()).await.unwrap();
    let mut deliveries = worker.consume(slots(2)).await.unwrap();
    let delivery = next(&mut deliveries).await;
    assert_eq!(delivery.task, Task::Resize(posted.job));
    assert_eq!(delivery.tries, Tries { deliveries: 1, failures: 0 });
    assert_eq!(delivery.traceparent.as_deref(), Some("00-trace"));
    assert_quiet(&mut deliveries).await;
    assert_depth(&server, Depth { unacked: Some(1), ..EMPTY }).await;
    assert_eq!(delivery.ack().await.unwrap(), Settled::Done);
    assert_depth(&server, EMPTY).await;
}

async fn no_more_than_the_prefetch_is_unsettled<R: Rig>() {
    let rig = R::new().await;
    let (server, worker) = (rig.open().await, rig.open().await);
    for _ in 0..3 {
        server.publish(posting(UploadId::new())).await.unwrap();
    }
    let mut deliveries = worker.consume(slots(2)).await.unwrap();
    let (one, _two) = (next(&mut deliveries).await, next(&mut deliveries).await);
    assert_quiet(&mut deliveries).await;
    one.ack().await.unwrap();
    next(&mut deliveries).await;
}

async fn a_retry_comes_after_its_delay_and_counts<R: Rig>() {
    let rig = R::new().await;
    let transport = rig.open().await;
    transport.publish(posting(UploadId::new())).await.unwrap();
    let mut deliveries = transport.consume(slots(1)).await.unwrap();
    let failed = Instant::now();
    let delay = Duration::from_millis(700);
    next(&mut deliveries).await.retry(delay).await.unwrap();
    assert_depth(&transport, Depth { delayed: 1, ..EMPTY }).await;
    let again = next(&mut deliveries).await;
    assert!(failed.elapsed() >= delay, "{:?}", failed.elapsed());
    assert_eq!(again.tries, Tries { deliveries: 2, failures: 1 });
}

async fn a_postponed_job_comes_after_its_delay_and_no_failure_is_counted<R: Rig>() {
    let rig = R::new().await;
    let transport = rig.open().await;
    transport.publish(posting(UploadId::new())).await.unwrap();
    let mut deliveries = transport.consume(slots(1)).await.unwrap();
    let begun = Instant::now();
    let delay = Duration::from_millis(700);
    for _ in 0..2 {
        next(&mut deliveries).await.postpone(delay).await.unwrap();
    }
    let again = next(&mut deliveries).await;
    assert!(begun.elapsed() >= 2 * delay, "{:?}", begun.elapsed());
    assert_eq!(
        again.tries,
        Tries { deliveries: 3, failures: 0 },
        "its next worker looks for what was stored"
    );
    assert_eq!(again.ack().await.unwrap(), Settled::Done);
    assert_depth(&transport, EMPTY).await;
}

async fn a_released_job_is_somebody_elses_at_once_and_no_failure_is_counted<R: Rig>() {
    let rig = R::new().await;
    let (draining, other) = (rig.open().await, rig.open().await);
    draining.publish(posting(UploadId::new())).await.unwrap();
    let mut deliveries = draining.consume(slots(1)).await.unwrap();
    let delivery = next(&mut deliveries).await;
    let mut others = other.consume(slots(1)).await.unwrap();
    delivery.release().await.unwrap();
    drop(deliveries);
    let again = next(&mut others).await;
    assert_eq!(
        again.tries,
        Tries { deliveries: 2, failures: 0 },
        "its next worker looks for what was stored"
    );
    assert_eq!(again.ack().await.unwrap(), Settled::Done);
}

async fn a_dead_letter_is_delivered_for_burial_and_rests_afterwards<R: Rig>() {
    let rig = R::new().await;
    let transport = rig.open().await;
    let id = UploadId::new();
    transport.publish(posting(id)).await.unwrap();
    let mut deliveries = transport.consume(slots(1)).await.unwrap();
    next(&mut deliveries).await.dead_letter(DeathReason::Exhausted).await.unwrap();
    let burial = next(&mut deliveries).await;
    match &burial.task {
        Task::Bury(letter) => assert_eq!((letter.id, letter.reason), (Some(id), DeathReason::Exhausted)),
        Task::Resize(job) => panic!("{job:?}"),
    }
    // A burial that fails is tried again as one.
    burial.retry(Duration::from_millis(10)).await.unwrap();
    let burial = next(&mut deliveries).await;
    assert!(matches!(burial.task, Task::Bury(_)));
    burial.ack().await.unwrap();
    assert_quiet(&mut deliveries).await;
    assert_depth(&transport, Depth { dead: 1, ..EMPTY }).await;
}

async fn dead_letters_can_be_listed_and_forgotten_one_by_one<R: Rig>() {
    let rig = R::new().await;
    let (transport, operator) = (rig.open().await, rig.open().await);
    let mut deliveries = transport.consume(slots(1)).await.unwrap();
    let ids = [UploadId::new(), UploadId::new()];
    let postings = ids.map(bulk);
    for posting in &postings {
        transport.publish(posting.clone()).await.unwrap();
        next(&mut deliveries).await.retry(Duration::ZERO).await.unwrap();
        next(&mut deliveries).await.dead_letter(DeathReason::Exhausted).await.unwrap();
        next(&mut deliveries).await.ack().await.unwrap();
    }
    for _ in 0..2 {
        let dead = operator.dead_letters().await.unwrap();
        assert_eq!(dead.iter().map(|dead| dead.id).collect::<Vec<_>>(), ids.map(Some));
        assert_eq!(dead[0].key, ids[0].to_string());
        assert_eq!((dead[0].reason, dead[0].failures, dead[0].lane), (DeathReason::Exhausted, 1, Lane::Bulk));
        assert_eq!(dead[0].body, postings[0].job.encode());
    }
    let dead = operator.dead_letters().await.unwrap();
    assert_eq!(operator.forget_dead(&dead[0].key).await.unwrap(), 1);
    assert_eq!(operator.forget_dead(&dead[0].key).await.unwrap(), 0);
    assert_eq!(operator.dead_letters().await.unwrap().len(), 1);
    assert_depth(&transport, Depth { dead: 1, ..EMPTY }).await;
}

async fn several_processes_forget_dead_letters_at_once<R: Rig>() {
    const EACH: usize = 10;
    let rig = R::new().await;
    let transport = rig.open().await;
    let ids: Vec<_> = (0..2 * EACH).map(|_| UploadId::new()).collect();
    let mut deliveries = transport.consume(slots(1)).await.unwrap();
    for id in &ids {
        transport.publish(posting(*id)).await.unwrap();
        next(&mut deliveries).await.dead_letter(DeathReason::Exhausted).await.unwrap();
        next(&mut deliveries).await.ack().await.unwrap();
    }
    assert_depth(&transport, Depth { dead: ids.len() as u64, ..EMPTY }).await;
    let mut processes = Vec::new();
    for ids in ids.chunks(EACH) {
        let process = rig.open().await;
        processes.push(async move {
            for id in ids {
                assert_eq!(process.forget_dead(&id.to_string()).await.unwrap(), 1, "{id}");
            }
        });
    }
    futures::future::join_all(processes).await;
    assert_depth(&transport, EMPTY).await;
}

async fn a_delivery_that_is_dropped_comes_again_and_counts<R: Rig>() {
    let rig = R::new().await;
    let transport = rig.open().await;
    transport.publish(posting(UploadId::new())).await.unwrap();
    let mut deliveries = transport.consume(slots(1)).await.unwrap();
    drop(next(&mut deliveries).await);
    let again = next(&mut deliveries).await;
    assert_eq!(again.tries, Tries { deliveries: 2, failures: 1 });
}

async fn waiting_for_a_job_can_be_broken_off_without_losing_it<R: Rig>() {
    let rig = R::new().await;
    let transport = rig.open().await;
    let mut deliveries = transport.consume(slots(1)).await.unwrap();
    for _ in 0..50 {
        transport.publish(posting(UploadId::new())).await.unwrap();
        // Broken off at every stage: after hardly any time first, and then after ever more.
        let mut patience = Duration::from_micros(1);
        let delivery = loop {
            match timeout(patience, deliveries.next()).await {
                Ok(delivery) => break delivery.unwrap(),
                Err(_) => patience *= 2,
            }
        };
        assert_eq!(delivery.tries.deliveries, 1, "it was delivered to nobody before");
        delivery.ack().await.unwrap();
    }
    assert_depth(&transport, EMPTY).await;
}

async fn an_interactive_job_is_not_behind_a_bulk_run<R: Rig>() {
    let rig = R::new().await;
    let transport = rig.open().await;
    for _ in 0..10 {
        transport.publish(bulk(UploadId::new())).await.unwrap();
    }
    let mut deliveries = transport.consume(slots(1)).await.unwrap();
    let bulk = next(&mut deliveries).await;
    let interactive = UploadId::new();
    transport.publish(posting(interactive)).await.unwrap();
    bulk.ack().await.unwrap();
    assert_eq!(job_of(&next(&mut deliveries).await), interactive);
}

async fn jobs_of_a_lane_come_in_their_order<R: Rig>() {
    let rig = R::new().await;
    let transport = rig.open().await;
    let ids: Vec<_> = (0..5).map(|_| UploadId::new()).collect();
    for id in &ids {
        transport.publish(posting(*id)).await.unwrap();
    }
    let mut deliveries = transport.consume(slots(5)).await.unwrap();
    for id in ids {
        let delivery = next(&mut deliveries).await;
        assert_eq!(job_of(&delivery), id);
        delivery.ack().await.unwrap();
    }
}

async fn what_is_announced_reaches_every_listener_that_listens<R: Rig>() {
    let rig = R::new().await;
    let (one, other, worker) = (rig.open().await, rig.open().await, rig.open().await);
    let early = UploadId::new();
    // A broker that is reached for the first time may be late.
    eventually("it is announced", SOON, async || worker.announce(&changed(early), None).await.ok()).await;
    let (mut first, mut second) = (one.listen().await.unwrap(), other.listen().await.unwrap());
    for number in 0..300 {
        let id = UploadId::new();
        let trace = format!("trace-{number}");
        worker.announce(&changed(id), Some(&trace)).await.unwrap();
        for listener in [&mut first, &mut second] {
            let heard = timeout(SOON, listener.next()).await.expect("it is heard").unwrap();
            assert_eq!(heard, ListenEvent::Changed(Box::new(changed(id)), Some(trace.clone())));
        }
    }
}

async fn a_job_is_announced_when_it_is_handed_out_and_when_it_is_finished<R: Rig>() {
    let rig = R::new().await;
    let (server, worker) = (rig.open().await, rig.open().await);
    let mut listener = server.listen().await.unwrap();
    let mut heard = async || match timeout(SOON, listener.next()).await.expect("it is announced").unwrap() {
        ListenEvent::Changed(changed, trace) => (*changed, trace),
        event => panic!("nothing was interrupted: {event:?}"),
    };
    let record =
        UploadRecord { traceparent: Some("trace".into()), bulk: true, ..testing::record_of(UploadId::new()) };
    let id = record.id;
    server.publish(Posting::of_client(record)).await.unwrap();
    let mut deliveries = worker.consume(slots(1)).await.unwrap();
    let delivery = next(&mut deliveries).await;
    let (begun, trace) = heard().await;
    assert_eq!((begun.upload.id, begun.upload.state, begun.lane()), (id, State::Processing, Lane::Bulk));
    assert_eq!(trace.as_deref(), Some("trace"));
    let ready = Changed::new(Upload { id, ..testing::ready_upload() }, Lane::Bulk);
    assert_eq!(delivery.finish(ready.clone()).await.unwrap(), Settled::Done);
    assert_eq!(heard().await, (ready, Some("trace".into())));
    assert_depth(&server, EMPTY).await;
}

async fn a_queue_tells_which_jobs_it_lacks_or_how_many_wait<R: Rig>() {
    let rig = R::new().await;
    let transport = rig.open().await;
    let (held, lost) = (posting(UploadId::new()), posting(UploadId::new()));
    transport.publish(held.clone()).await.unwrap();
    let asked = [held.job.name(), lost.job.name(), JobName { generation: 2, ..held.job.name() }];
    eventually("the queue has the job", SOON, async || {
        match transport.look_up(Lane::Interactive, &asked).await.unwrap() {
            LookUp::Missing(missing) => (missing == asked[1..]).then_some(()),
            LookUp::Waiting(jobs) => (jobs == 1).then_some(()),
        }
    })
    .await;
    let mut deliveries = transport.consume(slots(1)).await.unwrap();
    next(&mut deliveries).await.ack().await.unwrap();
    eventually("the queue has it no longer", SOON, async || {
        match transport.look_up(Lane::Interactive, &asked).await.unwrap() {
            LookUp::Missing(missing) => (missing == asked).then_some(()),
            LookUp::Waiting(jobs) => (jobs == 0).then_some(()),
        }
    })
    .await;
}

async fn closing_ends_deliveries_and_announcements_and_settles_what_is_out<R: Rig>() {
    let rig = R::new().await;
    let (transport, other) = (rig.open().await, rig.open().await);
    transport.publish(posting(UploadId::new())).await.unwrap();
    let mut deliveries = transport.consume(slots(2)).await.unwrap();
    let mut listener = transport.listen().await.unwrap();
    let delivery = next(&mut deliveries).await;
    transport.close().await;
    assert!(timeout(SOON, deliveries.next()).await.unwrap().is_none());
    assert!(timeout(SOON, listener.next()).await.unwrap().is_none());
    assert_eq!(delivery.ack().await.unwrap(), Settled::Done);
    assert_depth(&other, EMPTY).await;
}

async fn a_published_job_outlives_everybody<R: Rig>() {
    let rig = R::new().await;
    let id = UploadId::new();
    let transport = rig.open().await;
    transport.publish(posting(id)).await.unwrap();
    drop(transport);
    let mut deliveries = rig.open().await.consume(slots(1)).await.unwrap();
    assert_eq!(job_of(&next(&mut deliveries).await), id);
}

async fn a_job_reaches_an_idle_worker_without_waiting_for_a_poll<R: Rig>() {
    let rig = R::new().await;
    let (server, worker) = (rig.open().await, rig.open().await);
    let mut deliveries = worker.consume(slots(1)).await.unwrap();
    let mut took = Vec::new();
    for _ in 0..101 {
        // Idle, as between two uploads.
        assert!(timeout(Duration::from_millis(5), deliveries.next()).await.is_err());
        let posted = Instant::now();
        let (published, delivery) =
            tokio::join!(server.publish(posting(UploadId::new())), next(&mut deliveries));
        took.push(posted.elapsed());
        published.unwrap();
        delivery.ack().await.unwrap();
    }
    took.sort();
    let median = took[took.len() / 2];
    println!("from posting to delivery: median {median:?}, slowest {:?}", took[took.len() - 1]);
    // Other tests may have the processors meanwhile; a poll would delay all.
    let quick = took[took.len() / 4];
    assert!(quick < Duration::from_millis(5), "{quick:?}");
}

async fn a_full_queue_takes_no_more_and_forgets_nothing<R: Rig>() {
    let rig = R::new().await;
    let transport = rig.open().await;
    let mut taken = 0;
    let refused = loop {
        match transport.publish(posting(UploadId::new())).await {
            Ok(()) => taken += 1,
            Err(refused) => break refused,
        }
        // A broker may take a few more before it notices.
        assert!(taken < 2 * CAPACITY, "the queue is never full");
    };
    assert!(matches!(refused, TransportError::Full | TransportError::Nacked), "{refused}");
    assert!(taken >= CAPACITY, "{taken}");
    assert_depth(&transport, Depth { ready: taken, ..EMPTY }).await;
    transport.check().await.unwrap();
}

/// Holds one adapter to every claim.
macro_rules! conform {
    ($adapter:ident: $rig:ty) => {
        conform!($adapter: $rig;
            a_job_is_delivered_once_and_is_gone_when_acknowledged,
            no_more_than_the_prefetch_is_unsettled,
            a_retry_comes_after_its_delay_and_counts,
            a_postponed_job_comes_after_its_delay_and_no_failure_is_counted,
            a_released_job_is_somebody_elses_at_once_and_no_failure_is_counted,
            a_dead_letter_is_delivered_for_burial_and_rests_afterwards,
            dead_letters_can_be_listed_and_forgotten_one_by_one,
            several_processes_forget_dead_letters_at_once,
            a_delivery_that_is_dropped_comes_again_and_counts,
            waiting_for_a_job_can_be_broken_off_without_losing_it,
            an_interactive_job_is_not_behind_a_bulk_run,
            jobs_of_a_lane_come_in_their_order,
            what_is_announced_reaches_every_listener_that_listens,
            a_job_is_announced_when_it_is_handed_out_and_when_it_is_finished,
            a_queue_tells_which_jobs_it_lacks_or_how_many_wait,
            closing_ends_deliveries_and_announcements_and_settles_what_is_out,
            a_published_job_outlives_everybody,
            a_job_reaches_an_idle_worker_without_waiting_for_a_poll,
            a_full_queue_takes_no_more_and_forgets_nothing,
        );
    };
    ($adapter:ident: $rig:ty; $($claim:ident,)*) => {
        mod $adapter {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $claim() {
                    super::$claim::<$rig>().await;
                }
            )*
        }
    };
}

/// Jobs that the queues of these tests hold at most.
const CAPACITY: u64 = 60;

struct Sqlite(TempDir);

#[async_trait::async_trait(?Send)]
impl Rig for Sqlite {
    async fn new() -> Self {
        Self(TempDir::with_prefix("up-test-").unwrap())
    }

    async fn open(&self) -> Arc<dyn Transport> {
        Arc::new(SqliteTransport::open(&self.0.path().join("queue.sqlite"), CAPACITY).unwrap())
    }
}

conform!(sqlite: super::Sqlite);

struct Rabbit(Vhost);

#[async_trait::async_trait(?Send)]
impl Rig for Rabbit {
    async fn new() -> Self {
        let vhost = Vhost::new().await;
        vhost.set_policy("^resize$", serde_json::json!({ "max-length": CAPACITY })).await;
        Self(vhost)
    }

    async fn open(&self) -> Arc<dyn Transport> {
        Arc::new(RabbitTransport::open(&self.0.url()).unwrap())
    }
}

conform!(rabbitmq: super::Rabbit);
