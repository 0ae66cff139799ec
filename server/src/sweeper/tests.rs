use std::sync::{Arc, atomic::Ordering};

use tokio::time::sleep;
use worker::{
    Changed, State, StorageKey, Upload, UploadId, UploadRecord, UploadStatus,
    testing::{self, Fuse, InMemory, Instantly, Log, Logged, ObjectStoreExt, Script, StorePath, work_off},
};

use super::*;
use crate::hub::Hub;

const JOB_TIMEOUT: Duration = Duration::from_secs(30);

/// A server's sweeper, with a clock that a test advances.
struct SweptServer {
    storage: Storage,
    log: Log,
    script: Script,
    sightings: Sightings,
    hub: Hub,
    now: Instant,
}

impl SweptServer {
    fn new(script: Script) -> Self {
        let store = Logged::new(InMemory::new(), Fuse::never());
        let log = store.log();
        let storage = Storage::over(Arc::new(store));
        Self {
            storage,
            log,
            script,
            sightings: Sightings::default(),
            hub: Hub::default(),
            now: Instant::now(),
        }
    }

    /// Another server on the same storage and queue.
    fn other(&self) -> Self {
        Self {
            storage: self.storage.clone(),
            log: self.log.clone(),
            script: self.script.clone(),
            sightings: Sightings::default(),
            hub: Hub::default(),
            now: self.now,
        }
    }

    async fn sweep(&mut self) -> Swept {
        self.now += PAUSE;
        self.sweep_with(None).await
    }

    async fn sweep_with(&self, outbox: Option<&Script>) -> Swept {
        let sweeper = Sweeper {
            outbox: outbox.map(|outbox| outbox as &dyn JobQueue),
            is_at_work: &|id| self.hub.has_started(id),
            ..Sweeper::new(&self.storage, &self.script, &self.sightings, JOB_TIMEOUT)
        };
        sweeper.sweep(self.now).await.unwrap()
    }

    /// Stores an upload that was accepted, without its job.
    async fn stored(&self) -> UploadRecord {
        let record = testing::record_of(UploadId::new());
        testing::store_original(&self.storage, record.id, b"original").await;
        self.storage.create_pending(&record).await.unwrap();
        record
    }

    async fn accepted(&self) -> UploadRecord {
        let record = self.stored().await;
        self.script.publish(Posting::of_client(record.clone())).await.unwrap();
        record
    }

    /// A worker begins the next job, and the server receives the announcement.
    fn begin_next(&self) -> Option<worker::transport::Delivery> {
        let delivery = self.script.deliver()?;
        if let worker::transport::Task::Resize(job) = &delivery.task {
            let upload = Upload::queued(&job.record, &worker::LinkBase::default()).processing();
            self.sightings.on_changed(&Changed::new(upload.clone(), job.lane()), self.now);
            self.hub.on_changed(&upload);
        }
        Some(delivery)
    }
}

fn path(key: &StorageKey) -> StorePath {
    StorePath::from(key.to_string())
}

fn both() -> [Script; 2] {
    [Script::searchable(), Script::counting()]
}

#[tokio::test]
async fn a_lost_job_is_requeued_at_the_second_sighting_and_ends() {
    for script in both() {
        let mut server = SweptServer::new(script);
        let record = server.stored().await;
        assert_eq!(server.sweep().await.posted, 0, "one sighting is no proof");
        assert_eq!(server.sweep().await.posted, 1);
        assert_eq!(server.sweep().await.posted, 0);
        work_off(&testing::worker(&server.storage, &server.script, Instantly::default()), &server.script)
            .await;
        assert!(matches!(server.storage.status(record.id).await.unwrap(), UploadStatus::Ready(_)));
        assert_eq!(server.sweep().await, Swept::default());
    }
}

#[tokio::test]
async fn a_sweep_lists_pending_uploads_and_reads_nothing_of_those_that_have_ended() {
    let store = InMemory::new();
    for number in 0..100_000u32 {
        let id = UploadId::at(u64::from(number), &[7; 10]);
        store.put(&path(&StorageKey::result(id)), "{}".into()).await.unwrap();
    }
    let store = Logged::new(store, Fuse::never());
    let log = store.log();
    let mut server = SweptServer {
        storage: Storage::over(Arc::new(store)),
        log,
        ..SweptServer::new(Script::searchable())
    };
    for _ in 0..3 {
        server.accepted().await;
    }
    server.sweep().await;
    let _ = server.log.take();
    let swept = server.sweep().await;
    assert_eq!((swept.pending, swept.posted), (3, 0));
    assert_eq!(server.log.take(), ["LIST pending"], "three held jobs cost one listing");
}

