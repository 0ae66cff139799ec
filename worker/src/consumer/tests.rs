//! The table at the head of the module, row by row, on a store in memory and a transport in memory.

use std::{num::NonZeroUsize, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use tokio::time::sleep;

use super::{
    running::LONGEST_CHECK_PAUSE,
    settling::{CHECK_WITHIN, SETTLED_AFTER},
    *,
};
use crate::{
    UploadId,
    requeue::Place,
    storage::UploadStatus,
    testing::{self, Fuse, InMemory, Instantly, Log, Logged, ObjectStore, ObjectStoreExt, Script, work_off},
    transport::{DeadLetter, DeathReason, JobQueue, Posting, Slots},
};

/// Storage in memory, and what is asked of it.
fn storage() -> (Storage, Log) {
    let store = Logged::new(InMemory::new(), Fuse::never());
    let log = store.log();
    (Storage::over(Arc::new(store)), log)
}

/// An upload that was accepted: its original, its pending entry and its job are there.
async fn accepted(storage: &Storage, script: &Script) -> UploadRecord {
    let record = testing::record_of(UploadId::new());
    testing::store_original(storage, record.id, b"original").await;
    storage.create_pending(&record).await.unwrap();
    script.publish(Posting::of_client(record.clone())).await.unwrap();
    record
}

fn states(script: &Script) -> Vec<(u32, crate::State)> {
    script.announced().iter().map(|changed| (changed.upload.generation, changed.upload.state)).collect()
}

async fn pending(storage: &Storage) -> usize {
    use futures::StreamExt;
    storage.list_pending().count().await
}

#[tokio::test]
async fn a_first_delivery_reads_only_the_original_and_the_tombstone() {
    let ((storage, log), script) = (storage(), Script::searchable());
    let record = accepted(&storage, &script).await;
    assert_eq!(log.take_counts(), [2, 0, 0, 0], "accepting puts the original and the pending entry");
    work_off(&testing::worker(&storage, &script, Instantly::default()), &script).await;
    assert_eq!(log.take_counts(), [4, 2, 1, 0], "three thumbnails and the result; the pending entry goes");
    assert_eq!(states(&script), [(1, crate::State::Ready)]);
    assert!(matches!(storage.status(record.id).await.unwrap(), UploadStatus::Ready(_)));
    assert_eq!(log.take_counts(), [0, 1, 0, 0], "a ready status costs one read");
    assert_eq!(pending(&storage).await, 0);
}

#[tokio::test]
async fn a_redelivery_that_finds_the_result_announces_it_and_makes_nothing() {
    let ((storage, log), script) = (storage(), Script::searchable());
    let record = accepted(&storage, &script).await;
    let result = testing::result_of(record.clone());
    storage.store_result(&result).await.unwrap();
    drop(script.deliver());
    script.redeliver();
    let _ = log.take();
    work_off(&testing::worker(&storage, &script, Instantly::default()), &script).await;
    assert_eq!(log.take_counts()[0], 0, "nothing is written");
    assert_eq!(script.announced()[0].upload, Upload::ready(&result, &LinkBase::default()));
    assert_eq!(pending(&storage).await, 0);
}

#[tokio::test]
async fn of_deliveries_for_one_end_the_one_that_stored_it_tells_it_or_a_redelivery() {
    let ((storage, _), script) = (storage(), Script::counting());
    let record = accepted(&storage, &script).await;
    let worker = testing::worker(&storage, &script, Instantly::default());
    let tells_end = async |job: &ResizeJob, deliveries, failures| {
        worker.resize(job, Tries { deliveries, failures }).await.ok().unwrap().tells_end
    };
    let (job, again) = (ResizeJob::new(record.clone()), ResizeJob::again(record.clone()));
    assert!(tells_end(&again, 1, 0).await, "the first copy was lost");
    assert!(!tells_end(&job, 1, 0).await, "its making lost");
    assert!(!tells_end(&again, 1, 0).await);
    assert!(!tells_end(&job, 3, 2).await, "the deliveries before it were settled");
    assert!(tells_end(&job, 2, 0).await, "the worker before it may have died before it told");
    let damaged = testing::record_of(UploadId::new());
    let fail = async || {
        let failure = failure_of_kind("cannot-be-decoded", "It is damaged.");
        worker.fail(&damaged, failure, false).await.ok().unwrap().tells_end
    };
    assert!(fail().await);
    sleep(Duration::from_millis(2)).await;
    assert!(!fail().await);
}

#[tokio::test]
async fn an_end_is_told_once_whichever_answer_of_storage_is_lost_before() {
    for lost in 0..LOSSES {
        let (store, script) = (Arc::new(InMemory::new()), Script::searchable());
        let storage = Storage::over(store.clone());
        let record = accepted(&storage, &script).await;
        let losing = Storage::over(Arc::new(Logged::new(store, Fuse::never()).losing_answer(lost)));
        let worker = testing::worker(&losing, &script, Instantly::default());
        let job = ResizeJob::new(record.clone());
        let mut told = Vec::new();
        // A job that is postponed counts as delivered before.
        for deliveries in 1..=2 {
            match worker.resize(&job, Tries { deliveries, failures: 0 }).await {
                Ok(done) => {
                    told.push(done.tells_end);
                    break;
                }
                Err(_) => assert_eq!(deliveries, 1, "answer {lost}: only one is lost"),
            }
        }
        assert_eq!(told, [true], "answer {lost}");
        let result = storage.result(record.id).await.unwrap().unwrap();
        let fact = &result.thumbnails[0];
        storage.thumbnail(record.id, result.making, fact.size, fact.content_type).await.unwrap();
    }
}

/// More puts and gets than a first delivery has: original, three thumbnails, result, tombstone.
const LOSSES: usize = 12;

#[tokio::test]
async fn a_redelivery_after_an_unfinished_making_removes_it() {
    let ((storage, _), script) = (storage(), Script::searchable());
    let record = accepted(&storage, &script).await;
    let unfinished = Making::new(1);
    let fact = &testing::result().thumbnails[0];
    storage
        .put_thumbnail(record.id, unfinished, fact.size, fact.content_type, Bytes::from_static(b"cut"))
        .await
        .unwrap();
    drop(script.deliver());
    script.redeliver();
    work_off(&testing::worker(&storage, &script, Instantly::default()), &script).await;
    let UploadStatus::Ready(result) = storage.status(record.id).await.unwrap() else { panic!("it is ready") };
    assert!(storage.thumbnail(record.id, result.making, fact.size, fact.content_type).await.is_ok());
    assert!(storage.thumbnail(record.id, unfinished, fact.size, fact.content_type).await.is_err());
}

#[tokio::test]
async fn a_damaged_picture_fails_at_once_and_may_be_retried_after_its_announcement() {
    let ((storage, _), script) = (storage(), Script::searchable());
    let record = accepted(&storage, &script).await;
    let worker = testing::worker(&storage, &script, Instantly::failing([Instantly::damaged as fn() -> _]));
    work_off(&worker, &script).await;
    assert_eq!(states(&script), [(1, crate::State::Failed)]);
    let upload =
        crate::requeue::requeue(&storage, &script, &script, record.id, Place::default()).await.unwrap();
    assert_eq!((upload.generation, upload.state), (2, crate::State::Queued));
    assert!(
        crate::requeue::requeue(&storage, &script, &script, record.id, Place::default()).await.is_err(),
        "of two one wins"
    );
    work_off(&worker, &script).await;
    let expected = [(1, crate::State::Failed), (2, crate::State::Queued), (2, crate::State::Ready)];
    assert_eq!(states(&script), expected);
    assert_eq!(pending(&storage).await, 0);
}

#[tokio::test]
async fn a_failure_that_was_stored_before_is_announced_as_it_was() {
    let ((storage, _), script) = (storage(), Script::searchable());
    let record = accepted(&storage, &script).await;
    let failure = testing::failure_of(record.clone());
    storage.store_failure(&failure).await.unwrap();
    drop(script.deliver());
    script.redeliver();
    work_off(&testing::worker(&storage, &script, Instantly::default()), &script).await;
    assert_eq!(script.announced()[0].upload, Upload::failed(&failure, &LinkBase::default()));
    assert_eq!(pending(&storage).await, 0);
}

#[tokio::test]
async fn a_paused_worker_writes_no_failure_over_a_result() {
    let ((storage, _), script) = (storage(), Script::counting());
    let record = accepted(&storage, &script).await;
    // The frozen worker has its delivery; another makes the thumbnails meanwhile.
    let frozen = script.deliver().unwrap();
    script.redeliver();
    work_off(&testing::worker(&storage, &script, Instantly::default()), &script).await;
    let late = testing::worker(&storage, &script, Instantly::failing([Instantly::damaged as fn() -> _]));
    late.step(frozen).await;
    assert!(matches!(storage.status(record.id).await.unwrap(), UploadStatus::Ready(_)));
    assert_eq!(states(&script), [(1, crate::State::Ready), (1, crate::State::Ready)]);
}

#[tokio::test]
async fn a_paused_worker_that_missed_a_retry_leaves_no_client_behind() {
    let ((storage, _), script) = (storage(), Script::counting());
    let record = accepted(&storage, &script).await;
    let frozen = script.deliver().unwrap();
    storage.store_failure(&testing::failure_of(record.clone())).await.unwrap();
    storage.remove_pending(record.job()).await.unwrap();
    crate::requeue::requeue(&storage, &script, &script, record.id, Place::default()).await.unwrap();
    // It goes on, and stores the result of generation 1 while clients have seen generation 2 queued.
    testing::worker(&storage, &script, Instantly::default()).step(frozen).await;
    script.redeliver();
    work_off(&testing::worker(&storage, &script, Instantly::default()), &script).await;
    let UploadStatus::Ready(result) = storage.status(record.id).await.unwrap() else { panic!("it is ready") };
    assert_eq!(result.record.generation, 2, "a client that saw generation 2 takes no report of generation 1");
    assert_eq!(*states(&script).last().unwrap(), (2, crate::State::Ready));
    assert_eq!(pending(&storage).await, 0);
}

#[tokio::test]
async fn a_job_that_is_posted_again_makes_nothing_once_its_upload_has_ended() {
    let ((storage, log), script) = (storage(), Script::counting());
    let record = accepted(&storage, &script).await;
    script.publish(Posting::of_sweeper(record)).await.unwrap();
    work_off(&testing::worker(&storage, &script, Instantly::default()), &script).await;
    assert_eq!(script.settled().len(), 2);
    let fetched = |line: &&String| line.starts_with("GET") && line.ends_with("original");
    assert_eq!(log.take().iter().filter(fetched).count(), 1);
}

#[tokio::test]
async fn two_workers_store_one_making_and_remove_the_other() {
    let ((storage, log), script) = (storage(), Script::counting());
    let record = accepted(&storage, &script).await;
    script.publish(Posting::of_client(record.clone())).await.unwrap();
    let (one, other) = (script.deliver().unwrap(), script.deliver().unwrap());
    let worker = testing::worker(&storage, &script, Instantly::default());
    tokio::join!(worker.step(one), worker.step(other));
    let UploadStatus::Ready(result) = storage.status(record.id).await.unwrap() else { panic!("it is ready") };
    let makings: std::collections::BTreeSet<_> = log
        .take()
        .iter()
        .filter(|line| line.starts_with("PUT") && line.ends_with(".jpg"))
        .map(|line| line.split('/').nth(3).unwrap().to_owned())
        .collect();
    assert_eq!(makings.len(), 2, "each worker writes under a token of its own");
    for making in makings {
        let making: Making = making.parse().unwrap();
        let is_there = storage
            .thumbnail(record.id, making, crate::Size::Small, result.thumbnails[0].content_type)
            .await
            .is_ok();
        assert_eq!(is_there, making == result.making);
    }
    let announced = script.announced();
    assert!(announced.iter().all(|changed| changed.upload == announced[0].upload), "the winner is announced");
}

#[tokio::test]
async fn a_repeated_job_that_fails_leaves_the_files_that_another_worker_is_about_to_name() {
    let ((storage, _), script) = (storage(), Script::searchable());
    let record = accepted(&storage, &script).await;
    let at_work = testing::result_of(record.clone());
    for fact in &at_work.thumbnails {
        storage
            .put_thumbnail(
                record.id,
                at_work.making,
                fact.size,
                fact.content_type,
                Bytes::from_static(b"jpg"),
            )
            .await
            .unwrap();
    }
    drop(script.deliver());
    script.redeliver();
    let worker = testing::worker(&storage, &script, Instantly::failing([Instantly::damaged as fn() -> _]));
    worker.step(script.deliver().unwrap()).await;
    storage.store_result(&at_work).await.unwrap();
    let UploadStatus::Ready(result) = storage.status(record.id).await.unwrap() else { panic!("it is ready") };
    for fact in &result.thumbnails {
        storage.thumbnail(record.id, result.making, fact.size, fact.content_type).await.unwrap();
    }
}

#[tokio::test]
async fn a_late_burial_does_not_end_a_later_generation() {
    let ((storage, _), script) = (storage(), Script::counting());
    let record = accepted(&storage, &script).await;
    let job = ResizeJob::new(record.clone());
    script.purge();
    storage.store_failure(&testing::failure_of(record.clone())).await.unwrap();
    storage.remove_pending(record.job()).await.unwrap();
    crate::requeue::requeue(&storage, &script, &script, record.id, Place::default()).await.unwrap();
    let second = script.deliver().unwrap();
    let reason = DeathReason::Exhausted;
    script.post_burial(DeadLetter { id: Some(record.id), generation: Some(1), job: Some(job), reason });
    let worker = testing::worker(&storage, &script, Instantly::default());
    worker.step(script.deliver().unwrap()).await;
    assert!(
        matches!(storage.status(record.id).await.unwrap(), UploadStatus::Pending(pending) if pending.generation == 2)
    );
    worker.step(second).await;
    assert!(matches!(storage.status(record.id).await.unwrap(), UploadStatus::Ready(_)));
}

#[tokio::test]
async fn a_job_that_expired_in_its_lane_is_posted_again_and_has_not_failed() {
    let ((storage, _), script) = (storage(), Script::counting());
    let record = accepted(&storage, &script).await;
    script.purge();
    let job = Some(ResizeJob::new(record.clone()));
    let (id, generation) = (Some(record.id), Some(1));
    script.post_burial(DeadLetter { id, generation, job, reason: DeathReason::Expired });
    let worker = testing::worker(&storage, &script, Instantly::default());
    worker.step(script.deliver().unwrap()).await;
    assert!(matches!(storage.status(record.id).await.unwrap(), UploadStatus::Pending(_)));
    work_off(&worker, &script).await;
    assert_eq!(states(&script), [(1, crate::State::Ready)]);
}

#[tokio::test]
async fn a_job_that_was_returned_before_it_was_begun_is_posted_again_and_has_not_failed() {
    let ((storage, _), script) = (storage(), Script::counting());
    let record = accepted(&storage, &script).await;
    let worker = testing::worker(&storage, &script, Instantly::default());
    let bury = || {
        let job = Some(ResizeJob::new(record.clone()));
        let (id, generation, reason) = (Some(record.id), Some(1), DeathReason::KilledItsWorkers);
        script.purge();
        script.post_burial(DeadLetter { id, generation, job, reason });
    };
    // Of another generation, and one too few of this.
    storage.mark_begun(JobName { id: record.id, generation: 2 }).await.unwrap();
    storage.mark_begun(record.job()).await.unwrap();
    bury();
    worker.step(script.deliver().unwrap()).await;
    assert!(matches!(storage.status(record.id).await.unwrap(), UploadStatus::Pending(_)));
    assert_eq!(script.deliver().unwrap().task.id(), Some(record.id), "it is posted again");

    storage.mark_begun(record.job()).await.unwrap();
    bury();
    work_off(&worker, &script).await;
    assert_eq!(states(&script), [(1, crate::State::Failed)]);
}

#[tokio::test]
async fn a_redelivery_that_is_begun_leaves_a_mark_and_an_end_removes_it() {
    let ((storage, _), script) = (storage(), Script::searchable());
    let record = accepted(&storage, &script).await;
    drop(script.deliver());
    script.redeliver();
    let worker = testing::worker(&storage, &script, Instantly::failing([Instantly::killed as _]));
    worker.step(script.deliver().unwrap()).await;
    assert_eq!(storage.times_begun(record.job()).await.unwrap(), 1);
    work_off(&worker, &script).await;
    assert_eq!(states(&script), [(1, crate::State::Ready)]);
    assert_eq!(storage.times_begun(record.job()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_redelivery_of_a_refused_upload_leaves_nothing() {
    let ((storage, log), script) = (storage(), Script::searchable());
    script.publish(Posting::of_client(testing::record_of(UploadId::new()))).await.unwrap();
    drop(script.deliver());
    script.redeliver();
    let _ = log.take();
    work_off(&testing::worker(&storage, &script, Instantly::default()), &script).await;
    assert_eq!(log.take_counts()[0], 0, "nothing is written");
    assert_eq!(states(&script), []);
}

#[tokio::test]
async fn an_outage_of_storage_is_charged_to_no_job_and_stops_the_worker() {
    let store = Logged::new(InMemory::new(), Fuse::never());
    let away = store.away();
    let (storage, script) = (Storage::over(Arc::new(store)), Script::searchable());
    accepted(&storage, &script).await;
    let worker = testing::worker(&storage, &script, Instantly::default());
    away.store(true, Ordering::Relaxed);
    for _ in 0..20 {
        worker.step(script.deliver().unwrap()).await;
    }
    assert!(*worker.outage.borrow(), "it takes no more jobs");
    assert!(script.settled().iter().all(|how| *how == "postpone"), "{:?}", script.settled());
    away.store(false, Ordering::Relaxed);
    assert!(worker.has_recovered().await);
    work_off(&worker, &script).await;
    assert_eq!(states(&script), [(1, crate::State::Ready)]);
}

/// Storage whose requests fail, and that answers nothing after so many of them.
fn silent_after(store: &Arc<InMemory>, requests: usize) -> Storage {
    let store = Logged::new(Arc::clone(store), Fuse::after(requests));
    store.away().store(true, Ordering::Relaxed);
    Storage::over(Arc::new(store))
}

#[tokio::test]
async fn a_draining_worker_releases_its_job_whatever_storage_does() {
    let store = Arc::new(InMemory::new());
    let script = Script::searchable();
    accepted(&Storage::over(store.clone()), &script).await;
    // The original cannot be read, and the check of storage gets no answer.
    let worker = testing::worker(&silent_after(&store, 1), &script, Instantly::default());
    let delivery = script.deliver().unwrap();
    let draining = async {
        sleep(Duration::from_millis(100)).await;
        worker.draining.cancel();
    };
    let drained = tokio::time::timeout(Duration::from_secs(2), worker.step(delivery));
    tokio::join!(drained, draining).0.expect("nothing waits for storage");
    // One whose storage fails after that is not postponed, either.
    let late = testing::worker(&silent_after(&store, 100), &script, Instantly::default());
    late.draining.cancel();
    late.step(script.deliver().unwrap()).await;
    assert_eq!(script.settled(), ["release", "release"]);
}

#[tokio::test]
async fn a_burial_that_waits_for_silent_storage_is_released_by_a_draining_worker() {
    let (store, script) = (Arc::new(InMemory::new()), Script::counting());
    let job = ResizeJob::new(testing::record_of(UploadId::new()));
    let (id, generation, reason) = (Some(job.id), Some(1), DeathReason::Exhausted);
    script.post_burial(DeadLetter { id, generation, job: Some(job), reason });
    let worker = testing::worker(&silent_after(&store, 0), &script, Instantly::default());
    worker.draining.cancel();
    let settled = tokio::time::timeout(SETTLED_AFTER, worker.step(script.deliver().unwrap()));
    settled.await.expect("nothing waits for storage");
    assert_eq!(script.settled(), ["release"]);
}

#[tokio::test]
async fn storage_that_does_not_answer_a_check_is_unavailable() {
    let store = Arc::new(InMemory::new());
    let script = Script::searchable();
    accepted(&Storage::over(store.clone()), &script).await;
    let worker = testing::worker(&silent_after(&store, 1), &script, Instantly::default());
    let settled = tokio::time::timeout(2 * CHECK_WITHIN, worker.step(script.deliver().unwrap()));
    settled.await.expect("the check has a time limit");
    assert!(*worker.outage.borrow());
    assert_eq!(script.settled(), ["postpone"]);
}

#[tokio::test]
async fn a_worker_consumes_jobs_again_once_storage_has_recovered() {
    let store = Logged::new(InMemory::new(), Fuse::never());
    let away = store.away();
    let (storage, script) = (Storage::over(Arc::new(store)), Script::searchable());
    accepted(&storage, &script).await;
    away.store(true, Ordering::Relaxed);
    let worker = Arc::new(testing::worker(&storage, &script, Instantly::default()));
    let running = tokio::spawn(Arc::clone(&worker).run(Slots::any(NonZeroUsize::MIN)));
    worker.outage.subscribe().wait_for(|away| *away).await.unwrap();
    // Longer than a delivery takes here, thousands of times.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(script.settled(), ["postpone"], "during the outage it takes no job");
    away.store(false, Ordering::Relaxed);
    tokio::time::timeout(LONGEST_CHECK_PAUSE, async {
        while script.announced().is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("it takes jobs again");
    assert_eq!(states(&script), [(1, crate::State::Ready)]);
    worker.draining.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn decoders_that_cannot_be_started_are_charged_to_no_job() {
    let ((storage, _), script) = (storage(), Script::searchable());
    accepted(&storage, &script).await;
    let maker = Instantly::failing([Instantly::not_started as fn() -> _; 6]);
    let worker = testing::worker(&storage, &script, maker);
    for _ in 0..6 {
        worker.step(script.deliver().unwrap()).await;
    }
    assert_eq!(script.settled(), ["postpone"; 6]);
    assert!(*worker.outage.borrow());
    work_off(&worker, &script).await;
    assert_eq!(states(&script), [(1, crate::State::Ready)]);
}

#[tokio::test]
async fn a_decoder_that_is_killed_from_outside_is_not_the_fault_of_the_picture() {
    let ((storage, _), script) = (storage(), Script::searchable());
    accepted(&storage, &script).await;
    let maker = Instantly::failing([Instantly::killed as fn() -> _; 2]);
    let worker = testing::worker(&storage, &script, maker);
    worker.step(script.deliver().unwrap()).await;
    worker.draining.cancel();
    worker.step(script.deliver().unwrap()).await;
    assert_eq!(script.settled(), ["retry", "release"], "while the worker drains, it is not even counted");
    work_off(&worker, &script).await;
    assert_eq!(states(&script), [(1, crate::State::Ready)]);
}

#[tokio::test]
async fn a_job_that_fails_every_time_is_dead_and_its_upload_failed() {
    let ((storage, _), script) = (storage(), Script::searchable());
    let record = accepted(&storage, &script).await;
    let maker = Instantly::failing([Instantly::killed as fn() -> _; 4]);
    work_off(&testing::worker(&storage, &script, maker), &script).await;
    assert_eq!(script.settled(), ["retry", "retry", "retry", "dead-letter", "finish"]);
    let UploadStatus::Failed(failure) = storage.status(record.id).await.unwrap() else { panic!("it failed") };
    assert_eq!(failure.problem.kind, "/problems/exhausted");
    assert_eq!(pending(&storage).await, 0);
}

#[tokio::test]
async fn an_upload_that_was_deleted_while_it_was_made_leaves_nothing() {
    let store = Arc::new(InMemory::new());
    let (storage, script) = (Storage::over(store.clone()), Script::searchable());
    let record = accepted(&storage, &script).await;
    let tombstone = crate::StorageKey::gone(record.id);
    store.put(tombstone.path(), "{}".into()).await.unwrap();
    work_off(&testing::worker(&storage, &script, Instantly::default()), &script).await;
    assert_eq!(storage.status(record.id).await.unwrap(), UploadStatus::Gone(1));
    assert_eq!(pending(&storage).await, 0);
    assert_eq!(states(&script), [(1, crate::State::Gone)]);
    let left: Vec<_> = futures::TryStreamExt::try_collect(store.list(None)).await.unwrap();
    assert_eq!(left.len(), 1, "the tombstone: {left:?}");
}

#[tokio::test]
async fn a_missing_original_is_a_failure_with_a_code() {
    let ((storage, _), script) = (storage(), Script::searchable());
    let record = accepted(&storage, &script).await;
    storage.remove_original(record.id).await.unwrap();
    work_off(&testing::worker(&storage, &script, Instantly::default()), &script).await;
    let UploadStatus::Failed(failure) = storage.status(record.id).await.unwrap() else { panic!("it failed") };
    assert_eq!(failure.problem.kind, "/problems/original-gone");
}

/// The process is killed after the n-th operation on storage or queue, for every n. The remaining objects always read
/// as a legal state, and the next worker ends the upload.
#[tokio::test]
async fn a_worker_killed_between_any_two_steps_leaves_a_legal_state_and_an_end() {
    for fails in [false, true] {
        for operations in 0.. {
            let store = Arc::new(InMemory::new());
            let (storage, script) = (Storage::over(store.clone()), Script::searchable());
            let record = accepted(&storage, &script).await;
            let fuse = Fuse::after(operations);
            let dying = Storage::over(Arc::new(Logged::new(store.clone(), fuse.clone())));
            let maker = || {
                let errors = fails.then_some(Instantly::damaged as fn() -> _);
                Instantly::failing(errors)
            };
            let victim = testing::worker(&dying, &script.with_fuse(fuse.clone()), maker());
            let delivery = script.with_fuse(fuse.clone()).deliver().unwrap();
            let survived = fuse.run(victim.step(delivery)).await;
            let after = storage.status(record.id).await.unwrap();
            let is_legal = match &after {
                UploadStatus::Pending(_) => true,
                UploadStatus::Ready(result) => result.thumbnails.len() == 3 && !fails,
                UploadStatus::Failed(_) => fails,
                UploadStatus::Gone(_) | UploadStatus::Unknown => false,
            };
            assert!(is_legal, "after {operations} operations: {after:?}");
            script.redeliver();
            work_off(&testing::worker(&storage, &script, maker()), &script).await;
            let end = storage.status(record.id).await.unwrap();
            // A failure whose pending entry stayed reads as queued until the sweeper looks: only where the queue acknowledged it.
            let ended = storage.end_of(record.job()).await.unwrap();
            assert!(ended.is_some(), "after {operations} operations: {end:?}");
            if let Some(UploadEnd::Ready(result)) = ended {
                for fact in &result.thumbnails {
                    storage.thumbnail(record.id, result.making, fact.size, fact.content_type).await.unwrap();
                }
            }
            assert!(!script.announced().is_empty(), "after {operations} operations a subscriber still waits");
            if survived {
                assert_eq!(pending(&storage).await, 0);
                break;
            }
        }
    }
}
