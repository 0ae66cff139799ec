//! Metrics exist from the start, and have the right numbers after a storm.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use integration_tests::{
    fleet::Fleet,
    patience::{SOON, eventually},
    pictures,
    server::{Data, Server, Start, id},
    socket::Socket,
    worker::reached,
};
use rustix::process::{Signal, kill_process};

use crate::documents::documented_metrics;

/// Metrics that need an event first: their labels come from clients, or from a decoder.
const OF_EVENTS: [&str; 6] = [
    "up_http_requests_total",
    "up_http_request_seconds",
    "up_sender_uploads_total",
    "up_sender_bytes_total",
    "up_sandbox_enforced",
    "up_sandbox_info",
];

/// A sweep lists what is pending every ten seconds; a lane must be empty at two of them.
const SWEPT: Duration = Duration::from_secs(90);

fn watched(start: Start) -> Start {
    start.with("--admin-listen", "127.0.0.1:0")
}

/// All series of a scrape: name and labels, and the value.
async fn scrape(server: &Server) -> BTreeMap<String, f64> {
    let shown = server.client.get(server.admin().await).send().await.unwrap().text().await.unwrap();
    let series = shown.lines().filter(|line| !line.starts_with('#'));
    let read = series.filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        Some((series.to_owned(), value.parse().unwrap()))
    });
    read.collect()
}

async fn becomes(server: &Server, series: &str, within: Duration, is_right: impl Fn(f64) -> bool) {
    eventually(series, within, async || server.figure(series).await.filter(|value| is_right(*value))).await;
}

