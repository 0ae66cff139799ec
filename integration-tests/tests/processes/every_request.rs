//! Rules of every request and answer: ids, traces, times, other sites, and the bounds of a form.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use integration_tests::{
    patience::{SOON, eventually},
    pictures,
    server::{Start, id, json},
    worker::StartWorker,
};
use reqwest::{Body, Method, Response, multipart};

const FORM: &str = "multipart/form-data; boundary=b";

#[tokio::test]
async fn every_answer_has_a_request_id_and_a_sane_one_is_kept() {
    let server = Start::new().start();
    let get = |path: &str| server.client.get(server.at(path));
    for path in ["/", "/healthz", "/nowhere", "/uploads/nonsense", "/uploads"] {
        let answer = get(path).send().await.unwrap();
        assert_eq!(answer.headers()["x-request-id"].len(), 32, "{path}");
        let kept = get(path).header("x-request-id", "mine-1").send().await.unwrap();
        assert_eq!(kept.headers()["x-request-id"], "mine-1", "{path}");
        let replaced = get(path).header("x-request-id", "a b\"c").send().await.unwrap();
        assert_eq!(replaced.headers()["x-request-id"].len(), 32, "{path}");
    }
    let upload = server.client.post(server.at("/uploads")).header("x-request-id", "mine-2");
    assert_eq!(upload.body(pictures::tiny(1)).send().await.unwrap().status(), 202);
    let log = server.log();
    assert!(log.lines().any(|line| line.contains("mine-2") && line.contains("accepted")), "{log}");
}

#[tokio::test]
async fn an_answer_tells_where_the_time_went() {
    let server = Start::new().start();
    let timing = |answer: &Response| answer.headers()["server-timing"].to_str().unwrap().to_owned();
    let answer = server.post("cat.png", pictures::tiny(1)).await;
    let stages = timing(&answer);
    assert!(stages.contains("store;dur=") && stages.contains("commit;dur="), "{stages}");
    let upload = json(answer).await["uploads"][0].take();
    let status = server.client.get(server.at(&format!("/uploads/{}", id(&upload)))).send().await.unwrap();
    assert!(timing(&status).contains("read;dur="));
}

#[tokio::test]
async fn one_trace_goes_from_the_request_through_the_worker_to_the_push() {
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let server = Start::new().with("--workers", "0").start();
    let worker = StartWorker::beside(&server.data).start();
    let request = server
        .client
        .post(server.at("/uploads"))
        .header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"))
        .body(pictures::tiny(1));
    let upload = json(request.send().await.unwrap()).await["uploads"][0].take();
    server.end(&id(&upload), SOON).await;

    let has = |log: &str, event: &str| log.lines().any(|line| line.contains(event) && line.contains(trace));
    eventually("the push is logged", SOON, async || has(&server.log(), "an upload changed").then_some(()))
        .await;
    assert!(has(&server.log(), "accepted"), "{}", server.log());
    assert!(has(&worker.log(), "the upload has ended"), "{}", worker.log());

    // A request without a trace begins one; so does one whose trace cannot be read.
    let result = std::fs::read_to_string(server.data.upload(&id(&upload)).join("result.json"));
    assert!(result.unwrap().contains(&format!("00-{trace}-")));
    let other = server.client.post(server.at("/uploads")).header("traceparent", "00-none");
    let other = json(other.body(pictures::tiny(2)).send().await.unwrap()).await["uploads"][0].take();
    server.end(&id(&other), SOON).await;
    let result = std::fs::read_to_string(server.data.upload(&id(&other)).join("result.json"));
    let result: serde_json::Value = serde_json::from_str(&result.unwrap()).unwrap();
    assert_eq!(result["record"]["traceparent"].as_str().unwrap().len(), 55);
}

