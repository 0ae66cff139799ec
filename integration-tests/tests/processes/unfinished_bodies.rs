//! Bodies that come slowly, break off, or lose their place to another client.

use std::time::Duration;

use integration_tests::{
    patience::{SOON, eventually},
    pictures,
    proxy::{Network, Proxy},
    raw,
    s3::Bucket,
    server::{Data, Server, Start, id, json},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

/// The header of a form, as clients write it.
const FORM: &str = "Content-Type: multipart/form-data; boundary=b\r\n";

/// The fair share of a client.
const OVER_SHARE: usize = 17;

/// A file of a form.
fn part(name: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n");
    [head.as_bytes(), bytes, b"\r\n"].concat()
}

/// Two whole files and a half one.
fn broken_form() -> Vec<u8> {
    let third = part("c.jpg", &pictures::jpeg(640, 480));
    [&part("a.png", &pictures::tiny(1)), &part("b.png", &pictures::tiny(2)), &third[..third.len() / 2]]
        .concat()
}

/// Reads an answer to its end: its status, and its body as JSON.
async fn answer(stream: &mut TcpStream) -> (u16, Value) {
    let mut read = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match timeout(SOON, stream.read(&mut buffer)).await.expect("the server answers") {
            Ok(0) | Err(_) => break,
            Ok(count) => read.extend_from_slice(&buffer[..count]),
        }
        if let Some(whole) = parse(&read) {
            return whole;
        }
    }
    panic!("no whole answer: {}", String::from_utf8_lossy(&read))
}

fn parse(read: &[u8]) -> Option<(u16, Value)> {
    let text = str::from_utf8(read).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).ok()?))
}

/// Asserts that a problem names two uploads, that both become ready, and that nothing else is stored.
async fn assert_names_the_first_two(server: &Server, problem: &Value) {
    let uploads =
        problem["uploads"].as_array().unwrap_or_else(|| panic!("the problem names uploads: {problem}"));
    let names: Vec<_> = uploads.iter().map(|upload| upload["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a.png", "b.png"], "{problem}");
    for upload in uploads {
        server.assert_ready(&server.end(&id(upload), SOON).await).await;
    }
    server.assert_no_temporary_files();
}

#[tokio::test]
async fn a_form_whose_client_stops_writing_in_its_third_file_is_told_of_the_first_two() {
    let server = Start::new().start();
    let body = broken_form();
    let mut stream = raw::begin_upload(&server.url, FORM, body.len() + 1000).await;
    stream.write_all(&body).await.unwrap();
    stream.shutdown().await.unwrap();
    let (status, problem) = answer(&mut stream).await;
    assert_eq!((status, &problem["type"]), (400, &"/problems/malformed".into()), "{problem}");
    assert_names_the_first_two(&server, &problem).await;
    assert_eq!(server.data.uploads().len(), 2);
}

#[tokio::test]
async fn a_form_that_ends_without_a_boundary_is_told_of_the_files_before() {
    let server = Start::new().start();
    let body = broken_form();
    let mut stream = raw::begin_upload(&server.url, FORM, body.len()).await;
    stream.write_all(&body).await.unwrap();
    let (status, problem) = answer(&mut stream).await;
    assert_eq!((status, &problem["type"]), (400, &"/problems/malformed".into()), "{problem}");
    assert_names_the_first_two(&server, &problem).await;
    assert_eq!(server.data.uploads().len(), 2);
}

#[tokio::test]
async fn a_form_whose_third_part_is_nonsense_is_told_of_the_files_before() {
    let server = Start::new().start();
    let parts = [part("a.png", &pictures::tiny(1)), part("b.png", &pictures::tiny(2))].concat();
    let body = [&parts[..], b"--b\r\n\xff\xfe nonsense without a colon\r\n\r\nGIF89a\r\n--b--\r\n"].concat();
    let mut stream = raw::begin_upload(&server.url, FORM, body.len()).await;
    stream.write_all(&body).await.unwrap();
    let (status, problem) = answer(&mut stream).await;
    assert_eq!((status, &problem["type"]), (400, &"/problems/malformed".into()), "{problem}");
    assert_names_the_first_two(&server, &problem).await;
}

