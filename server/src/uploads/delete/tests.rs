//! Deletions over a store in memory that counts and stops.

use std::{convert::Infallible, num::NonZero, time::Duration};

use axum::http::header::AUTHORIZATION;
use bytes::Bytes;
use futures::{FutureExt, TryStreamExt};
use tokio::time::Instant;
use worker::{
    State as UploadState, Storage, StorageKey, Upload, UploadStatus,
    testing::{self, Fuse, InMemory, Instantly, Logged, ObjectStore, Script, work_off},
    trace::TraceParent,
};

use super::*;
use crate::{
    client::Client,
    request::{Context, Timing},
    sightings::Sightings,
    sweeper::Sweeper,
    tombstones::Tombstones,
    uploads::incoming::{self, Declared},
};

const PICTURE: &[u8] = include_bytes!("../../../../worker/fuzz/seeds/sampled-444.jpg");

async fn accept(app: &Arc<App>) -> Upload {
    let context = Context {
        trace: TraceParent::begin(NonZero::<u128>::MIN, NonZero::<u64>::MIN),
        timing: Timing::default(),
    };
    let kept_for = Some(Duration::from_secs(3600));
    let declared = Declared {
        name: "cat.jpg".into(),
        bulk: false,
        kept_for,
        key: None,
        sender: None,
        context,
        length: None,
    };
    let permit = app.uploading.acquire(Client::at([192, 0, 2, 1].into())).unwrap();
    let mut body = futures::stream::iter([Ok::<_, Infallible>(Bytes::from_static(PICTURE))]);
    let accepted = incoming::receive(app, declared, &mut body, &permit).await;
    accepted.unwrap_or_else(|_| panic!("it is accepted"))
}

fn with_token(token: &str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {token}").parse().unwrap())])
}

async fn token(app: &App, upload: &Upload) -> String {
    let secrets = app.tokens.secrets(&app.storage).await.unwrap();
    let accepted = serde_json::to_value(secrets.accepted(upload.clone())).unwrap();
    accepted["token"].as_str().unwrap().to_owned()
}

fn client(number: u8) -> Client {
    Client::at([192, 0, 2, number].into())
}

async fn request(app: &Arc<App>, id: UploadId, headers: HeaderMap) -> StatusCode {
    request_of(app, client(1), id, headers).await
}

async fn request_of(app: &Arc<App>, client: Client, id: UploadId, headers: HeaderMap) -> StatusCode {
    delete(State(Arc::clone(app)), Id(id), client, headers).await.into_response().status()
}

