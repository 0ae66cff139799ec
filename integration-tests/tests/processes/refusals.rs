//! Bad input gets a clear answer, and leaves nothing behind.

use std::{process::Command, time::Duration};

use futures::stream;
use integration_tests::{
    patience::{SOON, eventually},
    pictures, raw,
    server::{Server, Start, id, json},
};
use reqwest::{Body, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LIMIT: usize = 100_000;

fn server() -> Server {
    Start::new().with("--max-upload-bytes", &LIMIT.to_string()).with("--max-pixels", "1000000").start()
}

async fn assert_refused(server: &Server, response: Response, status: u16, kind: &str) {
    let content_type = response.headers()["content-type"].clone();
    let problem = json(response).await;
    assert_eq!(problem["status"], status, "{problem}");
    assert_eq!(problem["type"], format!("/problems/{kind}"), "{problem}");
    assert_eq!(content_type, "application/problem+json");
    // A writer that is dropped tidies up in the background.
    eventually("nothing is left", SOON, async || server.data.files().is_empty().then_some(())).await;
}

/// Bytes that begin as a JPEG and go on for so long.
fn long_jpeg(length: usize) -> Vec<u8> {
    let mut bytes = pictures::jpeg(64, 64);
    bytes.resize(length, 0);
    bytes
}

#[tokio::test]
async fn what_is_no_picture_is_refused_by_its_own_name() {
    let server = server();
    for (bytes, looks_like) in [
        (&b"%PDF-1.7\n"[..], "a PDF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "an SVG"),
        (b"hello", "text"),
    ] {
        let response = server.post("cat.jpg", bytes).await;
        let problem = json(response).await;
        assert_eq!(
            (&problem["status"], &problem["looks_like"]),
            (&415.into(), &looks_like.into()),
            "{problem}"
        );
        assert!(problem["title"].as_str().unwrap().contains(looks_like));
    }
    assert_refused(&server, server.post("cat.jpg", &b"\x00\x01\x02\xff"[..]).await, 415, "unsupported").await;
    assert_refused(
        &server,
        server.post("cat.jpg", pictures::jpeg(64, 64)[..15].to_vec()).await,
        415,
        "damaged",
    )
    .await;
}

#[tokio::test]
async fn an_unsupported_kind_is_refused_by_its_own_name() {
    let server = server();
    let mut deep = pictures::jpeg(64, 64);
    let frame = deep.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    deep[frame + 4] = 12;
    let problem = json(server.post("deep.jpg", deep.clone()).await).await;
    assert_eq!(problem["title"], "A JPEG with more than 8 bits per sample is not supported.", "{problem}");
    assert_refused(&server, server.post("deep.jpg", deep).await, 415, "unsupported-kind").await;
    // A DNG begins as a TIFF, with a directory that has a tag of its own.
    let dng: &[u8] = b"II*\0\x08\0\0\0\x01\0\x12\xc6\x01\0\x04\0\0\0\x01\x04\0\0\0\0\0\0";
    for (bytes, looks_like) in [
        (dng, "a camera raw file (DNG)"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "a camera raw file (CR3)"),
        (b"\xff\x0a a codestream", "a JPEG XL picture"),
    ] {
        let problem = json(server.post("photo", bytes).await).await;
        assert_eq!(
            (&problem["status"], &problem["looks_like"]),
            (&415.into(), &looks_like.into()),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn an_upload_that_is_cut_short_is_ready_with_a_warning_or_failed_by_name() {
    let server = server();
    let jpeg = pictures::jpeg(320, 240);
    let cut = |part: usize| jpeg[..jpeg.len() * part / 100].to_vec();
    let ready = server.end(&id(&server.accepted("cut.jpg", cut(80)).await), SOON).await;
    assert_eq!((&ready["state"], &ready["warnings"]), (&"ready".into(), &serde_json::json!(["cut-short"])));
    let failed = server.end(&id(&server.accepted("cut.jpg", cut(30)).await), SOON).await;
    assert_eq!(
        (&failed["state"], &failed["error"]["type"]),
        (&"failed".into(), &"/problems/cannot-be-decoded".into())
    );
    let whole = server.end(&id(&server.accepted("whole.jpg", jpeg.clone()).await), SOON).await;
    assert_eq!(whole["warnings"], serde_json::Value::Null, "{whole}");
}

#[tokio::test]
async fn exactly_the_limit_passes_and_one_more_byte_does_not() {
    let server = server();
    let response = server.client.post(server.at("/uploads")).body(long_jpeg(LIMIT)).send().await.unwrap();
    assert_eq!(response.status(), 202);
    let upload = json(response).await["uploads"][0].take();
    server.end(&id(&upload), SOON).await;
    std::fs::remove_dir_all(server.data.upload(&id(&upload))).unwrap();

    let declared = server.client.post(server.at("/uploads")).body(long_jpeg(LIMIT + 1)).send().await.unwrap();
    assert_refused(&server, declared, 413, "too-large").await;
    assert_refused(&server, server.post("cat.jpg", long_jpeg(LIMIT + 1)).await, 413, "too-large").await;
    let chunks: Vec<std::io::Result<Vec<u8>>> =
        long_jpeg(LIMIT + 1).chunks(1000).map(|chunk| Ok(chunk.to_vec())).collect();
    let chunked =
        server.client.post(server.at("/uploads")).body(Body::wrap_stream(stream::iter(chunks))).send();
    assert_refused(&server, chunked.await.unwrap(), 413, "too-large").await;
}

#[tokio::test]
async fn curl_can_read_why_a_large_file_was_refused() {
    let server = server();
    let file = server.data.path().join("large.jpg");
    std::fs::write(&file, long_jpeg(20_000_000)).unwrap();
    let (form, data, url) =
        (format!("file=@{}", file.display()), format!("@{}", file.display()), server.at("/uploads"));
    for arguments in [
        vec!["-F", &form],
        vec!["-F", &form, "-H", "Expect:"],
        vec!["-T", file.to_str().unwrap()],
        vec!["--data-binary", &data, "-H", "Expect:"],
        vec!["--data-binary", &data, "-H", "Expect:", "-H", "Transfer-Encoding: chunked"],
    ] {
        let curl = Command::new("curl")
            .args(["-sS", "-w", "%{http_code}"])
            .args(&arguments)
            .arg(&url)
            .output()
            .unwrap();
        let answer = String::from_utf8_lossy(&curl.stdout).into_owned();
        assert!(
            answer.ends_with("413") && answer.contains("/problems/too-large"),
            "{arguments:?}: {answer} {curl:?}"
        );
    }
    assert!(server.data.files().is_empty());
}

#[tokio::test]
async fn too_many_pixels_are_refused_from_the_header_alone() {
    let server = server();
    // 34 bytes that ask for 268 megapixels.
    let webp = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\xff\xff\xff\x0f\0\0\0\0\0\0\0\0";
    assert_refused(&server, server.post("bomb.webp", &webp[..]).await, 422, "too-many-pixels").await;
}

#[tokio::test]
async fn broken_requests_are_told_what_is_wrong_with_them() {
    let server = server();
    let post = |content_type: &str, body: &'static str| {
        server.client.post(server.at("/uploads")).header("content-type", content_type).body(body).send()
    };
    assert_refused(&server, post("image/jpeg", "").await.unwrap(), 400, "empty").await;
    assert_refused(&server, server.post("cat.jpg", "").await, 400, "empty").await;
    assert_refused(&server, post("multipart/form-data", "x").await.unwrap(), 400, "malformed").await;
    assert_refused(&server, post("multipart/form-data; boundary=b", "x").await.unwrap(), 400, "malformed")
        .await;
    assert_refused(
        &server,
        post("multipart/form-data; boundary=b", "--b--\r\n").await.unwrap(),
        400,
        "no-file",
    )
    .await;
    let text = reqwest::multipart::Form::new().text("comment", "no file");
    let no_file = server.client.post(server.at("/uploads")).multipart(text).send().await.unwrap();
    assert_refused(&server, no_file, 400, "no-file").await;
    let cut = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.gif\"\r\n\r\nGIF89a";
    assert_refused(&server, post("multipart/form-data; boundary=b", cut).await.unwrap(), 400, "malformed")
        .await;
}

#[tokio::test]
async fn a_page_of_another_site_cannot_upload() {
    let server = server();
    let post = |origin: &str| {
        server.client.post(server.at("/uploads")).header("origin", origin).body(pictures::tiny(1)).send()
    };
    assert_refused(&server, post("https://evil.example").await.unwrap(), 403, "cross-site").await;
    assert_eq!(post(&server.url).await.unwrap().status(), 202);
}

#[tokio::test]
async fn unknown_uploads_and_odd_ids_are_not_found() {
    let server = server();
    for id in [
        "0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10",
        "nonsense",
        "..%2f..%2fetc%2fpasswd",
        "%00",
        "0199F3C2-7D7A-7C1E-9A55-3B0F6A2C9D10",
    ] {
        for part in ["", "/small", "/original", "/events"] {
            let response =
                server.client.get(server.at(&format!("/uploads/{id}{part}"))).send().await.unwrap();
            assert_eq!(response.status(), 404, "{id}{part}");
            assert_eq!(json(response).await["type"], "/problems/unknown-upload", "{id}{part}");
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_half_way_leaves_nothing() {
    let server = server();
    let address = raw::address(&server.url);
    let mut client = raw::connect(&server.url).await;
    let head = format!("POST /uploads HTTP/1.1\r\nHost: {address}\r\nContent-Length: 90000\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&long_jpeg(50_000)).await.unwrap();
    client.flush().await.unwrap();
    drop(client);
    // The server still takes the next one.
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    server.end(&id(&upload), SOON).await;
    eventually("only the good one is left", SOON, async || (server.data.uploads().len() == 1).then_some(()))
        .await;
}

#[tokio::test]
async fn a_body_that_trickles_is_cut_with_408_and_others_are_unharmed() {
    let server = server();
    let address = raw::address(&server.url);
    let mut client = raw::connect(&server.url).await;
    let head = format!("POST /uploads HTTP/1.1\r\nHost: {address}\r\nContent-Length: 90000\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    let picture = long_jpeg(90_000);
    let mut answer = Vec::new();
    let trickle = async {
        for byte in picture {
            if client.write_all(&[byte]).await.is_err() {
                break;
            }
            let mut buffer = [0; 4096];
            match tokio::time::timeout(Duration::from_secs(1), client.read(&mut buffer)).await {
                Ok(Ok(read)) => {
                    answer.extend_from_slice(&buffer[..read]);
                    break;
                }
                Ok(Err(_)) => break,
                Err(_) => {}
            }
        }
    };
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    server.end(&id(&upload), SOON).await;
    tokio::time::timeout(Duration::from_secs(60), trickle).await.expect("the trickle is cut");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(server.data.uploads().len(), 1);
}

#[tokio::test]
async fn a_full_outbox_refuses_with_503_and_keeps_nothing() {
    let server = Start::new().with("--workers", "0").with("--max-outbox", "3").start();
    for seed in 0..3 {
        server.accepted("cat.png", pictures::tiny(seed)).await;
    }
    let refused = server.post("cat.png", pictures::tiny(4)).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(server.data.uploads().len(), 3);
    assert_eq!(server.client.get(server.at("/readyz")).send().await.unwrap().status(), 503);
}

#[tokio::test]
async fn a_full_disk_refuses_with_507_keeps_nothing_and_recovers() {
    // No file may grow past 2 MB: so many blocks of 512 bytes.
    let server = Start::new().limited("-f 4000").start();
    let refused = server.post("photo.jpg", long_jpeg(3_000_000)).await;
    assert_eq!(refused.status(), 507);
    eventually("nothing is left", SOON, async || server.data.files().is_empty().then_some(())).await;
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    server.assert_ready(&server.end(&id(&upload), SOON).await).await;
}
