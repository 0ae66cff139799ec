use std::sync::{Arc, atomic::Ordering};

use worker::{
    Changed, State, StorageKey, Upload, UploadId, UploadRecord, UploadStatus,
    testing::{self, Fuse, InMemory, Instantly, Log, Logged, ObjectStoreExt, Script, StorePath, work_off},
};

use super::*;
use crate::hub::Hub;

const JOB_TIMEOUT: Duration = Duration::from_secs(30);

/// A server's sweeper, with a clock that a test moves.
struct Rig {
    storage: Storage,
    log: Log,
    script: Script,
    sightings: Sightings,
    hub: Hub,
    now: Instant,
}

impl Rig {
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
            storage: &self.storage,
            outbox: outbox.map(|outbox| outbox as &dyn JobQueue),
            queue: &self.script,
            sightings: &self.sightings,
            is_at_work: &|id| self.hub.has_started(id),
            job_timeout: JOB_TIMEOUT,
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

    /// A worker begins with the next job and every server hears of it.
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
async fn a_lost_job_is_posted_again_at_the_second_sighting_and_ends() {
    for script in both() {
        let mut rig = Rig::new(script);
        let record = rig.stored().await;
        assert_eq!(rig.sweep().await.posted, 0, "one sighting tells nothing");
        assert_eq!(rig.sweep().await.posted, 1);
        assert_eq!(rig.sweep().await.posted, 0);
        work_off(&testing::worker(&rig.storage, &rig.script, Instantly::default()), &rig.script).await;
        assert!(matches!(rig.storage.status(record.id).await.unwrap(), UploadStatus::Ready(_)));
        assert_eq!(rig.sweep().await, Swept::default());
    }
}

#[tokio::test]
async fn a_sweep_lists_what_is_unfinished_and_reads_nothing_of_what_has_ended() {
    let store = InMemory::new();
    for number in 0..100_000u32 {
        let id = UploadId::at(u64::from(number), &[7; 10]);
        store.put(&path(&StorageKey::result(id)), "{}".into()).await.unwrap();
    }
    let store = Logged::new(store, Fuse::never());
    let log = store.log();
    let mut rig = Rig { storage: Storage::over(Arc::new(store)), log, ..Rig::new(Script::searchable()) };
    for _ in 0..3 {
        rig.accepted().await;
    }
    rig.sweep().await;
    let _ = rig.log.take();
    let swept = rig.sweep().await;
    assert_eq!((swept.pending, swept.posted), (3, 0));
    assert_eq!(rig.log.take(), ["LIST pending"], "three held jobs cost one listing");
}

#[tokio::test]
async fn a_backlog_that_stands_for_an_hour_is_not_posted_again() {
    for script in both() {
        let mut rig = Rig::new(script);
        let mut other = rig.other();
        for _ in 0..500 {
            rig.accepted().await;
        }
        let mut posted = 0;
        for _ in 0..360 {
            posted += rig.sweep().await.posted + other.sweep().await.posted;
        }
        assert!(posted <= 5, "{posted} of 500 jobs were posted again in an hour");
    }
}

#[tokio::test]
async fn a_backlog_that_is_worked_off_slowly_is_not_posted_again() {
    for script in both() {
        let mut rig = Rig::new(script);
        let worker = testing::worker(&rig.storage, &rig.script, Instantly::default());
        for _ in 0..300 {
            rig.accepted().await;
        }
        let mut posted = 0;
        // Every ten seconds one upload is made and another comes.
        for _ in 0..360 {
            if let Some(delivery) = rig.begin_next() {
                worker.step(delivery).await;
            }
            rig.accepted().await;
            posted += rig.sweep().await.posted;
        }
        assert!(posted <= 6, "{posted} jobs were posted again in an hour");
    }
}

#[tokio::test]
async fn a_job_that_its_lane_has_passed_by_is_lost_although_the_lane_is_never_empty() {
    let mut rig = Rig::new(Script::counting());
    let lost = rig.stored().await;
    let worker = testing::worker(&rig.storage, &rig.script, Instantly::default());
    // Ids of one millisecond have no order.
    sleep(Duration::from_millis(2)).await;
    for _ in 0..2 {
        rig.accepted().await;
    }
    let mut posted = None;
    for round in 0..12 {
        if rig.sweep().await.posted > 0 {
            posted = Some(round);
            break;
        }
        worker.step(rig.begin_next().unwrap()).await;
        rig.accepted().await;
    }
    assert!(posted.is_some(), "the lane holds {} jobs and has lost one", rig.script.jobs().len());
    assert!(rig.script.postings().iter().filter(|posting| posting.job.id == lost.id).count() == 1);
    assert!(posted >= Some(3), "uploads that came together say nothing of each other");
}

#[tokio::test]
async fn a_job_that_a_worker_has_is_not_lost_while_its_lane_is_empty() {
    let mut rig = Rig::new(Script::counting());
    rig.accepted().await;
    // A worker begins before the upload is first seen, as with every slow picture.
    let _at_work = rig.begin_next();
    rig.sweep().await;
    for _ in 0..5 {
        assert_eq!(rig.sweep().await.posted, 0);
    }
    // Its worker died with the broker's queue: nothing is heard of it for longer than two attempts may take.
    let silence = (2 * JOB_TIMEOUT + Duration::from_secs(40)).as_secs() / PAUSE.as_secs();
    for _ in 0..silence {
        rig.sweep().await;
    }
    assert_eq!(rig.script.postings().len(), 2);
}

#[tokio::test]
async fn a_job_in_this_servers_outbox_is_not_lost() {
    let (mut rig, outbox) = (Rig::new(Script::counting()), Script::searchable());
    let record = rig.stored().await;
    outbox.publish(Posting::of_client(record)).await.unwrap();
    for _ in 0..5 {
        rig.now += PAUSE;
        assert_eq!(rig.sweep_with(Some(&outbox)).await.posted, 0);
    }
    outbox.purge();
    rig.now += PAUSE;
    assert_eq!(rig.sweep_with(Some(&outbox)).await.posted, 1);
    assert_eq!(rig.script.jobs().len(), 1, "it goes straight to the broker");
}

#[tokio::test]
async fn a_job_of_the_sweeper_takes_no_clients_room() {
    let mut rig = Rig::new(Script::searchable());
    rig.stored().await;
    rig.sweep().await;
    rig.sweep().await;
    assert_eq!((rig.script.jobs().len(), rig.script.room_taken().await.unwrap()), (1, 0));
}

#[tokio::test]
async fn an_entry_of_an_upload_that_has_ended_is_removed() {
    for script in both() {
        let mut rig = Rig::new(script);
        let (ready, failed) = (rig.stored().await, rig.stored().await);
        rig.storage.store_result(&testing::result_of(ready.clone())).await.unwrap();
        rig.storage.store_failure(&testing::failure_of(failed.clone())).await.unwrap();
        rig.sweep().await;
        assert_eq!(rig.sweep().await, Swept { pending: 2, posted: 0, cleared: 2 });
        assert_eq!(rig.sweep().await, Swept::default());
        assert!(matches!(rig.storage.status(failed.id).await.unwrap(), UploadStatus::Failed(_)));
    }
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_healed_and_its_upload_ends() {
    const PICTURE: &[u8] = include_bytes!("../../../worker/fuzz/seeds/sampled-444.jpg");
    let store = Arc::new(InMemory::new());
    let mut rig = Rig { storage: Storage::over(store.clone()), ..Rig::new(Script::searchable()) };
    let record = testing::record_of(UploadId::new());
    testing::store_original(&rig.storage, record.id, PICTURE).await;
    store.put(&path(&StorageKey::pending(record.job())), "cut".into()).await.unwrap();
    rig.sweep().await;
    assert_eq!(rig.sweep().await.posted, 1);
    work_off(&testing::worker(&rig.storage, &rig.script, Instantly::default()), &rig.script).await;
    assert!(matches!(rig.storage.status(record.id).await.unwrap(), UploadStatus::Ready(_)));
}

#[tokio::test]
async fn a_wall_clock_that_steps_changes_no_judgement() {
    // Ids carry wall-clock time: some of the future, some of the past.
    let mut rig = Rig::new(Script::searchable());
    for unix_ms in [1, 4_000_000_000_000] {
        let record = testing::record_of(UploadId::at(unix_ms, &rand::random()));
        rig.storage.create_pending(&record).await.unwrap();
    }
    assert_eq!(rig.sweep().await.posted, 0);
    assert_eq!(rig.sweep().await.posted, 2);
}

#[tokio::test]
async fn a_sweep_ends_at_once_when_it_is_asked_to() {
    let store = Logged::new(InMemory::new(), Fuse::after(3));
    let storage = Storage::over(Arc::new(store));
    let (script, sightings) = (Script::searchable(), Sightings::default());
    storage.create_pending(&testing::record()).await.unwrap();
    let sweeper = Sweeper {
        storage: &storage,
        outbox: None,
        queue: &script,
        sightings: &sightings,
        is_at_work: &|_| false,
        job_timeout: JOB_TIMEOUT,
    };
    let now = Instant::now();
    sweeper.sweep(now).await.unwrap();
    // The store answers no more.
    let draining = tokio_util::sync::CancellationToken::new();
    let swept = draining.run_until_cancelled(sweeper.sweep(now + SETTLED));
    let (swept, ()) = tokio::join!(swept, async { draining.cancel() });
    assert!(swept.is_none());
}

#[tokio::test]
async fn an_outage_of_storage_ends_a_sweep_and_the_next_goes_on() {
    let store = Logged::new(InMemory::new(), Fuse::never());
    let away = store.away();
    let mut rig = Rig { storage: Storage::over(Arc::new(store)), ..Rig::new(Script::searchable()) };
    rig.stored().await;
    rig.sweep().await;
    away.store(true, Ordering::Relaxed);
    assert_eq!(rig.sweep().await.posted, 0);
    away.store(false, Ordering::Relaxed);
    assert_eq!(rig.sweep().await.posted, 1);
    assert_eq!(
        rig.script.announced().iter().filter(|changed| changed.upload.state == State::Failed).count(),
        0
    );
}