#[tokio::test]
async fn a_wrong_token_and_none_cost_no_storage_and_a_right_one_deletes() {
    let store = Logged::new(InMemory::new(), Fuse::never());
    let (log, away) = (store.log(), store.away());
    let app = App::of_test(Storage::over(Arc::new(store)), Arc::new(Script::searchable()));
    let (upload, other) = (accept(&app).await, accept(&app).await);
    let right = token(&app, &upload).await;
    let _ = log.take();
    let wrong =
        [token(&app, &other).await, String::new(), "x".into(), right[1..].into(), format!("{right}A")];
    for wrong in &wrong {
        assert_eq!(request(&app, upload.id, with_token(wrong)).await, StatusCode::FORBIDDEN, "{wrong}");
    }
    for number in 2..100 {
        let status = request_of(&app, client(number), UploadId::new(), with_token(&right)).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
    assert_eq!(request(&app, upload.id, HeaderMap::new()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(log.take(), Vec::<String>::new(), "no request to storage");
    away.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(request(&app, upload.id, with_token(&right)).await, StatusCode::SERVICE_UNAVAILABLE);
    away.store(false, std::sync::atomic::Ordering::Relaxed);
    for _ in 0..2 {
        assert_eq!(request(&app, upload.id, with_token(&right)).await, StatusCode::NO_CONTENT);
    }
    assert!(app.upload(upload.id).await.unwrap().unwrap().is_gone());
    assert!(!app.upload(other.id).await.unwrap().unwrap().is_gone());
}

#[tokio::test]
async fn a_form_deletes_as_well_and_leads_to_the_page_of_the_upload() {
    let app = App::of_test(Storage::over(Arc::new(InMemory::new())), Arc::new(Script::searchable()));
    let upload = accept(&app).await;
    let token = token(&app, &upload).await;
    let post = async |form: String| {
        delete_form(State(Arc::clone(&app)), Id(upload.id), client(1), HeaderMap::new(), form.into())
            .await
            .into_response()
    };
    for (form, status) in [
        (String::new(), StatusCode::UNAUTHORIZED),
        ("token=".to_owned(), StatusCode::UNAUTHORIZED),
        ("token=wrong".to_owned(), StatusCode::FORBIDDEN),
        ("x".repeat(MAX_FORM_BYTES + 1), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(post(form).await.status(), status);
    }
    let answer = post(format!("other=1&token={token}")).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()[header::LOCATION], format!("/uploads/{}", upload.id));
    assert!(app.upload(upload.id).await.unwrap().unwrap().is_gone());
}

#[tokio::test]
async fn a_page_of_another_site_deletes_nothing() {
    let app = App::of_test(Storage::over(Arc::new(InMemory::new())), Arc::new(Script::searchable()));
    let upload = accept(&app).await;
    let mut headers = with_token(&token(&app, &upload).await);
    headers.insert(header::ORIGIN, "https://evil.example".parse().unwrap());
    assert_eq!(request(&app, upload.id, headers).await, StatusCode::FORBIDDEN);
    assert!(!app.upload(upload.id).await.unwrap().unwrap().is_gone());
}

#[tokio::test]
async fn a_subscriber_of_this_server_is_told_at_once_and_a_cached_result_is_forgotten() {
    let (storage, script) = (Storage::over(Arc::new(InMemory::new())), Script::searchable());
    let app = App::of_test(storage.clone(), Arc::new(script.clone()));
    let upload = accept(&app).await;
    work_off(&testing::worker(&storage, &script, Instantly::default()), &script).await;
    let subscriber = app.hub.open();
    subscriber.subscribe(upload.id).unwrap();
    let ready = app.upload(upload.id).await.unwrap().unwrap();
    assert_eq!(ready.state, UploadState::Ready);
    subscriber.mark_seen(&ready);
    assert_eq!(
        request(&app, upload.id, with_token(&token(&app, &upload).await)).await,
        StatusCode::NO_CONTENT
    );
    let heard = subscriber.changes().now_or_never().unwrap();
    assert!(heard.iter().all(Upload::is_gone) && heard.len() == 1);
    assert!(app.upload(upload.id).await.unwrap().unwrap().is_gone());
}

/// An acceptance is stopped after its n-th operation, for every n. The upload is deleted, as it is when it expires at
/// once, and the acceptance goes on or is dead.
#[tokio::test]
async fn an_acceptance_that_a_deletion_overtakes_ends_whole_or_gone() {
    for is_killed in [false, true] {
        for operations in 0.. {
            let case = format!("killed: {is_killed}, after {operations} operations");
            let (store, script) = (Arc::new(InMemory::new()), Script::searchable());
            let fuse = Fuse::after(operations);
            let stopping = Storage::over(Arc::new(Logged::new(Arc::clone(&store), fuse.clone())));
            let app = App::of_test(stopping, Arc::new(script.with_fuse(fuse.clone())));
            let mut accepting = Box::pin(async {
                accept(&app).await;
            });
            let survived = fuse.run(&mut accepting).await;
            let storage = Storage::over(store.clone());
            let id = stored_id(&store).await;
            if let Some(id) = id {
                worker::delete::delete(&storage, &script, id).await.unwrap();
            }
            if !is_killed && !survived {
                fuse.mend();
                accepting.await;
            }
            work_off(&testing::worker(&storage, &script, Instantly::default()), &script).await;
            sweep(&storage, &script).await;
            work_off(&testing::worker(&storage, &script, Instantly::default()), &script).await;
            if let Some(id) = id {
                let keys: Vec<_> = store.list(None).try_collect().await.unwrap();
                let keys: Vec<_> = keys.iter().map(|object| object.location.to_string()).collect();
                assert!(
                    matches!(storage.status(id).await.unwrap(), UploadStatus::Gone(_)),
                    "{case}: {keys:?}"
                );
                assert_eq!(keys, [StorageKey::gone(id).to_string()], "{case}");
            }
            if survived {
                break;
            }
        }
    }
}

/// The upload of an original in the store.
async fn stored_id(store: &InMemory) -> Option<UploadId> {
    let objects: Vec<_> = store.list(None).try_collect().await.unwrap();
    let originals = objects.iter().filter(|object| object.location.as_ref().ends_with("/original"));
    originals.filter_map(|object| object.location.parts().nth(2)?.as_ref().parse().ok()).next()
}

/// The sweeps of another server, and the rounds of its expiry, until everything was looked at.
async fn sweep(storage: &Storage, script: &Script) {
    let (sightings, tombstones, now) = (Sightings::default(), Tombstones::default(), Instant::now());
    for minutes in [0, 1, 20, 40] {
        let now = now + Duration::from_secs(60 * minutes);
        tombstones.sweep(storage, script, now, jiff::Timestamp::now()).await.unwrap();
        let is_gone = |id| tombstones.contains(id);
        let sweeper = Sweeper::new(storage, script, &sightings, Duration::from_secs(30)).knowing(&is_gone);
        sweeper.sweep(now).await.unwrap();
    }
    crate::expiry::pass_two_hours(storage, script).await;
}
