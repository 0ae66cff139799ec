//! Clients that mean no good: they cost themselves something, and nobody else.

use std::{
    fs,
    time::{Duration, Instant},
};

use futures::{future::join_all, stream};
use integration_tests::{
    patience::{SOON, eventually},
    pictures, raw,
    server::{Data, Server, Start, id, json},
    socket::{self, Came, Socket},
};
use reqwest::Body;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

/// How long a connection is listened to that should have been answered.
const SILENCE: Duration = Duration::from_secs(3);

/// The time of an upload while hostile clients are at work, on a machine that is busy with other tests.
const UNDISTURBED: Duration = Duration::from_secs(2);

async fn half_open(server: &Server, count: usize) -> Vec<TcpStream> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = raw::connect(&server.url).await;
        stream.write_all(b"POST /uploads HTTP/1.1\r\nHost: up\r\nX-Slow: ").await.unwrap();
        streams.push(stream);
    }
    streams
}

async fn assert_undisturbed(server: &Server) {
    for seed in 0..10 {
        let begun = Instant::now();
        // A connection of its own, as a new client has.
        let client = reqwest::Client::new();
        let answer = client.post(server.at("/uploads")).body(pictures::tiny(seed)).send().await.unwrap();
        let took = begun.elapsed();
        assert_eq!(answer.status(), 202);
        assert!(took < UNDISTURBED, "{took:?}");
    }
}

#[tokio::test]
async fn a_stranger_with_two_thousand_half_open_connections_does_not_slow_an_upload() {
    let server = Start::new().start();
    let hostile = half_open(&server, 2000).await;
    assert_undisturbed(&server).await;
    drop(hostile);
}

#[tokio::test]
async fn when_there_are_too_many_connections_the_ones_that_say_nothing_make_room() {
    let server = Start::new().with("--max-connections", "50").with("--admin-listen", "127.0.0.1:0").start();
    let mut hostile = Vec::new();
    for _ in 0..4 {
        hostile.extend(half_open(&server, 40).await);
        assert_undisturbed(&server).await;
    }
    assert!(server.figure("up_connections_let_go_total").await >= Some(110.0));
    drop(hostile);
}

#[tokio::test]
async fn when_there_are_too_many_connections_a_client_that_has_most_of_them_makes_room() {
    let server = Start::new().with("--workers", "0").with("--max-connections", "50").start();
    // More than the system buffers for a connection.
    let mut picture = pictures::jpeg(640, 480);
    picture.resize(20_000_000, 0);
    let upload = id(&server.accepted("large.jpg", picture).await);
    let request = format!("GET /uploads/{upload}/original HTTP/1.1\r\nHost: up\r\n\r\n");
    let mut hostile = Vec::new();
    for _ in 0..60 {
        let mut stream = raw::connect_from("127.0.0.2", &server.url).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        // It is being answered, and reads no more of that.
        timeout(SOON, stream.read_u8()).await.expect("a stranger is in nobody's way").unwrap();
        hostile.push(stream);
    }
    assert_undisturbed(&server).await;
    drop(hostile);
}

#[tokio::test]
async fn clients_that_hold_every_place_with_uploads_that_never_end_give_one_to_who_has_none() {
    let server =
        Start::new().with("--max-concurrent-uploads", "40").with("--max-uploads-per-client", "20").start();
    let mut hostile = Vec::new();
    for own in ["127.0.0.2", "127.0.0.3"] {
        for _ in 0..20 {
            let stream = raw::connect_from(own, &server.url).await;
            hostile.push(raw::begin_upload_on(stream, "", 50_000_000).await);
        }
    }
    assert_undisturbed(&server).await;
    // The oldest of one of them is told so, and is let go.
    let (some, others) = hostile.split_at_mut(20);
    let mut refusals = [String::new(), String::new()];
    let [one, other] = &mut refusals;
    let told = async {
        tokio::select! {
            told = some[0].read_to_string(one) => told,
            told = others[0].read_to_string(other) => told,
        }
    };
    timeout(SOON, told).await.unwrap().unwrap();
    let refusal = refusals.concat();
    assert!(refusal.starts_with("HTTP/1.1 503") && refusal.contains("retry-after"), "{refusal}");
}