/// The rate of a client on a bad network, in bytes per second.
const SLOW: usize = 1000;

/// How long it uploads: several sweeps.
const SLOW_SECONDS: usize = 45;

/// More than a server keeps in memory before it stages an original on its disk, in bytes.
const STAGED: usize = 2 * 1024 * 1024;

/// Uploads some bytes at once and the others at a rate, and answers what the server says and how long the body took.
async fn upload_at_rate(
    server: &Server,
    bytes: &[u8],
    at_once: usize,
    per_second: usize,
) -> (u16, Value, Duration) {
    const PIECES_PER_SECOND: u32 = 4;
    let begun = tokio::time::Instant::now();
    let mut stream = raw::begin_upload(&server.url, "", bytes.len()).await;
    let (head, rest) = bytes.split_at(at_once);
    stream.write_all(head).await.unwrap();
    let mut beat = interval(Duration::from_secs(1) / PIECES_PER_SECOND);
    // A busy machine may delay a piece; the rate stays.
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for piece in rest.chunks(per_second / PIECES_PER_SECOND as usize) {
        beat.tick().await;
        stream.write_all(piece).await.unwrap();
    }
    let took = begun.elapsed();
    let (status, body) = answer(&mut stream).await;
    (status, body, took)
}

/// Waits until a server has staged an original, and then as long as the staged file is there or has become the original.
async fn staged_file_is_lost(server: &Server) {
    let staged = eventually("an original is staged", SOON, async || {
        server.data.files().into_iter().find(|file| file.contains("/original#"))
    })
    .await;
    let original = staged.split('#').next().unwrap();
    loop {
        let staged_before = server.data.files().contains(&staged);
        if !staged_before && !server.data.files().contains(original) {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_body_that_comes_slowly_is_accepted_while_the_sweeper_and_others_work() {
    let server = Start::new().start();
    let picture = |length| {
        let mut picture = pictures::jpeg(64, 64);
        picture.resize(length, 0);
        picture
    };
    let (metered, slow) = (picture(200_000), picture(SLOW * SLOW_SECONDS));
    let staged = picture(STAGED + SLOW * SLOW_SECONDS);
    let staging = async {
        tokio::select! {
            done = upload_at_rate(&server, &staged, STAGED, SLOW) => done,
            () = staged_file_is_lost(&server) => panic!("the file that a live upload writes was removed"),
        }
    };
    let all = tokio::join!(
        upload_at_rate(&server, &metered, 0, 20_000),
        upload_at_rate(&server, &slow, 0, SLOW),
        staging,
    );
    let least = Duration::from_secs(SLOW_SECONDS as u64 - 1);
    assert!(all.1.2 > least && all.2.2 > least, "{:?}, {:?}", all.1.2, all.2.2);
    for (status, body, took) in [all.0, all.1, all.2] {
        assert_eq!(status, 202, "after {took:?}: {body}");
        server.assert_ready(&server.end(&id(&body["uploads"][0]), SOON).await).await;
    }
    let sweeps = server.log().matches("swept the pending uploads").count();
    assert!(sweeps >= 3, "sweeps ran meanwhile: {sweeps}");
    server.assert_no_temporary_files();
}

/// A server whose places one client can hold.
fn small_server() -> Start {
    let places = OVER_SHARE.to_string();
    Start::new()
        .with("--max-concurrent-uploads", &places)
        .with("--max-uploads-per-client", &places)
        .with("--trusted-proxies", "127.0.0.0/8")
}

async fn begin_as(server: &Server, client: &str, headers: &str, length: usize) -> TcpStream {
    raw::begin_upload(&server.url, &format!("X-Forwarded-For: {client}\r\n{headers}"), length).await
}

/// Begins uploads of the client that has one until it holds every place.
async fn hold_other_places(server: &Server) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 1..OVER_SHARE {
        held.push(begin_as(server, "203.0.113.1", "", 90_000).await);
    }
    held
}

#[tokio::test]
async fn an_upload_that_is_evicted_while_its_body_comes_is_told_so_and_nothing_is_stored() {
    let server = small_server().start();
    let picture = pictures::jpeg(640, 480);
    let mut first = begin_as(&server, "203.0.113.1", "", picture.len()).await;
    first.write_all(&picture[..picture.len() / 2]).await.unwrap();
    let _held = hold_other_places(&server).await;
    let newcomer = server.client.post(server.at("/uploads")).header("x-forwarded-for", "203.0.113.2");
    assert_eq!(newcomer.body(pictures::tiny(1)).send().await.unwrap().status(), 202);
    let (status, problem) = answer(&mut first).await;
    assert_eq!((status, &problem["type"]), (503, &"/problems/busy".into()), "{problem}");
    assert!(problem.get("uploads").is_none(), "{problem}");
    eventually("only the newcomer's upload is stored", SOON, async || {
        (server.data.uploads().len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_form_that_is_evicted_in_its_third_file_is_told_of_the_first_two() {
    let server = small_server().start();
    let body = broken_form();
    let mut first = begin_as(&server, "203.0.113.1", FORM, body.len() + 1000).await;
    first.write_all(&body).await.unwrap();
    eventually("two files are accepted", SOON, async || {
        (server.log().matches("accepted name=").count() == 2).then_some(())
    })
    .await;
    let _held = hold_other_places(&server).await;
    let newcomer = server.client.post(server.at("/uploads")).header("x-forwarded-for", "203.0.113.2");
    assert_eq!(newcomer.body(pictures::tiny(3)).send().await.unwrap().status(), 202);
    let (status, problem) = answer(&mut first).await;
    assert_eq!((status, &problem["type"]), (503, &"/problems/busy".into()), "{problem}");
    assert_names_the_first_two(&server, &problem).await;
    assert_eq!(server.data.uploads().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_loses_its_place_after_its_body_was_read_is_accepted_all_the_same() {
    let bucket = Bucket::start().await;
    let proxy = Proxy::to(bucket.port()).await;
    // Its retries are told by the client library.
    let mut start = small_server()
        .with("--storage", &bucket.url)
        .variable("RUST_LOG", "debug,hyper=info,object_store=debug");
    for (name, value) in bucket.variables_through(proxy.port) {
        start = start.variable(name, value);
    }
    let server = start.start();
    server.workers_ready(2).await;
    let picture = pictures::tiny(1);
    let mut first = begin_as(&server, "203.0.113.1", "", picture.len()).await;
    proxy.set(Network::Refuses);
    first.write_all(&picture).await.unwrap();
    eventually("the original is being stored, in vain", SOON, async || {
        server
            .log()
            .lines()
            .any(|line| line.contains("accept{") && line.contains("backing off"))
            .then_some(())
    })
    .await;
    let _held = hold_other_places(&server).await;
    // It has a place, which was the first one's.
    let _newcomer = begin_as(&server, "203.0.113.2", "", 90_000).await;
    proxy.set(Network::Passes);
    let (status, body) = answer(&mut first).await;
    assert_eq!(status, 202, "{body}");
    server.assert_ready(&server.end(&id(&body["uploads"][0]), SOON).await).await;
}

#[tokio::test]
async fn a_form_without_a_length_does_not_fill_the_disk_beyond_the_floor() {
    const FILES: usize = 6;
    let data = Data::new();
    let disk = rustix::fs::statvfs(data.path()).unwrap();
    let floor = disk.f_bavail * disk.f_frsize - 60_000_000;
    let server = Start::on(&data).with("--workers", "0").with("--min-free-bytes", &floor.to_string()).start();
    let file = [pictures::tiny(1), vec![0; 40_000_000]].concat();
    let form = (0..FILES).fold(reqwest::multipart::Form::new(), |form, _| {
        let file = reqwest::Body::wrap_stream(futures::stream::iter([Ok::<_, std::io::Error>(file.clone())]));
        form.part("file", reqwest::multipart::Part::stream(file).file_name("cat.png"))
    });
    let answer = json(server.client.post(server.at("/uploads")).multipart(form).send().await.unwrap()).await;
    let refused = answer["rejected"].as_array().unwrap();
    assert!(
        !refused.is_empty() && refused.iter().all(|one| one["type"] == "/problems/disk-full"),
        "{answer}"
    );
    assert!(server.data.uploads().len() < FILES - 1, "{answer}");
}
