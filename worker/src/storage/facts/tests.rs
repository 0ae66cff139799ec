use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStoreExt, memory::InMemory};

use super::{super::json::parse, *};
use crate::{
    contract::tombstone::{ExpiryEntry, Tombstone},
    requeue::Place,
    storage::StorageUrl,
    testing::{self, Fuse, Logged},
};

fn memory() -> Storage {
    Storage::over(Arc::new(InMemory::new()))
}

async fn overwrite(storage: &Storage, key: &StorageKey, bytes: impl Into<Bytes>) {
    storage.store.put(key.path(), bytes.into().into()).await.unwrap();
}

/// A whole picture, from which a record can be made again.
const PICTURE: &[u8] = include_bytes!("../../../fuzz/seeds/sampled-444.jpg");

#[test]
fn stored_json_is_that_of_the_golden_files() {
    let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
    for (written, golden) in [
        (to_json(&testing::record()), &include_bytes!("../../../golden/pending.v2.json")[..]),
        (to_json(&testing::result()), include_bytes!("../../../golden/result.v2.json")),
        (to_json(&testing::failure()), include_bytes!("../../../golden/failure.v2.json")),
        (to_json(&testing::expiring_record()), include_bytes!("../../../golden/pending-expiring.v2.json")),
        (to_json(&testing::tombstone()), include_bytes!("../../../golden/gone.v2.json")),
        (to_json(&testing::expiry_entry()), include_bytes!("../../../golden/expiry.v2.json")),
    ] {
        assert_eq!(json(&written), json(golden));
    }
    assert_eq!(
        parse::<UploadResult>(include_bytes!("../../../golden/result.v2.json")).unwrap(),
        testing::result()
    );
    assert_eq!(
        parse::<UploadRecord>(include_bytes!("../../../golden/pending.v2.json")).unwrap(),
        testing::record()
    );
    assert_eq!(
        parse::<UploadFailure>(include_bytes!("../../../golden/failure.v2.json")).unwrap(),
        testing::failure()
    );
    assert_eq!(
        parse::<UploadRecord>(include_bytes!("../../../golden/pending-expiring.v2.json")).unwrap(),
        testing::expiring_record()
    );
    assert_eq!(
        parse::<Tombstone>(include_bytes!("../../../golden/gone.v2.json")).unwrap(),
        testing::tombstone()
    );
    assert_eq!(
        parse::<ExpiryEntry>(include_bytes!("../../../golden/expiry.v2.json")).unwrap(),
        testing::expiry_entry()
    );
}

#[tokio::test]
async fn the_state_of_an_upload_follows_its_facts() {
    let (storage, record) = (memory(), testing::record());
    let id = record.id;
    assert_eq!(storage.status(id).await.unwrap(), UploadStatus::Unknown);
    assert!(storage.create_pending(&record).await.unwrap());
    assert!(!storage.create_pending(&record).await.unwrap());
    assert_eq!(storage.status(id).await.unwrap(), UploadStatus::Pending(record.clone()));
    let failure = testing::failure();
    assert_eq!(storage.store_failure(&failure).await.unwrap(), UploadEnd::Failed(failure.clone()));
    storage.remove_pending(record.job()).await.unwrap();
    assert_eq!(storage.status(id).await.unwrap(), UploadStatus::Failed(failure));
    let second = record.next_generation();
    storage.create_pending(&second).await.unwrap();
    assert_eq!(storage.status(id).await.unwrap(), UploadStatus::Pending(second.clone()));
    let failure = testing::failure_of(second.clone());
    storage.store_failure(&failure).await.unwrap();
    storage.remove_pending(second.job()).await.unwrap();
    assert_eq!(storage.status(id).await.unwrap(), UploadStatus::Failed(failure), "the greatest generation");
    let result = testing::result_of(second.next_generation());
    storage.store_result(&result).await.unwrap();
    assert_eq!(storage.status(id).await.unwrap(), UploadStatus::Ready(result));
}