#[tokio::test]
async fn a_scrape_right_after_the_start_has_every_metric_that_needs_no_event() {
    let server = watched(Start::new().with("--workers", "0")).start();
    let series = scrape(&server).await;
    for (metric, kind) in documented_metrics() {
        if OF_EVENTS.contains(&metric.as_str()) {
            continue;
        }
        let name = if kind == "histogram" { format!("{metric}_count") } else { metric.clone() };
        let of_metric: Vec<_> =
            series.iter().filter(|(series, _)| series.split('{').next() == Some(&name)).collect();
        assert!(!of_metric.is_empty(), "{metric} is missing: {series:#?}");
        // The scrape itself reads no storage, and the sweeper may.
        if kind == "counter" && metric.starts_with("up_") && metric != "up_broker_connections_total" {
            assert!(of_metric.iter().all(|(_, value)| **value == 0.0), "{of_metric:?}");
        }
    }
    for labels in [
        "up_uploads_total{outcome=\"accepted\"}",
        "up_uploads_total{outcome=\"disk-full\"}",
        "up_jobs_total{outcome=\"dead\"}",
        "up_decoders_lost_total{reason=\"crash\"}",
        "up_deletes_total{reason=\"expired\"}",
        "up_sockets_closed_total{reason=\"slow\"}",
        "up_storage_errors_total{operation=\"put\"}",
        "up_audits_total{outcome=\"failed\"}",
    ] {
        assert_eq!(series.get(labels), Some(&0.0), "{labels}");
    }
    let version = format!("up_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(series.get(&version), Some(&1.0));
}

#[tokio::test]
async fn after_a_storm_the_metrics_have_the_right_numbers() {
    const UPLOADS: u32 = 40;
    let server = watched(Start::new().with("--max-outbox", "77")).start();
    let mut socket = Socket::connect(&server.url).await;
    let uploading = (0..UPLOADS).map(|seed| server.accepted("cat.png", pictures::tiny(seed)));
    let accepted: Vec<_> = join_all(uploading).await.iter().map(id).collect();
    let ids: Vec<&str> = accepted.iter().map(String::as_str).collect();
    socket.subscribe(&ids).await;
    socket.ends_of(&ids, SOON).await;
    for _ in 0..3 {
        server.client.get(server.at(&format!("/uploads/{}", ids[0]))).send().await.unwrap();
        server.client.put(server.at("/uploads/cat.png")).body("no picture").send().await.unwrap();
    }
    let uploads = f64::from(UPLOADS);
    let ready = |jobs| jobs == uploads;
    becomes(&server, "up_jobs_total{outcome=\"ready\"}", SOON, ready).await;
    becomes(&server, "up_worker_slots_busy", SOON, |busy| busy == 0.0).await;
    becomes(&server, "up_worker_slots", SOON, |slots| slots == 4.0).await;
    let series = scrape(&server).await;
    for (name, expected) in [
        ("up_uploads_total{outcome=\"accepted\"}", uploads),
        ("up_uploads_total{outcome=\"unsupported\"}", 3.0),
        ("up_http_request_seconds_count{method=\"POST\",route=\"/uploads\"}", uploads),
        // Uploads by PUT and reads share a route, and have labels of their own.
        ("up_http_request_seconds_count{method=\"PUT\",route=\"/uploads/{id}\"}", 3.0),
        ("up_http_request_seconds_count{method=\"GET\",route=\"/uploads/{id}\"}", 3.0),
        ("up_accepted_to_ended_seconds_count", uploads),
        ("up_accepted_to_ended_seconds_bucket{le=\"3600\"}", uploads),
        ("up_outbox_max_jobs", 77.0),
        ("up_outbox_jobs", 0.0),
        ("up_embedded_workers", 4.0),
        ("up_embedded_workers_wanted", 4.0),
        ("up_storage_errors_total{operation=\"put\"}", 0.0),
        ("up_storage_errors_total{operation=\"get\"}", 0.0),
    ] {
        assert_eq!(series.get(name), Some(&expected), "{name}: {series:#?}");
    }
    let of = |name: &str| *series.get(name).unwrap_or_else(|| panic!("{name} is missing"));
    // Original and pending entry by the server; thumbnails and result by a worker. It reads the original.
    assert!(of("up_storage_seconds_count{operation=\"put\"}") >= 6.0 * uploads);
    assert!(of("up_storage_seconds_count{operation=\"get\"}") >= uploads);
    assert!(of("up_storage_seconds_count{operation=\"delete\"}") >= uploads);
    assert!(of("up_free_disk_bytes{disk=\"storage\"}") > 0.0);
    assert!(of("up_free_disk_bytes{disk=\"outbox\"}") > 0.0);
    let (open, most) = (of("process_open_fds"), of("process_max_fds"));
    assert!(0.0 < open && open < most, "{open} of {most}");
    assert!(of("process_resident_memory_bytes") > 1e6);
}

#[tokio::test]
async fn metrics_tell_of_busy_slots_and_of_workers_that_die() {
    let data = Data::new();
    let marker = data.path().join("marker");
    let start = Start::on(&data).failing(format!("job-started=park@{}", marker.display()));
    let server = watched(start.with("--workers", "1").with("--interactive-workers", "0")).start();
    server.accepted("cat.png", pictures::tiny(1)).await;
    let parked = reached(&marker).await;
    becomes(&server, "up_worker_slots_busy", SOON, |busy| busy == 1.0).await;
    assert_eq!(server.figure("up_worker_slots").await, Some(1.0));
    kill_process(parked, Signal::KILL).unwrap();
    // The next worker has another share of the sum.
    becomes(&server, "up_jobs_total{outcome=\"ready\"}", SOON, |jobs| jobs == 1.0).await;
    becomes(&server, "up_worker_slots_busy", SOON, |busy| busy == 0.0).await;
    becomes(&server, "up_worker_slots", SOON, |slots| slots == 1.0).await;
    assert_eq!(server.figure("up_embedded_workers").await, Some(1.0));
}

#[tokio::test]
async fn with_a_broker_metrics_tell_the_age_of_the_oldest_job_and_of_jobs_that_were_lost() {
    let fleet = Fleet::new().await;
    let server = watched(fleet.server()).start();
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    becomes(&server, "up_queue_ready", SOON, |jobs| jobs == 1.0).await;
    becomes(&server, "up_pending_oldest_seconds", SWEPT, |age| age > 5.0).await;
    fleet.vhost.purge("resize").await;
    becomes(&server, "up_sweeper_posts_total", SWEPT, |posts| posts == 1.0).await;
    let _worker = fleet.worker().start();
    let ended = server.end(&id(&upload), SOON).await;
    server.assert_ready(&ended).await;
    becomes(&server, "up_pending_oldest_seconds", SWEPT, |age| age == 0.0).await;
}
