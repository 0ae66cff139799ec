use std::{collections::HashSet, convert::Infallible, num::NonZero};

use futures::StreamExt;
use tokio::time::Instant;
use worker::{
    JobName, Storage, UploadStatus,
    testing::{self, Fuse, InMemory, Instantly, Logged, ObjectStore, Script, work_off},
    trace::TraceParent,
    transport::JobQueue,
};

use super::*;
use crate::{client::Client, request::Timing, sightings::Sightings, sweeper::Sweeper};

const PICTURE: &[u8] = include_bytes!("../../../../worker/fuzz/seeds/sampled-444.jpg");

impl From<Infallible> for Refusal {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

fn declared() -> Declared {
    let context = Context {
        trace: TraceParent::begin(NonZero::<u128>::MIN, NonZero::<u64>::MIN),
        timing: Timing::default(),
    };
    Declared {
        name: "cat.jpg".into(),
        bulk: false,
        kept_for: None,
        key: None,
        sender: None,
        context,
        length: None,
    }
}

/// Uploads the picture in two pieces.
async fn upload(app: &Arc<App>) -> Result<Upload, Refusal> {
    let permit = app.uploading.acquire(Client::at([192, 0, 2, 1].into())).unwrap();
    let (first, rest) = PICTURE.split_at(PICTURE.len() / 2);
    let pieces = [first, rest].map(|piece| Ok::<_, Infallible>(Bytes::from_static(piece)));
    receive(app, declared(), &mut futures::stream::iter(pieces), &permit).await
}

/// The ids of all uploads that have an object in the store.
async fn stored_ids(store: &InMemory) -> HashSet<UploadId> {
    use futures::TryStreamExt;
    let objects: Vec<_> = store.list(None).try_collect().await.unwrap();
    objects
        .iter()
        .filter_map(|object| object.location.parts().find_map(|part| part.as_ref().parse().ok()))
        .collect()
}

#[tokio::test]
async fn an_upload_costs_six_puts_two_gets_and_one_delete_of_storage() {
    let store = Logged::new(InMemory::new(), Fuse::never());
    let log = store.log();
    let (storage, script) = (Storage::over(Arc::new(store)), Script::searchable());
    let app = App::of_test(storage.clone(), Arc::new(script.clone()));
    let accepted = upload(&app).await.unwrap();
    work_off(&testing::worker(&storage, &script, Instantly::default()), &script).await;
    assert_eq!(log.take_counts(), [6, 2, 1, 0], "PUT, GET, DELETE, LIST");
    let ready = app.upload(accepted.id).await.unwrap().unwrap();
    assert_eq!((ready.state, log.take_counts()), (worker::State::Ready, [0, 1, 0, 0]));
    app.upload(accepted.id).await.unwrap();
    assert_eq!(log.take_counts(), [0, 0, 0, 0], "a result that was read is cached");
}

/// The server is killed after the n-th operation on storage or queue, for every n. Afterwards the upload ends, or no
/// client has its id and no request finds it.
#[tokio::test]
async fn an_upload_ends_even_if_the_server_is_killed_between_any_two_steps() {
    for operations in 0.. {
        let (store, script) = (Arc::new(InMemory::new()), Script::searchable());
        let fuse = Fuse::after(operations);
        let dying = Storage::over(Arc::new(Logged::new(Arc::clone(&store), fuse.clone())));
        let app = App::of_test(dying, Arc::new(script.with_fuse(fuse.clone())));
        let survived = fuse
            .run(async {
                upload(&app).await.unwrap();
            })
            .await;
        let storage = Storage::over(store.clone());
        // Another server sweeps twice, and a worker processes the jobs that it posts.
        let (sightings, now) = (Sightings::default(), Instant::now());
        for seconds in [0, 60] {
            let sweeper = Sweeper::new(&storage, &script, &sightings, Duration::from_secs(30));
            sweeper.sweep(now + Duration::from_secs(seconds)).await.unwrap();
        }
        work_off(&testing::worker(&storage, &script, Instantly::default()), &script).await;
        for id in stored_ids(&store).await {
            let status = storage.status(id).await.unwrap();
            let is_legal = match &status {
                UploadStatus::Ready(_) => true,
                // An original without a commit: the audit removes it.
                UploadStatus::Unknown => !survived,
                _ => false,
            };
            assert!(is_legal, "after {operations} operations: {status:?}");
            let job = JobName { id, generation: 1 };
            assert!(!storage.has_pending(job).await.unwrap(), "after {operations} operations");
        }
        assert_eq!(script.room_taken().await.unwrap(), 0);
        if survived {
            assert!(operations >= 3, "original, pending entry, job");
            break;
        }
    }
}

#[tokio::test]
async fn an_upload_that_is_evicted_while_it_arrives_leaves_nothing_in_storage() {
    let (store, script) = (Arc::new(InMemory::new()), Script::searchable());
    let app = App::of_test(Storage::over(store.clone()), Arc::new(script.clone()));
    let full = crate::quota::Quota::new(crate::fair_share::FAIR_SHARE + 2, 100);
    let busy_client = Client::at([192, 0, 2, 1].into());
    let held: Vec<_> =
        (0..crate::fair_share::FAIR_SHARE + 2).map(|_| full.acquire(busy_client).unwrap()).collect();
    let (first, rest) = PICTURE.split_at(PICTURE.len() / 2);
    let pieces = futures::stream::iter([Ok::<_, Infallible>(Bytes::from_static(first))]);
    let mut body = pieces.chain(futures::stream::pending());
    let receiving = receive(&app, declared(), &mut body, &held[0]);
    let evict = async { full.acquire_or_evict(Client::at([192, 0, 2, 2].into())).map(drop) };
    let (received, evicted) = tokio::join!(receiving, evict);
    assert!(matches!(received, Err(Refusal::Evicted)) && evicted.is_ok());
    // An upload whose body was read to its end is no longer evicted.
    let mut whole =
        futures::stream::iter([first, rest].map(|piece| Ok::<_, Infallible>(Bytes::from_static(piece))));
    receive(&app, declared(), &mut whole, &held[0]).await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(stored_ids(&store).await.len(), 1, "the evicted upload leaves nothing");
}
