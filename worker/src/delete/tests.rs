//! A deletion against everything else that writes: each is stopped after its n-th operation, for every n, while the
//! other runs, and is then killed or goes on.

use std::sync::Arc;

use futures::TryStreamExt;

use super::*;
use crate::{
    StorageKey, UploadRecord,
    requeue::{Place, requeue},
    testing::{self, Fuse, InMemory, Instantly, Logged, ObjectStore, ObjectStoreExt, Script, work_off},
    transport::{JobQueue, Posting},
};

/// One upload, in a state that a test chooses.
struct Scene {
    store: Arc<InMemory>,
    storage: Storage,
    script: Script,
    record: UploadRecord,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Queued,
    Ready,
    Failed,
    /// Its second generation is queued.
    Retried,
}

const STAGES: [Stage; 4] = [Stage::Queued, Stage::Ready, Stage::Failed, Stage::Retried];

impl Scene {
    async fn at(stage: Stage) -> Self {
        let (store, script) = (Arc::new(InMemory::new()), Script::counting());
        let storage = Storage::over(store.clone());
        let expires_at = Some(testing::expiry_entry().expires_at);
        let record = UploadRecord { expires_at, ..testing::record_of(UploadId::new()) };
        testing::store_original(&storage, record.id, b"original").await;
        let expires_at = testing::expiry_entry().expires_at;
        storage.create_expiry(&crate::ExpiryEntry { id: record.id, expires_at }).await.unwrap();
        storage.create_pending(&record).await.unwrap();
        script.publish(Posting::of_client(record.clone())).await.unwrap();
        let scene = Self { store, storage, script, record };
        match stage {
            Stage::Queued => {}
            Stage::Ready => scene.work().await,
            Stage::Failed => scene.fail().await,
            Stage::Retried => {
                scene.fail().await;
                requeue(&scene.storage, &scene.script, &scene.script, scene.record.id, Place::default())
                    .await
                    .unwrap();
            }
        }
        scene
    }

    fn id(&self) -> UploadId {
        self.record.id
    }

    /// The same storage and queue as a process with this fuse has them.
    fn fused(&self, fuse: &Fuse) -> (Storage, Script) {
        let store = Logged::new(self.store.clone(), fuse.clone());
        (Storage::over(Arc::new(store)), self.script.with_fuse(fuse.clone()))
    }

    async fn work(&self) {
        work_off(&testing::worker(&self.storage, &self.script, Instantly::default()), &self.script).await;
    }

    async fn fail(&self) {
        let maker = Instantly::failing([Instantly::damaged as fn() -> _]);
        work_off(&testing::worker(&self.storage, &self.script, maker), &self.script).await;
    }

    async fn delete(&self) {
        delete(&self.storage, &self.script, self.id()).await.unwrap();
    }

    async fn keys(&self) -> Vec<String> {
        let listed: Vec<_> = self.store.list(None).try_collect().await.unwrap();
        listed.iter().map(|object| object.location.to_string()).collect()
    }

    /// Nothing is left but the tombstone, subscribers know it, and no job is left.
    async fn assert_gone(&self, case: &str) {
        assert_eq!(self.keys().await, [StorageKey::gone(self.id()).to_string()], "{case}");
        assert!(matches!(self.storage.status(self.id()).await.unwrap(), UploadStatus::Gone(_)), "{case}");
        let merged = self.script.announced().into_iter().map(|changed| changed.upload).reduce(Upload::merge);
        assert_eq!(merged.map(|upload| upload.state), Some(crate::State::Gone), "{case}");
        assert_eq!(self.script.jobs(), [], "{case}");
    }
}

#[tokio::test]
async fn a_deleted_upload_leaves_its_tombstone_alone_and_a_second_delete_changes_nothing() {
    for stage in STAGES {
        let scene = Scene::at(stage).await;
        scene.delete().await;
        scene.work().await;
        scene.assert_gone(&format!("{stage:?}")).await;
        scene.delete().await;
        scene.assert_gone(&format!("{stage:?}, twice")).await;
        assert!(
            requeue(&scene.storage, &scene.script, &scene.script, scene.id(), Place::default())
                .await
                .is_err()
        );
        scene.assert_gone(&format!("{stage:?}, retried")).await;
    }
}