#[tokio::test]
async fn a_late_worker_of_an_older_generation_removes_no_entry_of_a_newer_one() {
    let (storage, record) = (memory(), testing::record());
    let second = record.clone().next_generation();
    storage.create_pending(&second).await.unwrap();
    storage.remove_pending(record.job()).await.unwrap();
    let listed: Vec<_> = storage.list_pending().try_collect().await.unwrap();
    assert_eq!(listed, [second.job()]);
}

#[tokio::test]
async fn a_result_is_created_once_and_no_failure_is_written_over_it() {
    let storage = memory();
    let (first, second) = (testing::result(), UploadResult { making: Making::new(2), ..testing::result() });
    assert_eq!(storage.store_result(&first).await.unwrap(), first);
    assert_eq!(storage.store_result(&second).await.unwrap(), first, "the first that was stored wins");
    assert_eq!(storage.store_failure(&testing::failure()).await.unwrap(), UploadEnd::Ready(first));
}

#[tokio::test]
async fn a_store_without_conditional_create_is_used_in_the_same_way() {
    let store = Logged::new(InMemory::new(), Fuse::never()).without_create();
    let storage = Storage::over(Arc::new(store));
    assert!(storage.create_pending(&testing::record()).await.unwrap());
    assert!(!storage.create_pending(&testing::record()).await.unwrap());
    let (first, second) = (testing::result(), UploadResult { making: Making::new(2), ..testing::result() });
    storage.store_result(&first).await.unwrap();
    assert_eq!(storage.store_result(&second).await.unwrap(), first);
}