#[tokio::test]
async fn a_backlog_that_stays_for_an_hour_is_not_requeued() {
    for script in both() {
        let mut server = SweptServer::new(script);
        let mut other = server.other();
        for _ in 0..500 {
            server.accepted().await;
        }
        let mut posted = 0;
        for _ in 0..360 {
            posted += server.sweep().await.posted + other.sweep().await.posted;
        }
        assert!(posted <= 5, "{posted} of 500 jobs were requeued in an hour");
    }
}

#[tokio::test]
async fn a_backlog_that_is_worked_off_slowly_is_not_requeued() {
    for script in both() {
        let mut server = SweptServer::new(script);
        let worker = testing::worker(&server.storage, &server.script, Instantly::default());
        for _ in 0..300 {
            server.accepted().await;
        }
        let mut posted = 0;
        // Every ten seconds one upload is finished and another is accepted.
        for _ in 0..360 {
            if let Some(delivery) = server.begin_next() {
                worker.step(delivery).await;
            }
            server.accepted().await;
            posted += server.sweep().await.posted;
        }
        assert!(posted <= 6, "{posted} jobs were requeued in an hour");
    }
}

#[tokio::test]
async fn a_job_is_lost_once_a_worker_began_one_that_was_accepted_clearly_later() {
    let mut server = SweptServer::new(Script::counting());
    let lost = server.stored().await;
    let worker = testing::worker(&server.storage, &server.script, Instantly::default());
    // Ids of one millisecond have no order.
    sleep(Duration::from_millis(2)).await;
    for _ in 0..2 {
        server.accepted().await;
    }
    let mut posted = None;
    for round in 0..12 {
        if server.sweep().await.posted > 0 {
            posted = Some(round);
            break;
        }
        worker.step(server.begin_next().unwrap()).await;
        server.accepted().await;
    }
    assert!(posted.is_some(), "the lane holds {} jobs and has lost one", server.script.jobs().len());
    assert!(server.script.postings().iter().filter(|posting| posting.job.id == lost.id).count() == 1);
    assert!(posted >= Some(3), "uploads that were accepted at about the same time prove nothing");
}

#[tokio::test]
async fn a_job_that_a_worker_has_is_not_lost_while_its_lane_is_empty() {
    let mut server = SweptServer::new(Script::counting());
    server.accepted().await;
    // A worker begins before the upload is first seen, as with every slow picture.
    let _at_work = server.begin_next();
    server.sweep().await;
    for _ in 0..5 {
        assert_eq!(server.sweep().await.posted, 0);
    }
    // Its worker died with the broker's queue: no announcement comes for longer than two attempts may take.
    let silence = (2 * JOB_TIMEOUT + Duration::from_secs(40)).as_secs() / PAUSE.as_secs();
    for _ in 0..silence {
        server.sweep().await;
    }
    assert_eq!(server.script.postings().len(), 2);
}

#[tokio::test]
async fn a_job_in_this_servers_outbox_is_not_lost() {
    let (mut server, outbox) = (SweptServer::new(Script::counting()), Script::searchable());
    let record = server.stored().await;
    outbox.publish(Posting::of_client(record)).await.unwrap();
    for _ in 0..5 {
        server.now += PAUSE;
        assert_eq!(server.sweep_with(Some(&outbox)).await.posted, 0);
    }
    outbox.purge();
    server.now += PAUSE;
    assert_eq!(server.sweep_with(Some(&outbox)).await.posted, 1);
    assert_eq!(server.script.jobs().len(), 1, "it is published directly to the broker");
}

#[tokio::test]
async fn a_requeued_job_does_not_count_for_the_limit() {
    let mut server = SweptServer::new(Script::searchable());
    server.stored().await;
    server.sweep().await;
    server.sweep().await;
    assert_eq!((server.script.jobs().len(), server.script.room_taken().await.unwrap()), (1, 0));
}

#[tokio::test]
async fn an_entry_of_an_upload_that_has_ended_is_removed() {
    for script in both() {
        let mut server = SweptServer::new(script);
        let (ready, failed) = (server.stored().await, server.stored().await);
        server.storage.store_result(&testing::result_of(ready.clone())).await.unwrap();
        server.storage.store_failure(&testing::failure_of(failed.clone())).await.unwrap();
        server.sweep().await;
        assert_eq!(server.sweep().await, Swept { pending: 2, posted: 0, cleared: 2 });
        assert_eq!(server.sweep().await, Swept::default());
        assert!(matches!(server.storage.status(failed.id).await.unwrap(), UploadStatus::Failed(_)));
    }
}