#[tokio::test]
async fn a_deletion_that_is_killed_after_any_step_leaves_the_upload_whole_or_is_finished() {
    for stage in STAGES {
        for operations in 0.. {
            let case = format!("{stage:?}, killed after {operations} operations");
            let scene = Scene::at(stage).await;
            let before = scene.storage.status(scene.id()).await.unwrap();
            let fuse = Fuse::after(operations);
            let (storage, script) = scene.fused(&fuse);
            let survived = fuse
                .run(async {
                    delete(&storage, &script, scene.id()).await.unwrap();
                })
                .await;
            if scene.storage.is_gone(scene.id()).await.unwrap() {
                finish_deletion(&scene.storage, &scene.script, scene.id()).await.unwrap();
                scene.work().await;
                scene.assert_gone(&case).await;
            } else {
                assert_eq!(scene.storage.status(scene.id()).await.unwrap(), before, "{case}");
                assert!(scene.storage.has_original(scene.id()).await.unwrap(), "{case}");
            }
            if survived {
                assert!(operations > 6, "{case}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_worker_that_is_overtaken_by_a_deletion_at_any_step_leaves_nothing() {
    for (stage, fails) in [(Stage::Queued, false), (Stage::Queued, true), (Stage::Retried, false)] {
        for operations in 0.. {
            let case = format!("{stage:?}, fails: {fails}, stopped after {operations} operations");
            let scene = Scene::at(stage).await;
            let fuse = Fuse::after(operations);
            let (storage, script) = scene.fused(&fuse);
            let maker = Instantly::failing(fails.then_some(Instantly::damaged as fn() -> _));
            let worker = testing::worker(&storage, &script, maker);
            let delivery = script.deliver().unwrap();
            let mut step = Box::pin(worker.step(delivery));
            let survived = fuse.run(&mut step).await;
            scene.delete().await;
            if !survived {
                fuse.mend();
                step.await;
            }
            scene.work().await;
            scene.assert_gone(&case).await;
            if survived {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_worker_that_is_killed_while_its_upload_is_deleted_leaves_nothing_after_its_redelivery() {
    for fails in [false, true] {
        for operations in 0.. {
            let case = format!("fails: {fails}, killed after {operations} operations");
            let scene = Scene::at(Stage::Queued).await;
            let fuse = Fuse::after(operations);
            let (storage, script) = scene.fused(&fuse);
            let maker = Instantly::failing(fails.then_some(Instantly::damaged as fn() -> _));
            let worker = testing::worker(&storage, &script, maker);
            // The tombstone is there, and the deletion has not come further.
            let tombstone = Tombstone { id: scene.id(), ..testing::tombstone() };
            scene.storage.create_tombstone(&tombstone).await.unwrap();
            let survived = fuse.run(worker.step(script.deliver().unwrap())).await;
            scene.delete().await;
            scene.script.redeliver();
            scene.work().await;
            scene.assert_gone(&case).await;
            if survived {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_result_that_a_worker_stored_after_the_deletion_before_it_died_goes_with_its_redelivery() {
    let scene = Scene::at(Stage::Queued).await;
    drop(scene.script.deliver());
    scene.delete().await;
    scene.storage.store_result(&testing::result_of(scene.record.clone())).await.unwrap();
    scene.script.redeliver();
    scene.work().await;
    scene.assert_gone("after the redelivery").await;
    let states: Vec<_> = scene.script.announced().iter().map(|changed| changed.upload.state).collect();
    assert!(states.iter().all(|state| *state == crate::State::Gone), "{states:?}");
}

#[tokio::test]
async fn a_deletion_that_is_overtaken_at_any_step_removes_what_was_written_meanwhile() {
    for stage in STAGES {
        for operations in 0.. {
            let case = format!("{stage:?}, stopped after {operations} operations");
            let scene = Scene::at(stage).await;
            let fuse = Fuse::after(operations);
            let (storage, script) = scene.fused(&fuse);
            let mut deletion = Box::pin(async {
                delete(&storage, &script, scene.id()).await.unwrap();
            });
            let survived = fuse.run(&mut deletion).await;
            // Another deletion, a retry and a worker come and go.
            let _ = requeue(&scene.storage, &scene.script, &scene.script, scene.id(), Place::default()).await;
            scene.work().await;
            if operations % 2 == 0 {
                scene.delete().await;
            }
            if !survived {
                fuse.mend();
                deletion.await;
            }
            scene.work().await;
            scene.assert_gone(&case).await;
            if survived {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_retry_that_is_overtaken_by_a_deletion_at_any_step_brings_nothing_back() {
    for operations in 0.. {
        let case = format!("stopped after {operations} operations");
        let scene = Scene::at(Stage::Failed).await;
        let fuse = Fuse::after(operations);
        let (storage, script) = scene.fused(&fuse);
        let mut retry = Box::pin(async {
            let _ = requeue(&storage, &script, &script, scene.id(), Place::default()).await;
        });
        let survived = fuse.run(&mut retry).await;
        scene.delete().await;
        if !survived {
            fuse.mend();
            retry.await;
        }
        let keys = scene.keys().await;
        assert_eq!(keys, [StorageKey::gone(scene.id()).to_string()], "{case}, before a worker comes");
        scene.work().await;
        scene.assert_gone(&case).await;
        if survived {
            break;
        }
    }
}

#[tokio::test]
async fn an_unknown_upload_gets_no_tombstone_and_an_original_without_a_commit_goes() {
    let scene = Scene::at(Stage::Queued).await;
    let unknown = UploadId::new();
    assert!(delete(&scene.storage, &scene.script, unknown).await.unwrap().is_none());
    assert!(!scene.storage.is_gone(unknown).await.unwrap());
    testing::store_original(&scene.storage, unknown, b"original").await;
    delete(&scene.storage, &scene.script, unknown).await.unwrap();
    assert!(!scene.storage.has_original(unknown).await.unwrap());
}

#[tokio::test]
async fn an_unreadable_tombstone_counts() {
    let scene = Scene::at(Stage::Ready).await;
    let key = StorageKey::gone(scene.id());
    scene.store.put(key.path(), "".into()).await.unwrap();
    scene.delete().await;
    let keys = scene.keys().await;
    assert!(keys.iter().all(|key| key.starts_with("gone/") || key.starts_with("expiry/")), "{keys:?}");
    assert_eq!(scene.storage.status(scene.id()).await.unwrap(), UploadStatus::Gone(1));
}

#[tokio::test]
async fn a_deletion_on_a_disk_leaves_no_directory_of_its_upload() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::open(&crate::storage::StorageUrl::Local(directory.path().to_owned())).unwrap();
    let (script, record) = (Script::counting(), testing::record_of(UploadId::new()));
    testing::store_original(&storage, record.id, b"original").await;
    storage.create_pending(&record).await.unwrap();
    storage.store_result(&testing::result_of(record.clone())).await.unwrap();
    delete(&storage, &script, record.id).await.unwrap();
    let shards = std::fs::read_dir(directory.path().join("uploads")).unwrap();
    let uploads: Vec<_> =
        shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap()).collect();
    assert!(uploads.is_empty(), "{uploads:?}");
    assert!(!finish_deletion(&storage, &script, record.id).await.unwrap(), "nothing is left to finish");
}