/// Every kind of unreadable stored object.
fn useless(other: &Bytes) -> Vec<Bytes> {
    let whole = to_json(&testing::result());
    let newer = String::from_utf8(whole.to_vec()).unwrap().replace(r#"{"v":2"#, r#"{"v":3"#);
    vec![
        Bytes::new(),
        whole.slice(..whole.len() / 2),
        Bytes::from(newer),
        other.clone(),
        Bytes::from(vec![b' '; 10 * 1024 * 1024]),
        Bytes::from_static(b"\xff\xfe"),
        Bytes::from("[".repeat(100_000)),
    ]
}

#[tokio::test]
async fn a_result_that_cannot_be_read_makes_a_failure_that_can_be_retried_and_is_replaced() {
    let id = UploadId::new();
    let record = testing::record_of(id);
    for bytes in useless(&to_json(&testing::result())) {
        let storage = memory();
        overwrite(&storage, &StorageKey::original(id), PICTURE).await;
        overwrite(&storage, &StorageKey::result(id), bytes.clone()).await;
        let UploadStatus::Failed(failure) = storage.status(id).await.unwrap() else {
            panic!("{:?}", storage.status(id).await)
        };
        assert_eq!((failure.record.id, failure.record.generation), (id, 1));
        let result = testing::result_of(record.clone().next_generation());
        assert_eq!(storage.store_result(&result).await.unwrap(), result, "it is replaced");
        assert_eq!(storage.status(id).await.unwrap(), UploadStatus::Ready(result));
    }
}

#[tokio::test]
async fn a_retry_of_an_upload_whose_result_cannot_be_read_is_queued_and_not_refused() {
    let (storage, id, script) = (memory(), UploadId::new(), testing::Script::searchable());
    overwrite(&storage, &StorageKey::original(id), PICTURE).await;
    overwrite(&storage, &StorageKey::result(id), "").await;
    crate::requeue::requeue(&storage, &script, &script, id, Place::default()).await.unwrap();
    assert!(
        matches!(storage.status(id).await.unwrap(), UploadStatus::Pending(record) if record.generation == 2)
    );
}

#[tokio::test]
async fn a_failure_that_cannot_be_read_can_be_retried_and_is_replaced() {
    let id = UploadId::new();
    let record = testing::record_of(id);
    for bytes in useless(&to_json(&testing::failure())) {
        let storage = memory();
        overwrite(&storage, &StorageKey::original(id), PICTURE).await;
        overwrite(&storage, &StorageKey::failure(record.job()), bytes).await;
        assert!(matches!(storage.status(id).await.unwrap(), UploadStatus::Failed(_)));
        let failure = testing::failure_of(record.clone());
        assert_eq!(storage.store_failure(&failure).await.unwrap(), UploadEnd::Failed(failure.clone()));
        assert_eq!(storage.status(id).await.unwrap(), UploadStatus::Failed(failure));
    }
}

#[tokio::test]
async fn an_unreadable_pending_entry_is_rebuilt_from_the_original() {
    let id = UploadId::new();
    let job = JobName { id, generation: 1 };
    for bytes in useless(&to_json(&testing::record())) {
        let storage = memory();
        overwrite(&storage, &StorageKey::original(id), PICTURE).await;
        overwrite(&storage, &StorageKey::pending(job), bytes).await;
        let UploadStatus::Pending(seen) = storage.status(id).await.unwrap() else { panic!("it is pending") };
        let healed = storage.pending(job).await.unwrap().unwrap();
        assert_eq!(seen, healed);
        assert_eq!((healed.id, healed.bytes, healed.format), (id, PICTURE.len() as u64, crate::Format::Jpeg));
        assert!(matches!(storage.read_pending(job).await.unwrap(), Read::Fact(record) if record == healed));
    }
}

#[tokio::test]
async fn a_directory_in_the_place_of_an_object_counts_as_absent_and_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::open(&StorageUrl::Local(directory.path().to_owned())).unwrap();
    let record = testing::record_of(UploadId::new());
    let place = |key: &StorageKey| directory.path().join(key.path().as_ref());
    for key in
        [StorageKey::result(record.id), StorageKey::failure(record.job()), StorageKey::pending(record.job())]
    {
        std::fs::create_dir_all(place(&key).join("inside")).unwrap();
    }
    assert!(matches!(storage.status(record.id).await, Ok(UploadStatus::Unknown)), "there is no original");
    assert_eq!(storage.list_pending().try_collect::<Vec<_>>().await.unwrap(), [record.job()]);
    overwrite(&storage, &StorageKey::original(record.id), PICTURE).await;
    assert!(matches!(storage.status(record.id).await, Ok(UploadStatus::Pending(_))));
    storage.remove_pending(record.job()).await.unwrap();
    assert!(matches!(storage.status(record.id).await, Ok(UploadStatus::Failed(_))), "it can be retried");
    let failure = testing::failure_of(record.clone());
    storage.store_failure(&failure).await.unwrap();
    assert!(!place(&StorageKey::pending(record.job())).exists());
    assert_eq!(storage.status(record.id).await.unwrap(), UploadStatus::Failed(failure));
    let result = testing::result_of(record.clone());
    storage.store_result(&result).await.unwrap();
    assert_eq!(storage.status(record.id).await.unwrap(), UploadStatus::Ready(result));
}

#[tokio::test]
async fn exactly_one_of_many_concurrent_results_on_a_disk_wins() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::open(&StorageUrl::Local(directory.path().to_owned())).unwrap();
    let results: Vec<_> =
        (0..20).map(|token| UploadResult { making: Making::new(token), ..testing::result() }).collect();
    let winners = futures::future::join_all(results.iter().map(|result| storage.store_result(result))).await;
    let winners: std::collections::HashSet<_> =
        winners.into_iter().map(|winner| winner.unwrap().making).collect();
    assert_eq!(winners.len(), 1);
}

#[tokio::test]
async fn an_unreadable_object_is_logged_once() {
    let (storage, id) = (memory(), UploadId::new());
    let key = StorageKey::result(id);
    overwrite(&storage, &key, "").await;
    for _ in 0..3 {
        storage.status(id).await.unwrap();
    }
    assert_eq!(storage.logged.lock().unwrap().len(), 1);
}