#[tokio::test]
async fn a_page_of_another_site_reads_answers_only_if_it_is_named() {
    let friend = "https://friend.example";
    let server = Start::new().with("--cors-origins", friend).start();
    let preflight = async |origin: &str| {
        let asked = server.client.request(Method::OPTIONS, server.at("/uploads")).header("origin", origin);
        let asked = asked.header("access-control-request-method", "POST");
        asked.header("access-control-request-headers", "content-type,prefer").send().await.unwrap()
    };
    let allowed = preflight(friend).await;
    assert_eq!(allowed.headers()["access-control-allow-origin"], friend);
    assert!(allowed.headers()["access-control-allow-headers"].to_str().unwrap().contains("prefer"));
    assert!(!preflight("https://evil.example").await.headers().contains_key("access-control-allow-origin"));

    let post = |origin: &str| {
        server.client.post(server.at("/uploads")).header("origin", origin).body(pictures::tiny(1)).send()
    };
    let answer = post(friend).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["access-control-allow-origin"]),
        (202, &friend.parse().unwrap())
    );
    assert!(answer.headers()["access-control-expose-headers"].to_str().unwrap().contains("location"));
    assert_eq!(post("https://evil.example").await.unwrap().status(), 403);

    let shut = Start::new().start();
    let answer = shut.client.get(shut.at("/limits")).header("origin", friend).send().await.unwrap();
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn a_form_of_five_thousand_parts_is_answered_within_a_second() {
    let server = Start::new().start();
    let part = |part| format!("--b\r\nContent-Disposition: form-data; name=\"field-{part}\"\r\n\r\nx\r\n");
    let form = (0..5000).map(part).collect::<String>() + "--b--\r\n";
    let begun = Instant::now();
    let request = server.client.post(server.at("/uploads")).header("content-type", FORM).body(form);
    let answer = request.send().await.unwrap();
    let took = begun.elapsed();
    assert_eq!(answer.status(), 400);
    assert_eq!(json(answer).await["type"], "/problems/too-many-parts");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(server.data.files().is_empty());
}

#[tokio::test]
async fn what_a_form_has_beside_its_files_is_bounded() {
    let server = Start::new().start();
    let post = async |body: Body| {
        let request = server.client.post(server.at("/uploads")).header("content-type", FORM).body(body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 400);
        assert_eq!(json(answer).await["type"], "/problems/malformed");
    };
    let endless = |begin: &str| {
        let begin = stream::iter([begin.to_owned()]);
        // As much as is read on of a body that was refused, and no end.
        let pieces = begin.chain(stream::repeat("x".repeat(60_000)).take(100));
        Body::wrap_stream(pieces.map(Ok::<_, std::io::Error>))
    };
    post(endless("a preamble ")).await;
    post(endless("--b\r\nContent-Disposition: form-data; name=\"")).await;
    let name = "x".repeat(10_000);
    post(
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\nx\r\n--b--\r\n"
        )
        .into(),
    )
    .await;
    assert!(server.data.files().is_empty());
}

#[tokio::test]
async fn a_form_of_files_and_fields_in_any_order_is_taken_whole() {
    let server = Start::new().start();
    let file =
        |seed: u32| multipart::Part::bytes(pictures::jpeg(640 + seed, 480)).file_name(format!("{seed}.jpg"));
    let form = (0..8u32).fold(multipart::Form::new(), |form, seed| {
        let refused = multipart::Part::bytes(vec![0; 300_000]).file_name("zeros");
        form.text("comment", "y".repeat(400_000)).part("file", file(seed)).part("file", refused)
    });
    let answer = server.client.post(server.at("/uploads")).multipart(form).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let answer = json(answer).await;
    let lengths = [&answer["uploads"], &answer["rejected"]].map(|list| list.as_array().unwrap().len());
    assert_eq!(lengths, [8, 8], "{answer}");
}

#[tokio::test]
async fn untrusted_bytes_are_served_so_that_nothing_in_them_runs() {
    let server = Start::new().start();
    let upload = id(&server.accepted("evil.html", pictures::jpeg(300, 200)).await);
    server.end(&upload, SOON).await;
    let original = format!("/uploads/{upload}/original");
    let get = |path: &str| server.client.get(server.at(path));
    for (answer, status) in [
        (get(&original), 200),
        (get(&original).header("range", "bytes=0-9"), 206),
        (server.client.head(server.at(&original)), 200),
        (get(&format!("/uploads/{upload}/small")), 200),
    ] {
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), status);
        let header = |name: &str| answer.headers()[name].to_str().unwrap();
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("content-security-policy"), "default-src 'none'; sandbox");
        let policy = if answer.url().path() == original { "same-origin" } else { "cross-origin" };
        assert_eq!(header("cross-origin-resource-policy"), policy, "{}", answer.url());
        assert!(header("content-type").starts_with("image/"));
    }
    let answer = get(&original).send().await.unwrap();
    assert!(answer.headers()["content-disposition"].to_str().unwrap().starts_with("attachment;"));
}

#[tokio::test]
async fn thumbnails_are_kept_from_pages_of_other_sites_by_a_setting() {
    let server = Start::new().with("--embed-thumbnails", "same-origin").start();
    let upload = id(&server.accepted("cat.jpg", pictures::jpeg(300, 200)).await);
    server.end(&upload, SOON).await;
    for size in ["small", "medium", "large", "original"] {
        let answer = server.client.get(server.at(&format!("/uploads/{upload}/{size}"))).send().await.unwrap();
        assert_eq!(answer.headers()["cross-origin-resource-policy"], "same-origin", "{size}");
    }
}
