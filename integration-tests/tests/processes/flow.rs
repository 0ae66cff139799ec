//! One picture's whole way, for every kind of client.

use std::{process::Command, time::Duration};

use integration_tests::{
    patience::{SOON, eventually},
    pictures,
    server::{Start, id, json},
    socket::Socket,
};
use serde_json::Value;

#[tokio::test]
async fn a_photograph_goes_its_whole_way_by_curl() {
    let server = Start::new().start();
    let (path, bytes, (width, height)) = pictures::photograph(10);
    let file = format!("file=@{}", path.display());
    let curl =
        Command::new("curl").args(["-sS", "-i", "-F", &file, &server.at("/uploads")]).output().unwrap();
    let answer = String::from_utf8(curl.stdout).unwrap();
    let (head, body) = answer.rsplit_once("\r\n\r\n").unwrap();
    assert!(head.contains("HTTP/1.1 202"), "{answer}");
    assert!(body.ends_with('\n'));
    let upload = serde_json::from_str::<Value>(body).unwrap()["uploads"][0].take();
    assert!(head.contains(&format!("location: /uploads/{}", id(&upload))), "{head}");
    assert!(head.contains("retry-after: 2"), "{head}");
    assert_eq!(upload["state"], "queued");
    assert_eq!((&upload["width"], &upload["height"]), (&width.into(), &height.into()));

    let ready = server.end(&id(&upload), SOON).await;
    server.assert_ready(&ready).await;
    let original =
        server.client.get(server.at(&format!("/uploads/{}/original", id(&upload)))).send().await.unwrap();
    assert_eq!(original.headers()["content-type"], "image/jpeg");
    assert_eq!(original.headers()["x-content-type-options"], "nosniff");
    assert!(original.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
    assert_eq!(original.bytes().await.unwrap(), bytes);
}

#[tokio::test]
async fn polling_a_thumbnail_answers_404_until_it_is_there_and_then_the_same_for_ever() {
    let data = integration_tests::server::Data::new();
    let marker = data.path().join("parked");
    let server = Start::on(&data).failing(format!("job-started=park@{}", marker.display())).start();
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    let url = server.at(&format!("/uploads/{}/medium", id(&upload)));
    let before = server.client.get(&url).send().await.unwrap();
    assert_eq!(before.status(), 404);
    assert_eq!(
        (&before.headers()["retry-after"], &before.headers()["cache-control"]),
        (&"2".parse().unwrap(), &"no-store".parse().unwrap())
    );
    assert_eq!(before.headers()["content-type"], "application/problem+json");

    let pid = eventually("a worker parks", SOON, async || std::fs::read_to_string(&marker).ok()).await;
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    server.end(&id(&upload), SOON).await;
    let ready = server.client.get(&url).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    assert_eq!(ready.headers()["cache-control"], "public, max-age=31536000, immutable");
    let etag = ready.headers()["etag"].clone();
    assert!(etag.to_str().unwrap().starts_with('"'));
    let head = server.client.head(&url).send().await.unwrap();
    assert_eq!((head.status().as_u16(), &head.headers()["etag"]), (200, &etag));
    assert_eq!(head.headers()["content-length"], ready.content_length().unwrap().to_string().as_str());
    let again = server.client.get(&url).header("if-none-match", &etag).send().await.unwrap();
    assert_eq!(again.status(), 304);

    let unknown = server.at("/uploads/0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10/medium");
    let unknown = server.client.get(unknown).send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    assert!(!unknown.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn a_socket_hears_that_its_picture_is_ready() {
    let server = Start::new().start();
    let (_, bytes, _) = pictures::photograph(8);
    let mut socket = Socket::connect(&server.url).await;
    let upload = server.accepted("photo.jpg", bytes).await;
    socket.subscribe(&[&id(&upload), "0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10", "nonsense"]).await;
    let snapshot = socket.message(SOON).await;
    assert_eq!((&snapshot["type"], &snapshot["ref"]), (&"snapshot".into(), &1.into()));
    assert_eq!(snapshot["uploads"][0]["id"], upload["id"]);
    assert_eq!(snapshot["unknown"].as_array().unwrap().len(), 2);
    let mut states = Vec::new();
    loop {
        let message = socket.message(SOON).await;
        states.push(message["upload"]["state"].as_str().unwrap().to_owned());
        match message["type"].as_str().unwrap() {
            "upload-changed" => {}
            "thumbnail-ready" => {
                server.assert_ready(&message["upload"]).await;
                break;
            }
            other => panic!("{other}"),
        };
    }
    assert_eq!(states.last().unwrap(), "ready");
    let known = ["processing", "ready"];
    assert!(states.iter().all(|state| known.contains(&state.as_str())), "{states:?}");
}

#[tokio::test]
async fn server_sent_events_end_with_the_upload() {
    let server = Start::new().start();
    let upload = server.accepted("cat.jpg", pictures::jpeg(800, 600)).await;
    let events =
        server.client.get(server.at(&format!("/uploads/{}/events", id(&upload)))).send().await.unwrap();
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let text = tokio::time::timeout(SOON, events.text()).await.expect("the stream ends").unwrap();
    assert!(text.contains("event: thumbnail-ready\n"), "{text}");
    let last = text.rsplit("data: ").next().unwrap();
    let message: Value = serde_json::from_str(last.lines().next().unwrap()).unwrap();
    server.assert_ready(&message["upload"]).await;
}

#[tokio::test]
async fn a_client_that_prefers_to_wait_is_answered_at_the_end() {
    let server = Start::new().start();
    let post = server
        .client
        .put(server.at("/uploads/cat.jpg"))
        .header("prefer", "wait=20")
        .body(pictures::jpeg(800, 600));
    let response = post.send().await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["preference-applied"], "wait=20");
    let upload = json(response).await["uploads"][0].take();
    assert_eq!(upload["name"], "cat.jpg");
    server.assert_ready(&upload).await;
    // Without workers it is answered when the time is over.
    let idle = Start::new().with("--workers", "0").start();
    let post =
        idle.client.post(idle.at("/uploads")).header("prefer", "wait=1").body(pictures::tiny(1)).send();
    assert_eq!(post.await.unwrap().status(), 202);
}

#[tokio::test]
async fn several_files_in_one_form_are_several_uploads_and_a_bad_one_harms_none() {
    let server = Start::new().start();
    let part = |name: &str, bytes: Vec<u8>| reqwest::multipart::Part::bytes(bytes).file_name(name.to_owned());
    let form = reqwest::multipart::Form::new()
        .text("comment", "not a file")
        .part("file", part("one.png", pictures::tiny(1)))
        .part("file", part("two.txt", b"hello".to_vec()))
        .part("file", part("three.png", pictures::tiny(3)));
    let response = server.client.post(server.at("/uploads")).multipart(form).send().await.unwrap();
    assert_eq!(response.status(), 202);
    let body = json(response).await;
    let names: Vec<_> =
        body["uploads"].as_array().unwrap().iter().map(|upload| upload["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["one.png", "three.png"]);
    assert_eq!(body["rejected"][0]["name"], "two.txt");
    assert_eq!(body["rejected"][0]["status"], 415);
    for upload in body["uploads"].as_array().unwrap() {
        server.assert_ready(&server.end(&id(upload), SOON).await).await;
    }
    assert_eq!(server.data.uploads().len(), 2);
}

#[tokio::test]
async fn the_form_without_script_leads_to_a_page_that_refreshes_itself_until_the_end() {
    let data = integration_tests::server::Data::new();
    let marker = data.path().join("parked");
    let server = Start::on(&data).failing(format!("job-started=park@{}", marker.display())).start();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let part = reqwest::multipart::Part::bytes(pictures::jpeg(800, 600)).file_name("<cat> & \"dog\".jpg");
    let accept = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";
    let form = reqwest::multipart::Form::new().part("file", part);
    let response =
        client.post(server.at("/uploads")).header("accept", accept).multipart(form).send().await.unwrap();
    assert_eq!(response.status(), 303);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let page = async || {
        let response = client.get(server.at(&location)).header("accept", accept).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["vary"]),
            (200, &"accept".parse().unwrap())
        );
        assert_eq!(response.headers()["cache-control"], "no-store");
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
        response.text().await.unwrap()
    };
    let placeholder = page().await;
    assert!(placeholder.contains("http-equiv=\"refresh\" content=\"2\""), "{placeholder}");
    assert!(placeholder.contains("Your preview is on its way."));
    assert!(!placeholder.contains("<cat>"), "a name is escaped");
    let pid = eventually("a worker parks", SOON, async || std::fs::read_to_string(&marker).ok()).await;
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    let ready = eventually("the page shows the pictures", SOON, async || {
        let page = page().await;
        page.contains("data-state=\"ready\"").then_some(page)
    });
    let ready = ready.await;
    assert!(!ready.contains("http-equiv=\"refresh\""));
    for size in ["small", "medium", "large"] {
        assert!(ready.contains(&format!("href=\"{location}/{size}\"")), "{ready}");
    }
}

#[tokio::test]
async fn the_bare_url_is_answered_to_who_asks_for_plain_text() {
    let server = Start::new().with("--workers", "0").start();
    let post = server
        .client
        .put(server.at("/uploads/cat.png"))
        .header("accept", "text/plain")
        .body(pictures::tiny(1));
    let response = post.send().await.unwrap();
    assert_eq!(response.status(), 202);
    let text = response.text().await.unwrap();
    assert!(
        text.starts_with(&server.at("/uploads/")) && text.ends_with('\n') && text.lines().count() == 1,
        "{text}"
    );
    let prefixed =
        Start::new().with("--workers", "0").with("--public-url", "https://up.example/pictures/").start();
    let upload = prefixed.accepted("cat.png", pictures::tiny(1)).await;
    assert_eq!(upload["links"]["self"], format!("https://up.example/pictures/uploads/{}", id(&upload)));
}

#[tokio::test]
async fn a_part_of_an_original_can_be_asked_for() {
    let server = Start::new().with("--workers", "0").start();
    let bytes = pictures::jpeg(300, 200);
    let upload = server.accepted("cat.jpg", bytes.clone()).await;
    let url = server.at(&format!("/uploads/{}/original", id(&upload)));
    let part = server.client.get(&url).header("range", "bytes=10-19").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()["content-range"], format!("bytes 10-19/{}", bytes.len()).as_str());
    assert_eq!(part.bytes().await.unwrap(), bytes[10..20]);
    let of =
        |etag: &'static str| server.client.get(&url).header("range", "bytes=10-19").header("if-range", etag);
    assert_eq!(of("\"another\"").send().await.unwrap().status(), 200);
    let head = server.client.head(&url).header("range", "bytes=10-19").send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-length"], bytes.len().to_string().as_str());
    let outside = server.client.get(&url).header("range", "bytes=99999999-").send().await.unwrap();
    assert_eq!(outside.status(), 416);
}

#[tokio::test]
async fn a_failed_upload_goes_round_once_more_and_a_ready_one_does_not() {
    let data = integration_tests::server::Data::new();
    let (_, photograph, _) = pictures::photograph(8);
    let hasty = Start::on(&data).with("--job-timeout", "1ms").start();
    let upload = hasty.accepted("photo.jpg", photograph).await;
    let failed = hasty.end(&id(&upload), SOON).await;
    assert_eq!(failed["state"], "failed");
    assert_eq!(failed["error"]["type"], "/problems/took-too-long");
    let gone = hasty.client.get(hasty.at(&format!("/uploads/{}/small", id(&upload)))).send().await.unwrap();
    assert_eq!(gone.status(), 410);
    drop(hasty);

    let server = Start::on(&data).start();
    let mut socket = Socket::connect(&server.url).await;
    socket.subscribe(&[&id(&upload)]).await;
    assert_eq!(socket.message(SOON).await["uploads"][0]["state"], "failed");
    let retry = server.at(&format!("/uploads/{}/retry", id(&upload)));
    let response = server.client.post(&retry).send().await.unwrap();
    assert_eq!(response.status(), 202);
    let queued = json(response).await;
    assert_eq!((&queued["gen"], &queued["state"]), (&2.into(), &"queued".into()));
    let told = socket.message(SOON).await;
    assert_eq!((&told["type"], &told["upload"]["gen"]), (&"upload-changed".into(), &2.into()));
    let ready = socket.end_of(&id(&upload), Duration::from_secs(60)).await;
    assert_eq!(ready["gen"], 2);
    server.assert_ready(&ready).await;
    assert_eq!(server.client.post(&retry).send().await.unwrap().status(), 409);
}

#[tokio::test]
async fn a_retry_that_finds_no_room_changes_nothing() {
    let data = integration_tests::server::Data::new();
    let busy = Start::on(&data).start();
    let failed = id(&busy.accepted("cat.png", pictures::damaged()).await);
    assert_eq!(busy.end(&failed, SOON).await["state"], "failed");
    drop(busy);
    let server = Start::on(&data).with("--workers", "0").with("--max-outbox", "1").start();
    server.accepted("other.png", pictures::tiny(1)).await;
    for _ in 0..2 {
        let retry = server.at(&format!("/uploads/{failed}/retry"));
        let refused = server.client.post(&retry).send().await.unwrap();
        assert_eq!(refused.status(), 503);
        assert!(refused.headers().contains_key("retry-after"));
        let upload = server.upload(&failed).await;
        assert_eq!((&upload["state"], &upload["gen"]), (&"failed".into(), &1.into()));
    }
}

#[tokio::test]
async fn clients_can_ask_for_the_limits_and_for_the_health() {
    let server = Start::new().with("--max-pixels", "5000").start();
    let get = async |path: &str| json(server.client.get(server.at(path)).send().await.unwrap()).await;
    let limits = get("/limits").await;
    assert_eq!((&limits["max_pixels"], &limits["sizes"]["large"]), (&5000.into(), &1024.into()));
    let built_in = worker::Format::ALL.into_iter().filter(|format| format.is_built_in()).count();
    assert_eq!(limits["formats"].as_array().unwrap().len(), built_in);
    assert_eq!(get("/healthz").await["status"], "alive");
    assert_eq!(get("/readyz").await["status"], "ready");
    let page = server.client.get(server.at("/")).send().await.unwrap();
    assert_eq!(page.headers()["content-type"], "text/html");
    assert!(page.headers().contains_key("etag"));
    assert_eq!(server.client.get(server.at("/nothing")).send().await.unwrap().status(), 404);
    assert_eq!(server.client.delete(server.at("/uploads")).send().await.unwrap().status(), 405);
}
