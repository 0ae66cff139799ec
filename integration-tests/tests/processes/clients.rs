//! Clients of the real world: forms as they are written, refusals that are read, and questions that stay cheap.

use std::{net::IpAddr, time::Duration};

use integration_tests::{
    patience::SOON,
    pictures, raw, repository,
    server::{Server, Start, id, json},
};
use reqwest::{Response, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
    time::{sleep, timeout},
};

const UNKNOWN: &str = "0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10";

/// A part of a form: its header lines, and its bytes.
type Part<'a> = (&'a [u8], Vec<u8>);

/// Posts a form, byte by byte as given.
async fn post_form(server: &Server, content_type: &str, boundary: &str, parts: &[Part<'_>]) -> Response {
    let mut body = Vec::new();
    for (headers, bytes) in parts {
        body.extend(format!("--{boundary}\r\n").into_bytes());
        body.extend(*headers);
        body.extend(b"\r\n\r\n");
        body.extend(bytes);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{boundary}--\r\n").into_bytes());
    let post = server.client.post(server.at("/uploads")).header("content-type", content_type);
    post.body(body).send().await.unwrap()
}

#[tokio::test]
async fn no_file_of_a_form_is_left_out_in_silence() {
    let server = Start::new().with("--workers", "0").start();
    let picture = |seed| pictures::tiny(seed);
    let parts: [Part<'_>; 9] = [
        (b"Content-Disposition: form-data; name=\"a\"; filename=\"caf\xe9.png\"", picture(1)),
        (b"Content-Disposition: form-data; name=\"a\"; filename*=utf-8''caf%C3%A9-2.png", picture(2)),
        (b"Content-Disposition: form-data; name=a; filename=\"=?utf-8?B?Y2Fmw6ktMy5wbmc=?=\"", picture(3)),
        (b"Content-Disposition: form-data; name=\"a\"; filename=\"caf%C3%A9-4.png\"", picture(4)),
        (b"Content-Disposition: form-data; name=\"photo\"", picture(5)),
        (
            b"Content-Disposition: form-data; name=\"photo\"; filename=\"\"\r\nContent-Type: image/png",
            picture(6),
        ),
        (b"Content-Type: image/png", picture(7)),
        (b"Content-Disposition: form-data; name=\"photo\"; filename=\"\"", b"no picture".to_vec()),
        (b"Content-Disposition: form-data; name=\"comment\"", b"a field".to_vec()),
    ];
    let answer = post_form(&server, "multipart/form-data; boundary=b", "b", &parts).await;
    assert_eq!(answer.status(), 202);
    let answer = json(answer).await;
    let names: Vec<_> =
        answer["uploads"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    let expected = ["café.png", "café-2.png", "café-3.png", "café-4.png", "untitled", "untitled", "untitled"];
    assert_eq!(names, expected);
    let rejected = answer["rejected"].as_array().unwrap();
    assert_eq!((rejected.len(), &rejected[0]["type"]), (1, &"/problems/unsupported".into()), "{answer}");
    assert_eq!(server.data.uploads().len(), expected.len());
}

#[tokio::test]
async fn boundaries_and_types_of_forms_are_read_as_clients_write_them() {
    let server = Start::new().with("--workers", "0").start();
    let part: [Part<'_>; 1] =
        [(b"Content-Disposition: form-data; name=\"file\"; filename=\"cat.png\"", pictures::tiny(1))];
    for (content_type, boundary) in [
        ("multipart/form-data; boundary=----=_Part_1=", "----=_Part_1="),
        ("multipart/form-data; boundary=\"a b\"", "a b"),
        ("Multipart/Form-Data; BOUNDARY=x", "x"),
        ("multipart/form-data; charset=utf-8; boundary=x", "x"),
        ("multipart/mixed; boundary=x", "x"),
    ] {
        let answer = post_form(&server, content_type, boundary, &part).await;
        assert_eq!(answer.status(), 202, "{content_type}");
    }
    let answer = post_form(&server, "multipart/form-data", "x", &part).await;
    assert_eq!(json(answer).await["type"], "/problems/malformed");
}

#[tokio::test]
async fn no_part_of_a_form_that_may_be_a_picture_is_left_out_in_silence() {
    let server = Start::new().with("--workers", "0").start();
    let jpeg_xl = b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ".to_vec();
    let inner = b"--i\r\nContent-Disposition: file; filename=\"cat.png\"\r\n\r\nx\r\n--i--".to_vec();
    let parts: [Part<'_>; 5] = [
        (b"Content-Disposition: form-data; name=\"file\"; filename=\"cat.png\"", pictures::tiny(1)),
        (b"Content-Disposition: form-data; name=\"picture\"", jpeg_xl),
        (
            b"Content-Disposition: form-data; name=\"picture\"\r\nContent-Type: application/octet-stream",
            b"anything".to_vec(),
        ),
        (
            b"Content-Disposition: form-data; name=\"photos\"\r\nContent-Type: multipart/mixed; boundary=i",
            inner,
        ),
        (b"Content-Disposition: form-data; name=\"caption\"", "MZ \u{e9}t\u{e9}\r\n".into()),
    ];
    let answer = json(post_form(&server, "multipart/form-data; boundary=x", "x", &parts).await).await;
    let counts = ["uploads", "rejected"].map(|list| answer[list].as_array().unwrap().len());
    assert_eq!(counts, [1, 3], "{answer}");
}

#[tokio::test]
async fn a_client_that_sends_first_reads_every_refusal() {
    let server = Start::new().with("--workers", "0").start();
    let body = vec![b'x'; 18_000_000];
    let upload = format!("/uploads/{UNKNOWN}");
    for (method, path, status) in [
        ("POST", "/upload", "404"),
        ("PUT", "/limits", "405"),
        ("POST", "/uploads/nonsense/retry", "404"),
        ("POST", &format!("{upload}/retry"), "404"),
        ("POST", &format!("{upload}/delete"), "400"),
        ("DELETE", &upload, "401"),
    ] {
        for _ in 0..5 {
            let mut stream = raw::connect(&server.url).await;
            let head =
                format!("{method} {path} HTTP/1.1\r\nHost: up\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).await.unwrap();
            // A client that writes all of its body before it reads.
            stream.write_all(&body).await.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
            let mut answer = String::new();
            timeout(SOON, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        }
    }
}

#[tokio::test]
async fn an_event_stream_that_ended_is_not_asked_for_again() {
    let server = Start::new().start();
    let upload = id(&server.accepted("cat.png", pictures::tiny(1)).await);
    server.end(&upload, SOON).await;
    let events = || server.client.get(server.at(&format!("/uploads/{upload}/events")));
    let answer = events().send().await.unwrap();
    assert_eq!(answer.headers()["x-accel-buffering"], "no");
    let text = answer.text().await.unwrap();
    let last =
        text.lines().filter_map(|line| line.strip_prefix("id:")).next_back().unwrap().trim().to_owned();
    let again = events().header("last-event-id", &last).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NO_CONTENT, "{text}");
    let older = events().header("last-event-id", "1-upload-changed").send().await.unwrap();
    assert_eq!(older.status(), 200);
}

#[tokio::test]
async fn a_form_that_hides_its_origin_is_accepted_and_a_rebound_name_is_not() {
    let server = Start::new().with("--workers", "0").start();
    let post = |origin: &str, host: Option<&str>, site: Option<&str>| {
        let mut post =
            server.client.post(server.at("/uploads")).header("origin", origin).body(pictures::tiny(1));
        if let Some(host) = host {
            post = post.header("host", host);
        }
        if let Some(site) = site {
            post = post.header("sec-fetch-site", site);
        }
        post.send()
    };
    assert_eq!(post("null", None, Some("same-origin")).await.unwrap().status(), 202);
    assert_eq!(post("null", None, Some("cross-site")).await.unwrap().status(), 403);
    let rebound = post("http://evil.example", Some("evil.example"), None).await.unwrap();
    assert_eq!(rebound.status(), 403);
    assert!(json(rebound).await["detail"].as_str().unwrap().contains("--public-url"));
    assert_eq!(post("http://localhost", Some("localhost"), None).await.unwrap().status(), 202);
}

#[tokio::test]
async fn below_the_floor_of_free_space_uploads_are_refused_and_accepted_ones_end() {
    let server = Start::new().start();
    let upload = id(&server.accepted("cat.png", pictures::tiny(1)).await);
    server.end(&upload, SOON).await;
    let full = Start::new().with("--min-free-bytes", &u64::MAX.to_string()).start();
    let refused = full.post("cat.png", pictures::tiny(1)).await;
    assert_eq!(refused.status(), 507);
    assert_eq!(json(refused).await["type"], "/problems/disk-full");
    assert!(full.data.uploads().is_empty());
}

#[tokio::test]
async fn readiness_keeps_its_reasons_for_operators() {
    let server = Start::new()
        .with("--workers", "0")
        .with("--max-outbox", "1")
        .with("--admin-listen", "127.0.0.1:0")
        .start();
    server.accepted("cat.png", pictures::tiny(1)).await;
    let public = server.client.get(server.at("/readyz")).send().await.unwrap();
    assert_eq!(public.status(), 503);
    let public = public.text().await.unwrap();
    assert!(public.contains("/problems/not-ready") && !public.contains("outbox"), "{public}");
    let admin = server.admin().await.replace("/metrics", "/readyz");
    let admin = server.client.get(admin).send().await.unwrap();
    assert_eq!(admin.status(), 503);
    assert_eq!(admin.text().await.unwrap(), "not ready\nthe outbox is full\n");
}

#[tokio::test]
async fn a_client_that_asks_for_unknown_uploads_without_end_is_told_to_slow_down() {
    let server = Start::new().with("--workers", "0").with("--trusted-proxies", "127.0.0.1").start();
    let get = |client: &str| {
        server.client.get(server.at(&format!("/uploads/{UNKNOWN}"))).header("x-forwarded-for", client).send()
    };
    let mut statuses = Vec::new();
    // 1000 at once, and as many more as the budget fills meanwhile.
    while statuses.last() != Some(&429) && statuses.len() < 5000 {
        statuses.push(get("203.0.113.1").await.unwrap().status().as_u16());
    }
    assert_eq!((statuses[0], statuses.last()), (404, Some(&429)), "after {}", statuses.len());
    let slowed = loop {
        let answer = get("203.0.113.1").await.unwrap();
        if answer.status() == 429 {
            break answer;
        }
    };
    assert!(slowed.headers().contains_key("retry-after"));
    assert_eq!(json(slowed).await["type"], "/problems/slow-down");
    assert_eq!(get("203.0.113.2").await.unwrap().status(), 404, "other clients have their own budget");
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(get("203.0.113.1").await.unwrap().status(), 404, "the budget fills again");
}

#[tokio::test]
async fn a_client_that_retries_unknown_uploads_without_end_is_told_to_slow_down() {
    let server = Start::new().with("--workers", "0").start();
    let retry = || server.client.post(server.at(&format!("/uploads/{UNKNOWN}/retry"))).send();
    let mut statuses = Vec::new();
    while statuses.last() != Some(&429) && statuses.len() < 5000 {
        statuses.push(retry().await.unwrap().status().as_u16());
    }
    assert_eq!((statuses[0], statuses.last()), (404, Some(&429)), "after {}", statuses.len());
}

/// Requests whose bodies are refused unread, and the problems that clients must read.
const REFUSED: [(&str, &str); 4] = [
    ("POST /uploads", "413 /problems/too-large"),
    ("PUT /uploads/large.jpg", "413 /problems/too-large"),
    ("POST /upload", "404 /problems/not-found"),
    ("PUT /limits", "405 /problems/method-not-allowed"),
];

/// Runs a client of another language and asserts that each of its requests read its refusal.
async fn assert_reads_refusals(program: &str, script: &str, clients: usize, rounds: usize) {
    let server = Start::new().with("--workers", "0").with("--max-upload-bytes", "1000000").start();
    let script = repository::root().join("integration-tests/tests/processes/clients").join(script);
    let output = Command::new(program)
        .arg(script)
        .args([&server.url, "18000000", &rounds.to_string()])
        .args(REFUSED.map(|(request, _)| request))
        .output()
        .await
        .unwrap();
    let (answers, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{answers}\n{errors}");
    for (request, problem) in REFUSED {
        let (status, kind) = problem.split_once(' ').unwrap();
        // Without a length, the first bytes are read, and they are no picture.
        let unsupported = format!("requests-chunked {request} 415 /problems/unsupported");
        let answered = |line: &&str| {
            (line.contains(&format!(" {request} {status} ")) && line.contains(kind)) || *line == unsupported
        };
        assert_eq!(
            answers.lines().filter(answered).count(),
            clients * rounds,
            "{request}:\n{answers}\n{errors}"
        );
    }
}

#[tokio::test]
async fn python_clients_read_refusals_of_bodies_that_they_send_first() {
    assert_reads_refusals("/usr/bin/python3", "refusals.py", 3, 5).await;
}

#[tokio::test]
async fn node_reads_refusals_of_bodies_that_it_sends_first() {
    assert_reads_refusals("node", "refusals.mjs", 1, 10).await;
}

#[tokio::test]
async fn a_client_that_begins_with_http_2_is_told_to_use_1_1() {
    let server = Start::new().with("--workers", "0").start();
    let mut stream = raw::connect(&server.url).await;
    // In two pieces, as a slow network may deliver it.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(30)).await;
    stream.write_all(b"SM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut answer = Vec::new();
    timeout(SOON, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    // An empty SETTINGS frame, then GOAWAY with the code HTTP_1_1_REQUIRED.
    assert_eq!(answer[..9], [0, 0, 0, 4, 0, 0, 0, 0, 0]);
    assert_eq!((answer[12], &answer[22..26]), (7, &[0, 0, 0, 0x0d][..]));
    assert_eq!(usize::from(answer[11]), answer.len() - 18);
    // A client of HTTP/1.1 whose first letters are the same.
    let answer = raw::exchange(&server.url, b"PRIVATE / HTTP/1.1\r\nHost: up\r\n\r\n", SOON).await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
}

#[tokio::test]
async fn a_short_idempotency_key_counts_for_its_own_client_and_a_long_one_for_all() {
    let server = Start::new().with("--workers", "0").start();
    let put = async |last: u8, key: &str| {
        let own = reqwest::Client::builder().local_address(IpAddr::from([127, 0, 0, last])).build().unwrap();
        let put = own.put(server.at("/uploads/cat.png")).header("Idempotency-Key", key);
        id(&json(put.body(pictures::tiny(1)).send().await.unwrap()).await["uploads"][0])
    };
    assert_eq!(put(2, "1").await, put(2, "1").await);
    assert_ne!(put(2, "1").await, put(3, "1").await, "a key that another client may guess");
    let long = "5f0c2a9e-7d7a-4c1e";
    assert_eq!(put(2, long).await, put(3, long).await, "the same phone in another network");
}

#[tokio::test]
async fn a_page_behind_a_proxy_that_rewrites_host_is_refused_with_a_cure_that_the_log_says_once() {
    let server = Start::new().with("--workers", "0").start();
    for _ in 0..3 {
        let post = server.client.post(server.at("/uploads")).header("Origin", "https://up.example");
        let refused =
            post.header("Sec-Fetch-Site", "same-origin").body(pictures::tiny(1)).send().await.unwrap();
        assert_eq!(refused.status(), 403);
        assert!(json(refused).await["detail"].as_str().unwrap().contains("--public-url"));
    }
    assert_eq!(server.log().matches("set --public-url").count(), 1);
    let server = Start::new().with("--workers", "0").start();
    let post = server.client.post(server.at("/uploads")).header("Origin", "https://evil.example");
    assert_eq!(post.body(pictures::tiny(1)).send().await.unwrap().status(), 403);
    assert_eq!(
        server.log().matches("set --public-url").count(),
        0,
        "a page of another site is no misconfiguration"
    );
}

#[tokio::test]
async fn an_original_is_stored_without_its_location_if_the_operator_says_so() {
    let exif = exif_with_location();
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    let mut photograph = pictures::jpeg(1200, 900);
    photograph.splice(2..2, [&[0xFF, 0xE1][..], &length, &exif].concat());
    for (setting, is_kept) in [("false", true), ("true", false)] {
        let server = Start::new().variable("UP_STRIP_LOCATION", setting).start();
        let put = |key: &str| {
            let put = server.client.put(server.at("/uploads/cat.jpg")).header("Idempotency-Key", key);
            put.body(photograph.clone()).send()
        };
        let upload = json(put("one-key-of-16-bytes").await.unwrap()).await["uploads"][0].take();
        let original = server.client.get(server.at(&format!("/uploads/{}/original", id(&upload)))).send();
        let original = original.await.unwrap().bytes().await.unwrap();
        assert_eq!(original.len(), photograph.len());
        let has = |bytes: &[u8]| original.windows(bytes.len()).any(|window| window == bytes);
        assert_eq!((has(LATITUDE), has(b"Canon\0")), (is_kept, true));
        assert!(original.ends_with(&photograph[2 + 2 + 2 + exif.len()..]), "the pixels are as they were");
        assert_eq!(server.end(&id(&upload), SOON).await["width"], 900, "the orientation is kept");
        let again = json(put("one-key-of-16-bytes").await.unwrap()).await;
        assert_eq!(again["uploads"][0]["id"], upload["id"], "the bytes that were sent count");
    }
}

const LATITUDE: &[u8] = &[0, 0, 0, 48, 0, 0, 0, 1, 0, 0, 0, 12, 0, 0, 0, 1];

/// A block that turns the picture, names a camera, and has a location.
fn exif_with_location() -> Vec<u8> {
    let entry = |tag: u16, kind: u16, count: u32, value: u32| {
        [&tag.to_be_bytes()[..], &kind.to_be_bytes(), &count.to_be_bytes(), &value.to_be_bytes()].concat()
    };
    let (gps, camera, latitude) = (50, 68, 74);
    [
        &b"Exif\0\0MM\0*\0\0\0\x08\0\x03"[..],
        &entry(0x010F, 2, 6, camera),
        &entry(0x0112, 3, 1, 6 << 16),
        &entry(0x8825, 4, 1, gps),
        &[0; 4],
        b"\0\x01",
        &entry(2, 5, 2, latitude),
        &[0; 4],
        b"Canon\0",
        LATITUDE,
    ]
    .concat()
}