#[tokio::test]
async fn where_few_files_may_be_open_fewer_connections_are_and_uploads_go_on() {
    let server = Start::new().limited("-n 1224").start();
    let hostile = half_open(&server, 1500).await;
    assert_undisturbed(&server).await;
    drop(hostile);
    assert!(
        server.log().contains("the open-file limit allows fewer connections, sockets and uploads"),
        "{}",
        server.log()
    );
}

#[tokio::test]
async fn a_client_that_reads_nothing_of_its_answer_is_let_go() {
    let server = Start::new().with("--workers", "0").with("--admin-listen", "127.0.0.1:0").start();
    // More than the system buffers for a connection.
    let mut picture = pictures::jpeg(640, 480);
    picture.resize(40_000_000, 0);
    let upload = server.accepted("large.jpg", picture).await;
    let open = async |count: f64| (server.figure("up_connections").await == Some(count)).then_some(());
    eventually("the upload's own connection is closed", SOON, async || open(0.0).await).await;
    let mut stream = raw::connect(&server.url).await;
    let request = format!("GET /uploads/{}/original HTTP/1.1\r\nHost: up\r\n\r\n", id(&upload));
    stream.write_all(request.as_bytes()).await.unwrap();
    eventually("it is connected", SOON, async || open(1.0).await).await;
    let begun = Instant::now();
    eventually("it is let go", Duration::from_secs(90), async || open(0.0).await).await;
    println!("let go after {:?}", begun.elapsed());
    drop(stream);
}

