//! A store that is silent, late or wrongly set up: a handler does not wait for ever, and readiness says what it is.

use std::time::Duration;

use integration_tests::{
    brown_out::{BrownOut, Mood},
    patience::{SOON, eventually},
    pictures,
    s3::Bucket,
    server::{Server, Start, id},
};
use reqwest::Response;
use tokio::time::{Instant, sleep};

/// The deadline of a request to storage.
const DEADLINE: Duration = Duration::from_secs(5);

/// What a handler may take beyond it: a short wait for the removal of what was written, and a busy machine.
const MARGIN: Duration = Duration::from_secs(6);

/// How long readiness may take, whatever storage does: its wait, and a busy machine.
const ANSWERED_WITHIN: Duration = Duration::from_millis(3500);

/// How long a store is late.
const LATE_FOR: Duration = Duration::from_secs(20);

/// A read that lasts longer than the usual timeout of an HTTP client, which is 30 s.
const LONG_READ: Duration = Duration::from_secs(36);

async fn on_s3(bucket: &Bucket, port: u16) -> Server {
    let start = Start::new().with("--workers", "0").with("--storage", &bucket.url);
    let start = start.with("--admin-listen", "127.0.0.1:0");
    let variables = bucket.variables_through(port);
    variables.iter().fold(start, |start, (name, value)| start.variable(name, value)).start()
}

async fn timed(answer: impl Future<Output = Response>) -> (Response, Duration) {
    let begun = Instant::now();
    (answer.await, begun.elapsed())
}

async fn get(server: &Server, path: &str) -> Response {
    server.client.get(server.at(path)).send().await.unwrap()
}

/// The reasons that the listener for operators gives.
async fn reasons(server: &Server) -> String {
    let url = server.admin().await.replace("/metrics", "/readyz");
    server.client.get(url).send().await.unwrap().text().await.unwrap()
}

fn assert_tells_to_come_back(answer: &Response) {
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"), "{:?}", answer.headers());
}

#[tokio::test]
async fn a_store_that_does_not_answer_costs_a_client_seconds_and_health_nothing() {
    let bucket = Bucket::start().await;
    let store = BrownOut::before(bucket.port(), 1).await;
    let server = on_s3(&bucket, store.port).await;
    let before = id(&server.accepted("cat.png", pictures::tiny(1)).await);
    assert_eq!(get(&server, "/readyz").await.status(), 200);
    store.set(Mood::Silent);
    let unknown = "/uploads/0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10";
    let (status, original) = (format!("/uploads/{before}"), format!("/uploads/{before}/original"));
    let asking = [unknown, &status, &original].map(async |path| timed(get(&server, path)).await);
    let sending = timed(server.post("cat.png", pictures::tiny(2)));
    let watching = async {
        let mut is_refused = false;
        let begun = Instant::now();
        while begun.elapsed() < DEADLINE + MARGIN {
            let (health, took) = timed(get(&server, "/healthz")).await;
            assert_eq!(health.status(), 200);
            assert!(took < Duration::from_secs(1), "health took {took:?}");
            let (ready, took) = timed(get(&server, "/readyz")).await;
            assert!(took < ANSWERED_WITHIN, "readiness took {took:?}");
            is_refused |= ready.status() == 503;
        }
        assert!(is_refused, "no load balancer is told");
    };
    let (asked, sent, ()) = tokio::join!(futures::future::join_all(asking), sending, watching);
    for (answer, took) in asked.into_iter().chain([sent]) {
        assert_tells_to_come_back(&answer);
        assert!(took < DEADLINE + MARGIN, "{} took {took:?}", answer.url());
    }
    let errors = server.figure("up_storage_errors_total{operation=\"put\"}").await;
    assert!(errors >= Some(1.0), "{errors:?}");
    store.set(Mood::Reliable);
    eventually("the server is ready again", SOON, async || {
        (get(&server, "/readyz").await.status() == 200).then_some(())
    })
    .await;
    server.accepted("cat.png", pictures::tiny(3)).await;
}

#[tokio::test]
async fn a_late_store_degrades_servers_and_takes_none_out_of_service() {
    let bucket = Bucket::start().await;
    let store = BrownOut::before(bucket.port(), 1).await;
    let server = on_s3(&bucket, store.port).await;
    server.accepted("cat.png", pictures::tiny(1)).await;
    store.set(Mood::Late);
    let begun = Instant::now();
    let mut is_degraded = false;
    let sending = server.post("cat.png", pictures::tiny(2));
    let watching = async {
        while begun.elapsed() < LATE_FOR {
            let (ready, took) = timed(get(&server, "/readyz")).await;
            assert!(took < ANSWERED_WITHIN, "readiness took {took:?}");
            assert_eq!(ready.status(), 200, "a late store takes the server out of service");
            is_degraded |= ready.text().await.unwrap().contains("degraded");
            sleep(Duration::from_millis(200)).await;
        }
    };
    // A handler that asks several times has one deadline for all of them.
    let asking = timed(get(&server, "/uploads/0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10"));
    let (sent, (), (unknown, took)) = tokio::join!(sending, watching, asking);
    assert_tells_to_come_back(&unknown);
    assert!(took < DEADLINE + Duration::from_secs(1), "an unknown upload took {took:?}");
    assert!(is_degraded);
    assert_eq!(sent.status(), 202, "an upload is slow and is accepted");
    eventually("operators see that storage is slow", SOON, async || {
        reasons(&server).await.contains("storage is slow").then_some(())
    })
    .await;
    store.set(Mood::Reliable);
    server.is_ready().await;
}

/// A bitmap of 40 MB, which is more than sockets hold.
fn large() -> Vec<u8> {
    let (width, height) = (3700_u32, 3600_u32);
    let pixels = width * 3 * height;
    let mut bitmap = b"BM".to_vec();
    for field in [54 + pixels, 0, 54, 40, width, height, 1 | 24 << 16, 0, pixels, 2835, 2835, 0, 0] {
        bitmap.extend(field.to_le_bytes());
    }
    bitmap.resize(54 + pixels as usize, 7);
    bitmap
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_of_a_large_original_is_not_cut() {
    let bucket = Bucket::start().await;
    let server = on_s3(&bucket, bucket.port()).await;
    let bitmap = large();
    let upload = id(&server.accepted("large.bmp", bitmap.clone()).await);
    let mut answer = get(&server, &format!("/uploads/{upload}/original")).await;
    assert_eq!(answer.status(), 200);
    let begun = Instant::now();
    let mut read = Vec::new();
    while let Some(piece) = answer.chunk().await.expect("the original is not cut") {
        read.extend(piece);
        // As fast as lets the read last so long.
        let due = LONG_READ.mul_f64(read.len() as f64 / bitmap.len() as f64);
        sleep(due.saturating_sub(begun.elapsed())).await;
    }
    assert!(begun.elapsed() >= LONG_READ.mul_f64(0.9), "{:?}", begun.elapsed());
    assert!(read == bitmap, "{} of {} bytes came", read.len(), bitmap.len());
}

#[tokio::test]
async fn readiness_names_a_missing_right_to_list() {
    let bucket = Bucket::start().await;
    let store = BrownOut::before(bucket.port(), 1).await;
    store.set(Mood::HidesMissing);
    let server = on_s3(&bucket, store.port).await;
    assert_eq!(get(&server, "/readyz").await.status(), 503);
    let reasons = reasons(&server).await;
    assert!(reasons.contains("allow s3:ListBucket"), "{reasons}");
}
