//! A request that is sent again with its `Idempotency-Key` makes no second upload.

use std::fs;

use futures::{StreamExt, stream};
use integration_tests::{
    patience::{SOON, eventually},
    pictures,
    server::{Data, Server, Start, id, json},
};
use reqwest::{Body, Response, multipart};
use tokio::sync::oneshot;

async fn put(server: &Server, key: &str, name: &str, bytes: impl Into<Body>) -> Response {
    let put = server.client.put(server.at(&format!("/uploads/{name}"))).header("idempotency-key", key);
    put.body(bytes).send().await.unwrap()
}

async fn post(server: &Server, key: &str, files: &[(&str, Vec<u8>)]) -> Response {
    let mut form = multipart::Form::new();
    for (name, bytes) in files {
        form = form.part("file", multipart::Part::bytes(bytes.clone()).file_name((*name).to_owned()));
    }
    let post = server.client.post(server.at("/uploads")).header("idempotency-key", key);
    post.multipart(form).send().await.unwrap()
}

async fn accepted(response: Response) -> String {
    assert_eq!(response.status(), 202);
    id(&json(response).await["uploads"][0])
}

/// So long that its beginning is written before its end is there.
fn long_jpeg() -> Vec<u8> {
    let mut bytes = pictures::jpeg(320, 240);
    bytes.resize(4 * 1024 * 1024, 0);
    bytes
}

/// How many uploads there are; what a refused one has begun goes in the background.
async fn assert_stored(data: &Data, count: usize) {
    let stored = async || (data.uploads().len() == count).then_some(());
    eventually("nothing is stored twice", SOON, stored).await;
}

#[tokio::test]
async fn the_same_key_and_file_are_the_same_upload_as_it_stands_now() {
    let server = Start::new().start();
    let cat = pictures::jpeg(320, 240);
    let first = accepted(post(&server, "k1", &[("cat.jpg", cat.clone())]).await).await;
    server.end(&first, SOON).await;
    // Another boundary, and the same file.
    let again = json(post(&server, "k1", &[("cat.jpg", cat.clone())]).await).await;
    assert_eq!((id(&again["uploads"][0]), &again["uploads"][0]["state"]), (first.clone(), &"ready".into()));
    assert_eq!(accepted(put(&server, "k1", "cat.jpg", cat.clone()).await).await, first);
    assert_stored(&server.data, 1).await;
    assert_ne!(accepted(put(&server, "k2", "cat.jpg", cat.clone()).await).await, first, "another key");
    assert_ne!(accepted(server.post("cat.jpg", cat).await).await, first, "and none");
}

#[tokio::test]
async fn the_same_key_with_another_file_is_refused_and_changes_nothing() {
    let server = Start::new().start();
    let first = accepted(put(&server, "k1", "cat.jpg", pictures::jpeg(320, 240)).await).await;
    let ready = server.end(&first, SOON).await;
    for (name, bytes) in [
        ("cat.jpg", pictures::jpeg(240, 320)),
        ("dog.jpg", pictures::jpeg(320, 240)),
        ("cat.jpg", b"%PDF".to_vec()),
    ] {
        let refused = put(&server, "k1", name, bytes).await;
        assert_eq!(refused.headers()["content-type"], "application/problem+json");
        let problem = json(refused).await;
        assert_eq!(
            (&problem["status"], &problem["type"]),
            (&422.into(), &"/problems/key-reused".into()),
            "{name}"
        );
    }
    assert_stored(&server.data, 1).await;
    assert_eq!(server.upload(&first).await, ready);
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let server = Start::new().start();
    let bad = [String::new(), "k".repeat(256), "two words".to_owned(), "ключ".to_owned()];
    for key in bad {
        let problem = json(put(&server, &key, "cat.jpg", pictures::tiny(1)).await).await;
        assert_eq!(
            (&problem["status"], &problem["type"]),
            (&400.into(), &"/problems/bad-key".into()),
            "{key}"
        );
    }
    assert_eq!(put(&server, &"~".repeat(255), "cat.jpg", pictures::tiny(1)).await.status(), 202);
    assert_stored(&server.data, 1).await;
}

#[tokio::test]
async fn a_refused_file_leaves_its_key_free() {
    let server = Start::new().start();
    assert_eq!(put(&server, "k1", "cat.jpg", &b"%PDF-1.7"[..]).await.status(), 415);
    assert_eq!(put(&server, "k1", "cat.jpg", pictures::tiny(1)).await.status(), 202);
}

