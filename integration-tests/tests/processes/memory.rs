//! Bodies of every shape stay within the memory budget of uploads, and delay no good upload.

use std::{
    fs,
    time::{Duration, Instant},
};

use futures::future::join_all;
use integration_tests::{
    pictures, raw,
    s3::Bucket,
    server::{Server, Start},
};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{sleep, timeout},
};

const MIB: u64 = 1024 * 1024;

/// Memory of a server beside the bodies, in bytes: buffers of connections, allocator, caches that fill.
const BESIDE: u64 = 48 * MIB;

/// The time of a good upload among hostile ones, on a machine that is busy with other tests.
const UNDISTURBED: Duration = Duration::from_secs(2);

/// A figure of the server's process in bytes: `VmRSS` or `VmHWM`.
fn memory(server: &Server, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// The beginning of a picture whose header is still to come, and bytes after it.
fn endless_picture(length: usize) -> Vec<u8> {
    let mut picture = vec![0xFF, 0xD8];
    // Comments of JPEG, one after the other.
    while picture.len() < length {
        picture.extend([0xFF, 0xFE, 0xFF, 0xFF]);
        picture.resize(picture.len() + 0xFFFD, b'x');
    }
    picture.truncate(length);
    picture
}

/// A good upload, as a new client sends it; answers the time that it took.
async fn good_upload(server: &Server, seed: u32) -> Duration {
    let begun = Instant::now();
    let client = reqwest::Client::new();
    let answer = client.post(server.at("/uploads")).body(pictures::tiny(seed)).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    begun.elapsed()
}

#[tokio::test]
async fn one_byte_chunks_cost_no_more_memory_than_their_bytes() {
    const CONNECTIONS: usize = 8;
    const BYTES: usize = 250_000;
    let server =
        Start::new().with("--workers", "0").with("--upload-memory-bytes", &(16 * MIB).to_string()).start();
    good_upload(&server, 1).await;
    let before = memory(&server, "VmRSS");
    let head = "POST /uploads HTTP/1.1\r\nHost: up\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunked: Vec<u8> = endless_picture(BYTES)
        .into_iter()
        .flat_map(|byte| [b'1', b'\r', b'\n', byte, b'\r', b'\n'])
        .collect();
    let send = async || {
        let mut stream = raw::connect(&server.url).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&chunked).await.unwrap();
        stream
    };
    let streams = join_all((0..CONNECTIONS).map(|_| send())).await;
    // The server has read what its system buffered by then.
    sleep(Duration::from_secs(1)).await;
    let grown = memory(&server, "VmHWM").saturating_sub(before);
    println!("grown by {} MiB", grown / MIB);
    assert!(grown < 16 * MIB + BESIDE, "grown by {} MiB", grown / MIB);
    assert!(good_upload(&server, 2).await < UNDISTURBED);
    drop(streams);
}

/// Begins an upload from one of this machine's addresses, sends bytes of it, and stalls.
async fn stall(server: &Server, own: &str, bytes: &[u8]) -> TcpStream {
    let mut stream = raw::connect_from(own, &server.url).await;
    let head = "POST /uploads HTTP/1.1\r\nHost: up\r\nContent-Length: 50000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server may wait for memory, or evict this upload, while more is written.
    let _ = timeout(Duration::from_secs(20), stream.write_all(bytes)).await;
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_uploads_of_many_clients_stay_within_the_budget_and_delay_no_good_upload() {
    const BUDGET: u64 = 48 * MIB;
    const CLIENTS: [&str; 4] = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"];
    // On S3 a part is gathered in memory until it has 5 MiB.
    let bucket = Bucket::start().await;
    let mut start = Start::new()
        .with("--workers", "0")
        .with("--upload-memory-bytes", &BUDGET.to_string())
        .with("--storage", &bucket.url);
    for (name, value) in bucket.variables() {
        start = start.variable(name, value);
    }
    let server = start.start();
    good_upload(&server, 1).await;
    let before = memory(&server, "VmRSS");
    let picture = endless_picture(2_000_000);
    let hostile = async {
        join_all((0..256).map(|number| stall(&server, CLIENTS[number % CLIENTS.len()], &picture))).await
    };
    let good = async {
        let mut longest = Duration::ZERO;
        for seed in 2..12 {
            sleep(Duration::from_millis(500)).await;
            longest = longest.max(good_upload(&server, seed).await);
        }
        longest
    };
    let (streams, longest) = tokio::join!(hostile, good);
    let grown = memory(&server, "VmHWM").saturating_sub(before);
    println!("grown by {} MiB, the longest good upload took {longest:?}", grown / MIB);
    assert!(longest < UNDISTURBED, "{longest:?}");
    assert!(grown < BUDGET + BESIDE, "grown by {} MiB", grown / MIB);
    drop(streams);
}