#[tokio::test]
async fn headers_that_do_not_come_end_the_connection() {
    let server = Start::new().start();
    let begun = Instant::now();
    let answer =
        raw::exchange(&server.url, b"GET / HTTP/1.1\r\nHost: up\r\nX-Slow: ", Duration::from_secs(60)).await;
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn framing_that_can_be_read_in_two_ways_gets_one_refusal_or_none_and_never_a_second_answer() {
    let server = Start::new().start();
    let smuggled = "GET /limits HTTP/1.1\r\nHost: up\r\n\r\n";
    let both = format!(
        "POST /uploads HTTP/1.1\r\nHost: up\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
        5 + smuggled.len()
    );
    let with_body =
        |framing: &str| format!("POST /uploads HTTP/1.1\r\nHost: up\r\n{framing}\r\n\r\n0\r\n\r\n{smuggled}");
    let attacks = [
        both,
        with_body("Content-Length: 5\r\nContent-Length: 0"),
        with_body("Content-Length: +5"),
        with_body("Content-Length: -1"),
        with_body("Content-Length: 99999999999999999999999999"),
        with_body("Transfer-Encoding: chunked, identity"),
        with_body("Transfer-Encoding: xchunked"),
        with_body("Transfer-Encoding : chunked"),
        format!(
            "POST /uploads HTTP/1.1\r\nHost: up\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n{smuggled}"
        ),
        format!(
            "POST /uploads HTTP/1.1\r\nHost: up\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx{smuggled}"
        ),
        format!("GET / HTTP/1.1\r\nHost: up\r\nX: a\nb\r\n\r\n{smuggled}"),
        format!("\0\0\0\0\r\n\r\n{smuggled}"),
        "GET / HTTP/1.1\r\n".to_owned() + &"X: y\r\n".repeat(20_000) + "\r\n",
        format!("GET /{} HTTP/1.1\r\nHost: up\r\n\r\n", "a".repeat(200_000)),
    ];
    let answers =
        join_all(attacks.iter().map(|attack| raw::exchange(&server.url, attack.as_bytes(), SILENCE)));
    for (attack, answer) in attacks.iter().zip(answers.await) {
        let attack: String = attack.chars().take(120).collect();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{attack:?}: {answer}");
        assert!(answer.matches("HTTP/1.1").count() <= 1, "{attack:?}: {answer}");
    }
    server.accepted("cat.png", pictures::tiny(1)).await;
}

#[tokio::test]
async fn fifty_uploads_at_the_limit_leave_the_servers_memory_flat() {
    const LIMIT: usize = 20 * 1024 * 1024;
    // Two megabytes of each, of twenty that come in.
    const FLAT_KB: u64 = 50 * 2 * 1024;
    let server = Start::new().with("--workers", "0").with("--max-upload-bytes", &LIMIT.to_string()).start();
    let peak = || {
        let status = fs::read_to_string(format!("/proc/{}/status", server.pid().as_raw_nonzero())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    server.accepted("cat.png", pictures::tiny(1)).await;
    let before = peak();
    let photo = bytes::Bytes::from(pictures::jpeg(640, 480));
    let zeros = bytes::Bytes::from(vec![0; 64 * 1024]);
    let uploads = (0..50).map(|_| {
        let rest = LIMIT - photo.len();
        let pieces = std::iter::once(photo.clone())
            .chain(std::iter::repeat_n(zeros.clone(), rest / zeros.len()))
            .chain([zeros.slice(..rest % zeros.len())]);
        let body = Body::wrap_stream(stream::iter(pieces.map(Ok::<_, std::io::Error>)));
        server.client.put(server.at("/uploads/large.jpg")).body(body).send()
    });
    for answer in join_all(uploads).await {
        assert_eq!(answer.unwrap().status(), 202);
    }
    let grown = peak() - before;
    assert!(grown < FLAT_KB, "{grown} kB more for fifty uploads");
}

#[tokio::test]
async fn one_client_cannot_take_all_the_places() {
    let server = Start::new()
        .with("--max-uploads-per-client", "2")
        .with("--max-sockets-per-client", "2")
        .with("--trusted-proxies", "127.0.0.0/8")
        .start();
    let begin = async |client: &str| {
        raw::begin_upload(&server.url, &format!("X-Forwarded-For: {client}\r\n"), 90_000).await
    };
    let post = async |client: &str| {
        let request = server.client.post(server.at("/uploads")).header("x-forwarded-for", client);
        request.body(pictures::tiny(1)).send().await.unwrap()
    };
    let over_share = [begin("203.0.113.1").await, begin("10.9.9.9, 203.0.113.1").await];
    let refused = post("203.0.113.1").await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(json(refused).await["type"], "/problems/too-many-at-once");
    assert_eq!(post("203.0.113.2").await.status(), 202);
    drop(over_share);
    eventually("the places come back", SOON, async || {
        (post("203.0.113.1").await.status() == 202).then_some(())
    })
    .await;

    let live = async |client: &str| {
        let headers = [("sec-websocket-protocol", "up.v1"), ("x-forwarded-for", client)];
        Socket { stream: socket::open(&server.url, &headers).await.unwrap() }
    };
    let mut sockets = [live("203.0.113.1").await, live("203.0.113.1").await];
    for socket in &mut sockets {
        assert_eq!(socket.message(SOON).await["type"], "welcome");
    }
    assert!(matches!(live("203.0.113.1").await.next(SOON).await, Came::Closed(Some(4029))));
    assert_eq!(live("203.0.113.2").await.message(SOON).await["type"], "welcome");
}

#[tokio::test]
async fn what_a_client_says_of_itself_gives_it_no_more_places() {
    let server = Start::new().with("--max-uploads-per-client", "2").start();
    let begin = async |said: &str| {
        raw::begin_upload(&server.url, &format!("X-Forwarded-For: {said}\r\n"), 90_000).await
    };
    let _over_share = [begin("203.0.113.1").await, begin("203.0.113.2").await];
    let third = server.client.post(server.at("/uploads")).header("x-forwarded-for", "203.0.113.3");
    assert_eq!(third.body(pictures::tiny(1)).send().await.unwrap().status(), 429);
}

#[tokio::test]
async fn a_server_full_of_clients_within_their_share_answers_503() {
    let server = Start::new().with("--max-concurrent-uploads", "2").with("--max-sockets", "2").start();
    let _uploading =
        [raw::begin_upload(&server.url, "", 90_000).await, raw::begin_upload(&server.url, "", 90_000).await];
    let refused = server.post("cat.png", pictures::tiny(1)).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let _sockets = [Socket::connect(&server.url).await, Socket::connect(&server.url).await];
    let mut third =
        Socket { stream: socket::open(&server.url, &[("sec-websocket-protocol", "up.v1")]).await.unwrap() };
    assert!(matches!(third.next(SOON).await, Came::Closed(Some(4029))));
    let unknown = worker::UploadId::new();
    let events = server.client.get(server.at(&format!("/uploads/{unknown}/events"))).send().await.unwrap();
    assert_eq!(events.status(), 503);
}

#[tokio::test]
async fn slow_uploads_of_many_addresses_within_their_share_give_way_to_one_that_moves() {
    let server = Start::new().with("--workers", "0").with("--max-concurrent-uploads", "8").start();
    let mut slow = Vec::new();
    for number in 0..8 {
        let stream = raw::connect_from(&format!("127.0.1.{}", number / 2), &server.url).await;
        let mut stream = raw::begin_upload_on(stream, "", 90_000).await;
        stream.write_all(&pictures::tiny(1)[..40]).await.unwrap();
        slow.push(stream);
    }
    let post = || server.post("cat.png", pictures::tiny(2));
    assert_eq!(post().await.status(), 503, "they may still be quick");
    let since = Instant::now();
    while post().await.status() != 202 {
        assert!(since.elapsed() < SOON, "a good upload is refused");
        sleep(Duration::from_millis(200)).await;
    }
    let mut answer = vec![0; 12];
    timeout(SOON, slow[0].read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, b"HTTP/1.1 503", "it has waited longest");
}

#[tokio::test]
async fn a_name_with_control_characters_adds_no_line_to_the_log_and_no_field_to_an_answer() {
    let server = Start::new().start();
    let name = "cat%0D%0ASet-Cookie:%20x=1%0D%0A%1b[31m%00%E2%80%AE.png";
    let answer = server.client.put(server.at(&format!("/uploads/{name}"))).body(pictures::tiny(1)).send();
    let upload = json(answer.await.unwrap()).await["uploads"][0].take();
    let id = id(&upload);
    let shown = upload["name"].as_str().unwrap();
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    server.end(&id, SOON).await;
    let original = server.client.get(server.at(&format!("/uploads/{id}/original"))).send().await.unwrap();
    assert!(!original.headers().contains_key("set-cookie"));
    assert!(original.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
    let log = server.log();
    assert!(log.contains("Set-Cookie"), "the name is in the log");
    assert!(!log.lines().any(|line| line.starts_with("Set-Cookie")), "{log}");
    assert!(!log.contains('\u{1b}') && !log.contains('\0'), "{log}");
}

#[tokio::test]
async fn storage_that_cannot_be_written_to_is_told_by_readiness_and_recovers_without_a_restart() {
    let data = Data::new();
    let [storage, away] = ["storage", "away"].map(|name| data.path().join(name));
    let url = format!("file://{}", storage.display());
    let server = Start::on(&data).with("--workers", "0").with("--storage", &url).start();
    server.accepted("cat.png", pictures::tiny(1)).await;
    let ready = async || server.client.get(server.at("/readyz")).send().await.unwrap().status();
    assert_eq!(ready().await, 200);
    // As when a disk is gone, or mounted read-only after an error.
    fs::rename(&storage, &away).unwrap();
    fs::write(&storage, "not a directory").unwrap();
    let refused = server.post("cat.png", pictures::tiny(2)).await;
    assert!([503, 507].contains(&refused.status().as_u16()), "{}", refused.status());
    // A report counts for three seconds.
    eventually("it is not ready", SOON, async || (ready().await == 503).then_some(())).await;
    fs::remove_file(&storage).unwrap();
    fs::rename(&away, &storage).unwrap();
    eventually("it is ready again", SOON, async || (ready().await == 200).then_some(())).await;
    server.accepted("cat.png", pictures::tiny(2)).await;
}