#[tokio::test]
async fn of_two_that_come_at_once_the_second_waits_and_gets_the_first_ones_upload() {
    let server = Start::new().start();
    let cat = long_jpeg();
    let (begin, rest) = cat.split_at(cat.len() / 2);
    let (go, gone) = oneshot::channel::<()>();
    let rest = rest.to_vec();
    let slow = stream::once(std::future::ready(Ok::<_, std::io::Error>(begin.to_vec()))).chain(stream::once(
        async move {
            let _ = gone.await;
            Ok(rest)
        },
    ));
    let first = put(&server, "k1", "cat.jpg", Body::wrap_stream(slow));
    let second = async {
        eventually("the first is on its way", SOON, async || (!server.data.files().is_empty()).then_some(()))
            .await;
        let second = put(&server, "k1", "cat.jpg", cat.clone());
        let (second, ()) = tokio::join!(second, async {
            eventually("the second is there", SOON, async || connections(&server)).await;
            go.send(()).unwrap();
        });
        second
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(accepted(first).await, accepted(second).await);
    assert_stored(&server.data, 1).await;
}

/// Whether two clients are connected.
fn connections(server: &Server) -> Option<()> {
    let port = server.url.rsplit(':').next()?.parse::<u16>().ok()?;
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let established =
        |line: &&str| line.contains(&format!(":{port:04X} ")) && line.split_whitespace().nth(3) == Some("01");
    let ours = |line: &&str| {
        line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&format!(":{port:04X}")))
    };
    (table.lines().filter(established).filter(ours).count() >= 2).then_some(())
}

#[tokio::test]
async fn a_repetition_that_waits_too_long_is_told_to_come_back() {
    let server = Start::new().start();
    let never =
        stream::once(std::future::ready(Ok::<_, std::io::Error>(long_jpeg()))).chain(stream::pending());
    let first = put(&server, "k1", "cat.jpg", Body::wrap_stream(never));
    let second = async {
        eventually("the first is on its way", SOON, async || (!server.data.files().is_empty()).then_some(()))
            .await;
        put(&server, "k1", "cat.jpg", long_jpeg()).await
    };
    tokio::select! {
        _ = first => panic!("it has no end"),
        second = second => {
            assert_eq!((second.status().as_u16(), &second.headers()["retry-after"]), (409, &"2".parse().unwrap()));
            assert_eq!(json(second).await["type"], "/problems/key-in-use");
        }
    }
    // The first client has left: the key is free.
    assert_eq!(put(&server, "k1", "cat.jpg", long_jpeg()).await.status(), 202);
    assert_stored(&server.data, 1).await;
}

#[tokio::test]
async fn a_key_outlives_its_server_wherever_that_died() {
    for point in ["after-original", "after-claim", "after-record", "after-commit"] {
        let data = Data::new();
        let marker = data.path().join(point);
        let mut server = Start::on(&data).failing(format!("{point}=abort@{}", marker.display())).start();
        let lost = server.client.put(server.at("/uploads/cat.jpg")).header("idempotency-key", "k1");
        assert!(lost.body(pictures::jpeg(640, 480)).send().await.is_err(), "{point}: no answer was given");
        server.ended(SOON).await;
        let next = Start::on(&data).start();
        let upload = accepted(put(&next, "k1", "cat.jpg", pictures::jpeg(640, 480)).await).await;
        assert_eq!(
            accepted(put(&next, "k1", "cat.jpg", pictures::jpeg(640, 480)).await).await,
            upload,
            "{point}"
        );
        next.assert_ready(&next.end(&upload, SOON).await).await;
        let results = next.data.files().into_iter().filter(|file| file.ends_with("result.json"));
        assert_eq!(results.count(), 1, "{point}");
    }
}

#[tokio::test]
async fn two_servers_with_one_key_at_the_same_moment_make_one_upload() {
    let data = Data::new();
    let (one, other) = (Start::on(&data).start(), Start::on(&data).with("--workers", "0").start());
    for round in 0..20 {
        let (key, cat) = (format!("round-{round}"), pictures::tiny(round));
        let (a, b) = tokio::join!(put(&one, &key, "cat.png", cat.clone()), put(&other, &key, "cat.png", cat));
        assert_eq!(accepted(a).await, accepted(b).await, "round {round}");
    }
    assert_stored(&data, 20).await;
}

#[tokio::test]
async fn in_a_form_each_file_has_the_key_by_itself() {
    let server = Start::new().start();
    let [a, b, c] = [1, 2, 3].map(pictures::tiny);
    let ids =
        |answer: &serde_json::Value| answer["uploads"].as_array().unwrap().iter().map(id).collect::<Vec<_>>();
    let first = ids(&json(post(&server, "k1", &[("a.png", a.clone()), ("b.png", b.clone())]).await).await);
    assert_eq!(first.len(), 2);
    let more =
        json(post(&server, "k1", &[("a.png", a.clone()), ("b.png", b), ("c.png", c.clone())]).await).await;
    assert_eq!(ids(&more)[..2], first, "two are found, and the third is taken");
    let other = json(post(&server, "k1", &[("a.png", a), ("c.png", c)]).await).await;
    assert_eq!(ids(&other), first[..1]);
    assert_eq!(
        (&other["rejected"][0]["name"], &other["rejected"][0]["status"]),
        (&"c.png".into(), &422.into())
    );
    assert_stored(&server.data, 3).await;
}
