use std::{
    fs::{self, File},
    path::Path,
    time::UNIX_EPOCH,
};

use worker::{UploadRecord, storage::StorageUrl, testing};

use super::*;

/// The time of the audits, in milliseconds since 1970.
const AUDITED_AT: u64 = 1_700_000_000_000;

fn audited_at() -> Timestamp {
    Timestamp::from_millisecond(AUDITED_AT.cast_signed()).unwrap()
}

/// Storage in a directory, and uploads of a shard that closed long before the audit.
struct AuditedStorage {
    directory: tempfile::TempDir,
    storage: Storage,
}

impl AuditedStorage {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let storage = Storage::open(&StorageUrl::Local(directory.path().to_owned())).unwrap();
        Self { directory, storage }
    }

    async fn original(&self, days_ago: u64) -> UploadRecord {
        let id = UploadId::at(AUDITED_AT - days_ago * 24 * 60 * 60 * 1000, &rand::random());
        testing::store_original(&self.storage, id, b"original").await;
        testing::record_of(id)
    }

    fn upload(&self, record: &UploadRecord) -> std::path::PathBuf {
        let (id, shard) = (record.id.to_string(), Shard::of(record.id).to_string());
        self.directory.path().join("uploads").join(shard).join(id)
    }

    async fn audit(&self) {
        audit(&self.storage, audited_at(), Duration::ZERO).await.unwrap();
    }
}

/// Makes a file as old as this at the time of the audits.
fn make_old(path: &Path, age: Duration) {
    let at = UNIX_EPOCH + Duration::from_millis(AUDITED_AT) - age;
    File::open(path).unwrap().set_modified(at).unwrap();
}

#[tokio::test]
async fn an_original_that_belongs_to_no_upload_is_removed_and_every_other_stays() {
    let audited = AuditedStorage::new();
    let (orphan, pending) = (audited.original(3).await, audited.original(3).await);
    let (ready, failed) = (audited.original(3).await, audited.original(3).await);
    let (damaged, young) = (audited.original(3).await, audited.original(0).await);
    audited.storage.create_pending(&pending).await.unwrap();
    audited.storage.store_result(&testing::result_of(ready.clone())).await.unwrap();
    audited.storage.store_failure(&testing::failure_of(failed.clone())).await.unwrap();
    fs::create_dir_all(audited.directory.path().join("pending")).unwrap();
    fs::write(audited.directory.path().join("pending").join(damaged.id.to_string()), "cut").unwrap();
    audited.audit().await;
    assert!(!audited.upload(&orphan).exists());
    for kept in [&pending, &ready, &failed, &damaged, &young] {
        assert!(audited.storage.has_original(kept.id).await.unwrap());
    }
}

#[tokio::test]
async fn a_shard_is_audited_once() {
    let audited = AuditedStorage::new();
    audited.original(3).await;
    audited.audit().await;
    let late = audited.original(3).await;
    audited.audit().await;
    assert!(audited.storage.has_original(late.id).await.unwrap());
    assert!(audited.storage.shards_to_audit(AUDITED_AT).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_staged_file_of_a_killed_writer_is_removed_a_day_later_and_a_living_one_stays() {
    let audited = AuditedStorage::new();
    let record = audited.original(3).await;
    audited.storage.create_pending(&record).await.unwrap();
    let (dead, alive) =
        (audited.upload(&record).join("original#1"), audited.upload(&record).join("original#2"));
    let index = audited.directory.path().join("pending").join(format!("{}#1", record.id));
    for staged in [&dead, &alive, &index] {
        fs::write(staged, "cut").unwrap();
    }
    make_old(&dead, DAY * 2);
    make_old(&index, DAY * 2);
    // As old as the longest body that may still come in.
    make_old(&alive, Duration::from_secs(4 * 60 * 60));
    audited.audit().await;
    assert_eq!((dead.exists(), index.exists(), alive.exists()), (false, false, true));
}

#[tokio::test]
async fn thumbnails_of_workers_that_died_are_removed() {
    let audited = AuditedStorage::new();
    let record = audited.original(3).await;
    let result = testing::result_of(record.clone());
    let dead = worker::Making::new(1);
    for making in [result.making, dead] {
        for fact in &result.thumbnails {
            audited
                .storage
                .put_thumbnail(record.id, making, fact.size, fact.content_type, "jpg".into())
                .await
                .unwrap();
        }
    }
    audited.storage.store_result(&result).await.unwrap();
    audited.audit().await;
    for fact in &result.thumbnails {
        audited.storage.thumbnail(record.id, result.making, fact.size, fact.content_type).await.unwrap();
        assert!(audited.storage.thumbnail(record.id, dead, fact.size, fact.content_type).await.is_err());
    }
}
