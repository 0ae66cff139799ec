//! Deletions: every client and server learns of them, and whatever dies in between leaves nothing.

use std::{fs, path::Path, process::Command, time::Duration};

use integration_tests::{
    patience::{SOON, eventually},
    pictures,
    raw::begin_upload,
    s3::Bucket,
    server::{Data, Server, Start, binary, id, json, objects_of, token},
    socket::Socket,
    worker::reached,
};
use reqwest::{Response, multipart, redirect::Policy};
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use tokio::time::{Instant, timeout};

/// How long a deletion may take to reach every client of every server.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// How long a deletion of a killed server may take to be finished: two sweeps and the start of a server.
const SWEPT_WITHIN: Duration = Duration::from_secs(60);

/// A server on the storage and the queue of another one.
fn beside(server: &Server) -> Start {
    let data = server.data.path().display();
    Start::new()
        .with("--workers", "0")
        .with("--storage", &format!("file://{data}"))
        .with("--broker", &format!("sqlite://{data}/queue.sqlite"))
}

async fn get(server: &Server, path: &str) -> Response {
    server.client.get(server.at(path)).send().await.unwrap()
}

async fn status(server: &Server, path: &str) -> u16 {
    get(server, path).await.status().as_u16()
}

/// Every read of a deleted upload is 410.
async fn assert_gone(server: &Server, upload: &str) {
    let path = format!("/uploads/{upload}");
    for part in ["", "/small", "/medium", "/large", "/original", "/events"] {
        let answer = get(server, &format!("{path}{part}")).await;
        assert_eq!(answer.status(), 410, "{part}");
        assert_eq!(json(answer).await["type"], "/problems/gone", "{part}");
    }
    let waiting = server.client.get(server.at(&path)).header("prefer", "wait=20");
    assert_eq!(waiting.send().await.unwrap().status(), 410);
    let page = server.client.get(server.at(&path)).header("accept", "text/html").send().await.unwrap();
    assert_eq!(page.status(), 410);
    assert!(page.text().await.unwrap().contains("The upload was deleted."));
    let retry = server.client.post(server.at(&format!("{path}/retry"))).send().await.unwrap();
    assert_eq!(retry.status(), 410);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_reaches_sockets_streams_and_readers_of_another_server_within_two_seconds() {
    let server = Start::new().start();
    let other = beside(&server).start();
    let accepted = server.accepted("cat.jpg", pictures::jpeg(640, 480)).await;
    let upload = id(&accepted);
    let ready = server.end(&upload, SOON).await;
    // Both servers have the result in memory now.
    server.assert_ready(&ready).await;
    other.assert_ready(&ready).await;
    let mut socket = Socket::connect(&other.url).await;
    socket.subscribe(&[&upload]).await;
    assert_eq!(socket.message(SOON).await["uploads"][0]["state"], "ready");
    assert_eq!(server.delete(&upload, &token(&accepted)).await, 204);
    let deleted = Instant::now();
    let heard = socket.message(HEARD_WITHIN).await;
    assert_eq!(heard["type"], "upload-gone");
    assert_eq!(heard["upload"], serde_json::json!({ "id": upload, "gen": 1, "state": "gone" }));
    for server in [&server, &other] {
        assert_eq!(status(server, &format!("/uploads/{upload}")).await, 410);
    }
    assert!(deleted.elapsed() < HEARD_WITHIN, "{:?}", deleted.elapsed());
    for server in [&server, &other] {
        assert_gone(server, &upload).await;
    }
    let mut late = Socket::connect(&other.url).await;
    late.subscribe(&[&upload]).await;
    assert_eq!(late.message(SOON).await["uploads"][0]["state"], "gone");
    server.assert_leaves_its_tombstone_alone(server.data.path(), &upload, SOON).await;
    assert_eq!(other.delete(&upload, &token(&accepted)).await, 204, "again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_an_upload_that_is_deleted_is_told() {
    let server = Start::new().with("--workers", "0").start();
    let other = beside(&server).with("--admin-listen", "127.0.0.1:0").start();
    let accepted = server.accepted("cat.jpg", pictures::jpeg(640, 480)).await;
    let (upload, path) = (id(&accepted), format!("/uploads/{}", id(&accepted)));
    let mut events = get(&other, &format!("{path}/events")).await;
    let first = String::from_utf8(events.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(first.contains("upload-changed"), "{first}");
    let waiting = other.client.get(other.at(&path)).header("prefer", "wait=25").send();
    let deleting = async {
        eventually("the stream and the long poll are subscribed", SOON, async || {
            (other.figure("up_subscriptions").await == Some(2.0)).then_some(())
        })
        .await;
        assert_eq!(server.delete(&upload, &token(&accepted)).await, 204);
        Instant::now()
    };
    let (waited, deleted) = tokio::join!(waiting, deleting);
    assert_eq!(waited.unwrap().status(), 410);
    let rest = timeout(HEARD_WITHIN, events.text()).await.expect("the stream ends").unwrap();
    assert!(rest.contains("event: upload-gone") && rest.contains(r#""state":"gone""#), "{rest}");
    assert!(deleted.elapsed() < HEARD_WITHIN, "{:?}", deleted.elapsed());
    // Nobody has worked on it; its job does no harm.
    let next = Start::on(&server.data).start();
    next.workers_ready(2).await;
    next.assert_leaves_its_tombstone_alone(server.data.path(), &upload, SOON).await;
    assert_gone(&next, &upload).await;
}

#[tokio::test]
async fn only_the_answer_to_an_upload_shows_its_token() {
    let server = Start::new().start();
    let put = |key: &str| server.client.put(server.at("/uploads/cat.png")).header("idempotency-key", key);
    let send = async || json(put("one").body(pictures::damaged()).send().await.unwrap()).await;
    let first = send().await;
    let (upload, secret) = (id(&first["uploads"][0]), token(&first["uploads"][0]));
    assert_eq!(token(&send().await["uploads"][0]), secret, "a repetition gets the same");
    assert_eq!(server.end(&upload, SOON).await["state"], "failed");
    let path = format!("/uploads/{upload}");
    let mut socket = Socket::connect(&server.url).await;
    socket.subscribe(&[&upload]).await;
    let mut shown = vec![
        get(&server, &path).await.text().await.unwrap(),
        get(&server, &format!("{path}/events")).await.text().await.unwrap(),
        socket.message(SOON).await.to_string(),
        server
            .client
            .get(server.at(&path))
            .header("accept", "text/html")
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
    ];
    shown.push(
        server.client.post(server.at(&format!("{path}/retry"))).send().await.unwrap().text().await.unwrap(),
    );
    for text in shown {
        assert!(text.contains(&upload) && !text.contains(&secret) && !text.contains("\"token\""), "{text}");
    }
    assert!(!server.log().contains(&secret));
    assert_eq!(server.delete(&upload, &secret).await, 204);
    let repeated = put("one").body(pictures::damaged()).send().await.unwrap();
    assert_eq!(repeated.status(), 410, "the key belongs to a deleted upload");
}

/// The token in the only form of deletion of a page.
fn token_of_form(page: &str) -> &str {
    let (_, rest) = page.split_once(r#"name="token" value=""#).unwrap_or_else(|| panic!("{page}"));
    let (token, rest) = rest.split_once('"').unwrap();
    assert!(!rest.contains(r#"name="token""#), "{page}");
    token
}

#[tokio::test]
async fn pages_without_script_have_a_form_of_deletion_for_the_sender_alone() {
    let server = Start::new().with("--workers", "0").start();
    let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let send = async |count: u32| {
        let part = |seed| multipart::Part::bytes(pictures::tiny(seed)).file_name("a.png");
        let form = (0..count).fold(multipart::Form::new(), |form, seed| form.part("file", part(seed)));
        client.post(server.at("/uploads")).header("accept", "text/html").multipart(form).send().await.unwrap()
    };
    let delete = async |page: &str, token: &str| {
        let post = client.post(server.at(&format!("{page}/delete"))).header("origin", &server.url);
        let post = post.header("content-type", "application/x-www-form-urlencoded");
        post.body(format!("token={token}")).send().await.unwrap().status()
    };
    let answer = send(1).await;
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    let (page, cookie) = (header("location"), header("set-cookie"));
    assert!(
        cookie.contains(&format!("Path={page};")) && cookie.contains("HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    let read = async |cookie: &str| {
        let get = client.get(server.at(&page)).header("accept", "text/html").header("cookie", cookie);
        get.send().await.unwrap().text().await.unwrap()
    };
    assert!(!read("other=1").await.contains(r#"name="token""#), "for nobody else");
    assert!(!read(r#"up-delete="><script>"#).await.contains("<script>"), "a cookie is no HTML");
    let shown = read(cookie.split_once(';').unwrap().0).await;
    assert_eq!(delete(&page, token_of_form(&shown)).await, 303);
    assert_eq!(status(&server, &page).await, 410);

    let list = send(2).await.text().await.unwrap();
    let (first, second) = list.split_at(list.rfind("<li>").unwrap());
    for row in [first, second] {
        let (_, rest) = row.split_once(r#"action=""#).unwrap();
        let page = rest.split_once("/delete\"").unwrap().0;
        assert_eq!(delete(page, token_of_form(row)).await, 303);
        assert_eq!(status(&server, page).await, 410);
    }
}

#[tokio::test]
async fn a_form_that_breaks_off_has_the_tokens_of_the_accepted_files() {
    let server = Start::new().start();
    let form = multipart::Form::new()
        .part("file", multipart::Part::bytes(pictures::tiny(1)).file_name("a.png"))
        .text("expires", "60");
    let answer = server.client.post(server.at("/uploads")).multipart(form).send().await.unwrap();
    assert_eq!(answer.status(), 400, "expires comes too late");
    let problem = json(answer).await;
    let upload = &problem["uploads"][0];
    assert_eq!(server.delete(&id(upload), &token(upload)).await, 204);
}

#[tokio::test]
async fn a_wrong_token_deletes_nothing() {
    let server = Start::new().start();
    let stranger = Start::new().start();
    let accepted = server.accepted("cat.png", pictures::tiny(1)).await;
    let (upload, right) = (id(&accepted), token(&accepted));
    let of_other = token(&server.accepted("dog.png", pictures::tiny(2)).await);
    let of_stranger = token(&stranger.accepted("cat.png", pictures::tiny(1)).await);
    for wrong in [&*of_other, &of_stranger, "x", &right[1..], &format!("{right}A"), &"A".repeat(4000)] {
        assert_eq!(server.delete(&upload, wrong).await, 403, "{wrong}");
    }
    let unknown = "0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10";
    assert_eq!(server.delete(unknown, &right).await, 403);
    assert_eq!(server.delete("nonsense", &right).await, 404);
    let none = server.client.delete(server.at(&format!("/uploads/{upload}"))).send().await.unwrap();
    assert_eq!(
        (none.status().as_u16(), &none.headers()["www-authenticate"]),
        (401, &"Bearer".parse().unwrap())
    );
    let basic = server.client.delete(server.at(&format!("/uploads/{upload}"))).basic_auth("", Some(&right));
    assert_eq!(basic.send().await.unwrap().status(), 401);
    server.assert_ready(&server.end(&upload, SOON).await).await;
}

#[tokio::test]
async fn guesses_of_a_token_are_limited() {
    let server = Start::new().with("--workers", "0").start();
    let accepted = server.accepted("cat.png", pictures::tiny(1)).await;
    let mut wrong = 0;
    while server.delete(&id(&accepted), "x").await == 403 {
        wrong += 1;
        assert!(wrong < 100, "a hundred guesses were compared");
    }
    assert!(wrong >= 20, "{wrong}");
    assert_eq!(server.delete(&id(&accepted), &token(&accepted)).await, 429, "a right guess tells nothing");
}

#[tokio::test]
async fn a_damaged_upload_can_be_deleted() {
    let server = Start::new().start();
    for damage in ["result.json", "failure.1.json"] {
        let accepted = server.accepted("cat.png", pictures::tiny(1)).await;
        let (upload, token) = (id(&accepted), token(&accepted));
        server.end(&upload, SOON).await;
        let path =
            server.data.path().join("uploads").join(&upload.replace('-', "")[..6]).join(&upload).join(damage);
        let _ = fs::remove_file(&path);
        fs::create_dir(&path).unwrap();
        assert_eq!(server.delete(&upload, &token).await, 204, "{damage}");
        server.assert_leaves_its_tombstone_alone(server.data.path(), &upload, SWEPT_WITHIN).await;
    }
}

#[tokio::test]
async fn a_form_deletes_and_leads_to_a_page_that_says_so() {
    let server = Start::new().start();
    let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let accepted = server.accepted("cat.png", pictures::tiny(1)).await;
    let path = format!("/uploads/{}", id(&accepted));
    let post = async |token: &str, origin: &str| {
        let post = client.post(server.at(&format!("{path}/delete"))).header("origin", origin);
        let post =
            post.header("content-type", "application/x-www-form-urlencoded").body(format!("token={token}"));
        post.send().await.unwrap()
    };
    assert_eq!(post(&token(&accepted), "https://evil.example").await.status(), 403);
    assert_eq!(post("wrong", &server.url).await.status(), 403);
    let answer = post(&token(&accepted), &server.url).await;
    assert_eq!((answer.status().as_u16(), answer.headers()["location"].to_str().unwrap()), (303, &*path));
    assert_gone(&server, &id(&accepted)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletions_at_once_at_two_servers_all_succeed() {
    let server = Start::new().start();
    let other = beside(&server).start();
    for seed in 0..5 {
        let accepted = server.accepted("cat.png", pictures::tiny(seed)).await;
        let (upload, token) = (id(&accepted), token(&accepted));
        let deletions = [&server, &other, &server, &other].map(|server| server.delete(&upload, &token));
        assert_eq!(futures::future::join_all(deletions).await, [204; 4]);
        server.assert_leaves_its_tombstone_alone(server.data.path(), &upload, SWEPT_WITHIN).await;
        assert_gone(&other, &upload).await;
    }
}

/// Sends a deletion whose server is killed by a failpoint.
async fn delete_fatally(server: &mut Server, accepted: &Value) {
    let path = server.at(&format!("/uploads/{}", id(accepted)));
    let answer = server.client.delete(path).bearer_auth(token(accepted)).send().await;
    assert!(answer.is_err(), "no 204 was given");
    server.ended(SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_whose_server_is_killed_at_any_step_is_finished_by_the_next() {
    let cases = ["delete-marked", "delete-unlisted", "delete-announced"].map(async |point| {
        let data = Data::new();
        let mut server = Start::on(&data).failing(format!("{point}=abort")).start();
        let accepted = server.accepted("cat.jpg", pictures::jpeg(320, 240)).await;
        server.end(&id(&accepted), SOON).await;
        delete_fatally(&mut server, &accepted).await;
        let next = Start::on(&data).start();
        next.assert_leaves_its_tombstone_alone(data.path(), &id(&accepted), SWEPT_WITHIN).await;
        eventually("it is gone", SOON, async || {
            (status(&next, &format!("/uploads/{}", id(&accepted))).await == 410).then_some(())
        })
        .await;
        assert_gone(&next, &id(&accepted)).await;
    });
    futures::future::join_all(cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_s3_a_deletion_whose_server_is_killed_is_finished_by_the_next() {
    let bucket = Bucket::start().await;
    let start = |data: &Data| {
        let start = Start::on(data).with("--storage", &bucket.url);
        bucket.variables().into_iter().fold(start, |start, (name, value)| start.variable(name, value))
    };
    let cases = ["delete-marked", "delete-unlisted", "delete-announced"].map(async |point| {
        let data = Data::new();
        let mut server = start(&data).failing(format!("{point}=abort")).start();
        let put =
            server.client.put(server.at("/uploads/cat.jpg?expires=3600")).body(pictures::jpeg(320, 240));
        let accepted = json(put.send().await.unwrap()).await["uploads"][0].take();
        server.end(&id(&accepted), SOON).await;
        delete_fatally(&mut server, &accepted).await;
        (start(&data).start(), id(&accepted))
    });
    for (server, upload) in futures::future::join_all(cases).await {
        server.assert_leaves_its_tombstone_alone(&bucket.objects(), &upload, SWEPT_WITHIN).await;
        assert_gone(&server, &upload).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_s3_a_worker_that_is_killed_while_its_upload_is_deleted_leaves_nothing() {
    let bucket = Bucket::start().await;
    let cases = ["job-started", "before-outcome", "after-outcome"].map(async |point| {
        let data = Data::new();
        let start = Start::on(&data).with("--storage", &bucket.url);
        let start =
            bucket.variables().into_iter().fold(start, |start, (name, value)| start.variable(name, value));
        delete_under_a_worker(point, pictures::jpeg(320, 240), &data, start, &bucket.objects()).await;
    });
    futures::future::join_all(cases).await;
}

/// A worker is held at a step of its job while its upload is deleted. Then it is killed.
async fn delete_under_a_worker(point: &str, picture: Vec<u8>, data: &Data, start: Start, storage: &Path) {
    let marker = data.path().join("marker");
    let failing = format!("{point}=park@{}", marker.display());
    let server = start.failing(failing).start();
    let accepted = server.accepted("cat.jpg", picture).await;
    let worker = reached(&marker).await;
    assert_eq!(server.delete(&id(&accepted), &token(&accepted)).await, 204, "{point}");
    assert_gone(&server, &id(&accepted)).await;
    kill_process(worker, Signal::KILL).unwrap();
    server.assert_leaves_its_tombstone_alone(storage, &id(&accepted), SWEPT_WITHIN).await;
    eventually("the job is done with", SOON, async || {
        server.log().contains("the upload was deleted; its job is dropped").then_some(())
    })
    .await;
    assert_gone(&server, &id(&accepted)).await;
    assert!(!objects_of(storage, &id(&accepted)).iter().any(|object| object.starts_with("pending/")));
    server.assert_no_temporary_files();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_while_its_upload_is_deleted_leaves_nothing() {
    for point in ["job-started", "before-outcome", "after-outcome", "before-ack"] {
        let data = Data::new();
        delete_under_a_worker(point, pictures::jpeg(320, 240), &data, Start::on(&data), data.path()).await;
    }
    let data = Data::new();
    delete_under_a_worker("before-outcome", pictures::damaged(), &data, Start::on(&data), data.path()).await;
}

#[tokio::test]
async fn a_retry_at_the_same_time_brings_nothing_back() {
    let server = Start::new().start();
    for _ in 0..5 {
        let accepted = server.accepted("bad.png", pictures::damaged()).await;
        let (upload, token) = (id(&accepted), token(&accepted));
        assert_eq!(server.end(&upload, SOON).await["state"], "failed");
        let retry = server.client.post(server.at(&format!("/uploads/{upload}/retry"))).send();
        let (retried, deleted) = tokio::join!(retry, server.delete(&upload, &token));
        let retried = retried.unwrap().status().as_u16();
        assert!([202, 404, 409, 410].contains(&retried), "{retried}");
        assert_eq!(deleted, 204);
        server.assert_leaves_its_tombstone_alone(server.data.path(), &upload, SWEPT_WITHIN).await;
        assert_gone(&server, &upload).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_announcement_makes_no_server_serve_a_deleted_upload_for_long() {
    let server = Start::new().start();
    let deaf = beside(&server).failing("hear=drop").start();
    let accepted = server.accepted("cat.png", pictures::tiny(1)).await;
    let ready = server.end(&id(&accepted), SOON).await;
    deaf.assert_ready(&ready).await;
    let mut socket = Socket::connect(&deaf.url).await;
    socket.subscribe(&[&id(&accepted)]).await;
    assert_eq!(socket.message(SOON).await["uploads"][0]["state"], "ready");
    assert_eq!(server.delete(&id(&accepted), &token(&accepted)).await, 204);
    assert_eq!(socket.message(SOON).await["type"], "upload-gone", "the sweep lists its tombstone");
    // The file of a thumbnail is gone, whatever the server remembers.
    assert_eq!(status(&deaf, &format!("/uploads/{}/small", id(&accepted))).await, 410);
    eventually("the remembered result expires", Duration::from_secs(40), async || {
        (status(&deaf, &format!("/uploads/{}", id(&accepted))).await == 410).then_some(())
    })
    .await;
}

fn rotate(storage: &Path) -> String {
    let storage = format!("file://{}", storage.display());
    let rotated =
        Command::new(binary("up-server")).args(["secret", "rotate", "--storage", &storage]).output().unwrap();
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    String::from_utf8(rotated.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_tokens_outlive_three_rotations_and_not_a_fourth_that_a_running_server_notices() {
    let server = Start::new().start();
    let (first, second) = (
        server.accepted("a.png", pictures::tiny(1)).await,
        server.accepted("b.png", pictures::tiny(2)).await,
    );
    for number in 2..=4 {
        assert!(rotate(server.data.path()).starts_with(&format!("secret {number} in ")));
    }
    let restarted = beside(&server).start();
    assert_eq!(restarted.delete(&id(&first), &token(&first)).await, 204);
    rotate(server.data.path());
    let secrets = || fs::read_dir(server.data.path().join("secrets")).unwrap().count();
    assert_eq!(secrets(), 4, "the oldest is removed");
    let late = beside(&server).start();
    assert_eq!(late.delete(&id(&second), &token(&second)).await, 403);
    // The running server reads the secrets again every twenty seconds, and then uses one that the other knows, too.
    eventually("a running server has read the new secrets", Duration::from_secs(45), async || {
        let accepted = server.accepted("d.png", pictures::tiny(4)).await;
        (token(&accepted).len() == 43 && late.delete(&id(&accepted), &token(&accepted)).await == 204)
            .then_some(())
    })
    .await;
    assert_eq!(server.delete(&id(&second), &token(&second)).await, 403);
}

#[tokio::test]
async fn servers_that_start_at_once_share_one_secret_and_a_damaged_one_is_named() {
    let data = Data::new();
    let storage = format!("file://{}", data.path().display());
    let start = || Start::new().with("--workers", "0").with("--storage", &storage);
    let starts = (0..3).map(|_| {
        tokio::task::spawn_blocking({
            let start = start();
            move || start.start()
        })
    });
    let servers: Vec<_> = futures::future::join_all(starts).await.into_iter().map(Result::unwrap).collect();
    for (at, server) in servers.iter().enumerate() {
        let accepted = server.accepted("cat.png", pictures::tiny(1)).await;
        let other = &servers[(at + 1) % servers.len()];
        assert_eq!(other.delete(&id(&accepted), &token(&accepted)).await, 204);
    }
    drop(servers);
    fs::write(data.path().join("secrets/delete.1.json"), "cut").unwrap();
    let command = Command::new(binary("up-server"))
        .args(["--listen", "127.0.0.1:0", "--workers", "0", "--storage", &storage])
        .arg("--data")
        .arg(data.path())
        .output()
        .unwrap();
    let explained = String::from_utf8_lossy(&command.stderr).into_owned();
    assert!(!command.status.success());
    assert!(explained.contains("could not read the secret secrets/delete.1.json"), "{explained}");
}

#[tokio::test]
async fn a_draining_server_finishes_a_deletion_and_takes_no_other() {
    let server = Start::new().start();
    let accepted = server.accepted("cat.png", pictures::tiny(1)).await;
    let coming = begin_upload(&server.url, "", 100_000).await;
    server.signal(Signal::TERM);
    eventually("it drains", SOON, async || {
        (server.delete(&id(&accepted), &token(&accepted)).await == 503).then_some(())
    })
    .await;
    drop(coming);
}