#[tokio::test]
async fn an_unreadable_entry_is_restored_and_its_upload_ends() {
    const PICTURE: &[u8] = include_bytes!("../../../worker/fuzz/seeds/sampled-444.jpg");
    let store = Arc::new(InMemory::new());
    let mut server =
        SweptServer { storage: Storage::over(store.clone()), ..SweptServer::new(Script::searchable()) };
    let record = testing::record_of(UploadId::new());
    testing::store_original(&server.storage, record.id, PICTURE).await;
    store.put(&path(&StorageKey::pending(record.job())), "cut".into()).await.unwrap();
    server.sweep().await;
    assert_eq!(server.sweep().await.posted, 1);
    work_off(&testing::worker(&server.storage, &server.script, Instantly::default()), &server.script).await;
    assert!(matches!(server.storage.status(record.id).await.unwrap(), UploadStatus::Ready(_)));
}

#[tokio::test]
async fn a_step_of_the_wall_clock_makes_no_job_lost() {
    // Ids carry wall-clock time: some of the future, some of the past.
    let mut server = SweptServer::new(Script::searchable());
    for unix_ms in [1, 4_000_000_000_000] {
        let record = testing::record_of(UploadId::at(unix_ms, &rand::random()));
        server.storage.create_pending(&record).await.unwrap();
    }
    assert_eq!(server.sweep().await.posted, 0);
    assert_eq!(server.sweep().await.posted, 2);
}

#[tokio::test]
async fn a_cancelled_sweep_ends_at_once() {
    let store = Logged::new(InMemory::new(), Fuse::after(3));
    let storage = Storage::over(Arc::new(store));
    let (script, sightings) = (Script::searchable(), Sightings::default());
    storage.create_pending(&testing::record()).await.unwrap();
    let sweeper = Sweeper::new(&storage, &script, &sightings, JOB_TIMEOUT);
    let now = Instant::now();
    sweeper.sweep(now).await.unwrap();
    // From here on, the store does not answer.
    let draining = tokio_util::sync::CancellationToken::new();
    let swept = draining.run_until_cancelled(sweeper.sweep(now + SETTLED));
    let (swept, ()) = tokio::join!(swept, async { draining.cancel() });
    assert!(swept.is_none());
}

#[tokio::test]
async fn a_sweep_during_an_outage_of_storage_fails_and_the_next_one_succeeds() {
    let store = Logged::new(InMemory::new(), Fuse::never());
    let away = store.away();
    let mut server =
        SweptServer { storage: Storage::over(Arc::new(store)), ..SweptServer::new(Script::searchable()) };
    server.stored().await;
    server.sweep().await;
    away.store(true, Ordering::Relaxed);
    assert_eq!(server.sweep().await.posted, 0);
    away.store(false, Ordering::Relaxed);
    assert_eq!(server.sweep().await.posted, 1);
    assert_eq!(
        server.script.announced().iter().filter(|changed| changed.upload.state == State::Failed).count(),
        0
    );
}

#[tokio::test]
async fn every_pending_upload_of_a_created_queue_is_posted_at_once_unless_it_is_in_the_outbox() {
    let (server, outbox) = (SweptServer::new(Script::counting()), Script::searchable());
    let [lost, ended, kept] = [server.stored().await, server.stored().await, server.stored().await];
    let bulk = UploadRecord { bulk: true, ..testing::record_of(UploadId::new()) };
    server.storage.create_pending(&bulk).await.unwrap();
    server.storage.store_result(&testing::result_of(ended.clone())).await.unwrap();
    outbox.publish(Posting::of_client(kept.clone())).await.unwrap();
    let sweeper = Sweeper {
        outbox: Some(&outbox),
        ..Sweeper::new(&server.storage, &server.script, &server.sightings, JOB_TIMEOUT)
    };
    let swept = sweeper.post_all(&[Lane::Interactive], server.now).await.unwrap();
    assert_eq!(swept, Swept { pending: 4, posted: 1, cleared: 1 });
    assert_eq!(server.script.jobs(), [lost.job()]);
    assert!(server.script.postings().iter().all(|posting| posting.job.again), "a worker looks first");
    let swept = sweeper.post_all(&[Lane::Bulk], server.now).await.unwrap();
    assert_eq!((swept.posted, server.script.jobs().len()), (1, 2));
}

#[tokio::test]
async fn a_job_that_cannot_be_posted_again_is_an_error_so_that_another_try_follows() {
    let store = Logged::new(InMemory::new(), Fuse::never());
    let away = store.away();
    let server =
        SweptServer { storage: Storage::over(Arc::new(store)), ..SweptServer::new(Script::counting()) };
    server.stored().await;
    let sweeper = Sweeper::new(&server.storage, &server.script, &server.sightings, JOB_TIMEOUT);
    away.store(true, Ordering::Relaxed);
    sweeper.post_all(&Lane::ALL, server.now).await.unwrap_err();
    away.store(false, Ordering::Relaxed);
    assert_eq!(sweeper.post_all(&Lane::ALL, server.now).await.unwrap().posted, 1);
}
