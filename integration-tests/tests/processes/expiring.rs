//! Uploads that are deleted by themselves.

use std::time::Duration;

use integration_tests::{
    patience::{SOON, eventually},
    pictures,
    server::{Data, Server, Start, id, json},
    socket::Socket,
};
use reqwest::multipart::{Form, Part};
use serde_json::Value;

/// How long after its time an upload may still be there.
const DELETED_WITHIN: Duration = Duration::from_secs(60);

async fn put(server: &Server, query: &str) -> Value {
    let put = server.client.put(server.at(&format!("/uploads/cat.png{query}"))).body(pictures::tiny(1));
    let answer = put.send().await.unwrap();
    assert_eq!(answer.status(), 202, "{query}");
    json(answer).await["uploads"][0].take()
}

/// The seconds between acceptance and expiry.
fn kept(upload: &Value) -> Option<i64> {
    let time = |name: &str| upload[name].as_str().map(|text| text.parse::<jiff::Timestamp>().unwrap());
    Some(time("expires_at")?.duration_since(time("created_at")?).as_secs())
}

#[tokio::test]
async fn an_expired_upload_is_gone_within_a_minute_and_its_subscribers_are_told() {
    let server = Start::new().start();
    let mut socket = Socket::connect(&server.url).await;
    let (brief, long, forever) =
        (put(&server, "?expires=1").await, put(&server, "?expires=3600").await, put(&server, "").await);
    assert_eq!((kept(&brief), kept(&long), kept(&forever)), (Some(1), Some(3600), None));
    socket.subscribe(&[&id(&brief)]).await;
    let gone = async {
        loop {
            let message = socket.message(DELETED_WITHIN).await;
            if message["type"] == "upload-gone" {
                return id(&message["upload"]);
            }
        }
    };
    assert_eq!(tokio::time::timeout(DELETED_WITHIN, gone).await.unwrap(), id(&brief));
    server.assert_leaves_its_tombstone_alone(server.data.path(), &id(&brief), SOON).await;
    for kept in [&long, &forever] {
        server.assert_ready(&server.end(&id(kept), SOON).await).await;
    }
    let page = server.client.get(server.at(&format!("/uploads/{}", id(&long)))).header("accept", "text/html");
    assert!(page.send().await.unwrap().text().await.unwrap().contains("Deleted by itself on "));
}

#[tokio::test]
async fn what_expired_while_no_server_ran_is_deleted_by_the_next() {
    let data = Data::new();
    let server = Start::on(&data).with("--workers", "0").start();
    let upload = id(&put(&server, "?expires=1").await);
    drop(server);
    let next = Start::on(&data).start();
    next.assert_leaves_its_tombstone_alone(data.path(), &upload, DELETED_WITHIN).await;
}

#[tokio::test]
async fn a_server_that_is_killed_before_the_commit_leaves_an_upload_that_expires() {
    let data = Data::new();
    let mut server = Start::on(&data).failing("after-expiry=abort").start();
    let put = server.client.put(server.at("/uploads/cat.png?expires=1")).body(pictures::tiny(1)).send().await;
    assert!(put.is_err());
    server.ended(SOON).await;
    let orphan = data.uploads().remove(0);
    let next = Start::on(&data).start();
    next.assert_leaves_its_tombstone_alone(data.path(), &orphan, DELETED_WITHIN).await;
}

#[tokio::test]
async fn the_setting_is_the_default_and_the_maximum() {
    let server = Start::new().with("--workers", "0").with("--keep", "1h,2d").start();
    let limits = json(server.client.get(server.at("/limits")).send().await.unwrap()).await;
    assert_eq!(limits["keep_seconds"], 2 * 86_400);
    for (query, seconds) in [
        ("", 3600),
        ("?expires=60", 60),
        ("?expires=86400&lane=bulk", 86_400),
        ("?expires=999999999", 2 * 86_400),
        ("?expires=99999999999999999999999", 2 * 86_400),
    ] {
        assert_eq!(kept(&put(&server, query).await), Some(seconds), "{query}");
    }
    for nonsense in ["0", "-1", "1.5", "soon", "1h", "%00"] {
        let path = format!("/uploads/cat.png?expires={nonsense}");
        let answer = server.client.put(server.at(&path)).body(pictures::tiny(1)).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{nonsense}");
        let detail = json(answer).await["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("whole number of seconds"), "{detail}");
    }
    let without = Start::new().with("--workers", "0").start();
    let limits = json(without.client.get(without.at("/limits")).send().await.unwrap()).await;
    assert!(limits.get("keep_seconds").is_none());
}

#[tokio::test]
async fn a_field_of_a_form_counts_for_the_files_after_it() {
    let server = Start::new().with("--workers", "0").start();
    let file = || Part::bytes(pictures::tiny(1)).file_name("cat.png");
    let post = async |form: Form, query: &str| {
        server.client.post(server.at(&format!("/uploads{query}"))).multipart(form).send().await.unwrap()
    };
    let form = Form::new().text("expires", "60").part("file", file()).part("file", file());
    let answer = json(post(form, "?expires=3600").await).await;
    let uploads = answer["uploads"].as_array().unwrap();
    assert_eq!(uploads.iter().map(kept).collect::<Vec<_>>(), [Some(60), Some(60)]);
    let empty = Form::new().text("expires", "").part("file", file());
    assert_eq!(kept(&json(post(empty, "?expires=3600").await).await["uploads"][0]), Some(3600));
    for (form, uploads) in [
        (Form::new().text("expires", "soon").part("file", file()), 0),
        (Form::new().text("expires", "1".repeat(100)).part("file", file()), 0),
        (Form::new().part("file", file()).text("expires", "60"), 1),
    ] {
        let answer = post(form, "").await;
        assert_eq!(answer.status(), 400);
        assert_eq!(json(answer).await["uploads"].as_array().map_or(0, Vec::len), uploads);
    }
}

#[tokio::test]
async fn a_retry_keeps_the_time_of_its_upload() {
    let server = Start::new().start();
    let put = server.client.put(server.at("/uploads/bad.png?expires=3600")).body(pictures::damaged());
    let accepted = json(put.send().await.unwrap()).await["uploads"][0].take();
    let failed = server.end(&id(&accepted), SOON).await;
    assert_eq!((&failed["state"], &failed["expires_at"]), (&"failed".into(), &accepted["expires_at"]));
    let retry =
        server.client.post(server.at(&format!("/uploads/{}/retry", id(&accepted)))).send().await.unwrap();
    assert_eq!(json(retry).await["expires_at"], accepted["expires_at"]);
    eventually("it ends again", SOON, async || {
        (server.upload(&id(&accepted)).await["gen"] == 2).then_some(())
    })
    .await;
}
