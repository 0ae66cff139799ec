//! Operators see metrics and logs.

use integration_tests::{
    fleet::Fleet,
    patience::{SOON, eventually},
    pictures,
    proxy::{Network, Proxy},
    server::{Server, Start, id, json},
    socket::Socket,
    worker::StartWorker,
};

/// A secret that must never be shown.
const SECRET: &str = "s3ntinel";

fn watched(start: Start) -> Start {
    start.with("--admin-listen", "127.0.0.1:0")
}

/// Waits until a figure is as it should be.
async fn becomes(server: &Server, figure: &str, is_right: impl Fn(f64) -> bool) {
    let mut seen = None;
    let mut look = async || {
        seen = server.figure(figure).await;
        seen.is_some_and(&is_right).then_some(())
    };
    eventually(figure, SOON, &mut look).await;
}

#[tokio::test]
async fn operators_see_the_queue_on_a_listener_of_their_own() {
    let server = Start::new().with("--workers", "0").with("--admin-listen", "127.0.0.1:0").start();
    server.accepted("cat.png", pictures::tiny(1)).await;
    let url = server.admin().await;
    let metrics = server.client.get(url).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("\nup_queue_ready 1\n"), "{metrics}");
    assert_eq!(server.client.get(server.at("/metrics")).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_server_tells_operators_what_it_and_its_workers_did() {
    let server = Start::new().with("--admin-listen", "127.0.0.1:0").start();
    let mut socket = Socket::connect(&server.url).await;
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    socket.subscribe(&[&id(&upload)]).await;
    socket.end_of(&id(&upload), SOON).await;
    let damaged = server.accepted("cat.jpg", pictures::damaged()).await;
    socket.subscribe(&[&id(&damaged)]).await;
    socket.end_of(&id(&damaged), SOON).await;
    assert_eq!(server.post("cat.jpg", "no picture").await.status(), 415);
    assert_eq!(server.client.get(server.at("/nowhere/at/all")).send().await.unwrap().status(), 404);
    let url = server.admin().await;
    let expected = [
        "up_http_requests_total{method=\"POST\",route=\"/uploads\",status=\"202\"} 2",
        "up_http_requests_total{method=\"GET\",route=\"none\",status=\"404\"} 1",
        "up_http_request_seconds_count{method=\"POST\",route=\"/uploads\"} 3",
        "up_uploads_total{outcome=\"accepted\"} 2",
        "up_uploads_total{outcome=\"unsupported\"} 1",
        "up_sockets 1",
        "up_subscriptions 2",
        "up_uploads_in_flight 0",
        // Metrics of worker processes.
        "up_jobs_total{outcome=\"ready\"} 1",
        "up_jobs_total{outcome=\"failed\"} 1",
        "up_job_stage_seconds_count{stage=\"fetch\"} 2",
        "up_job_stage_seconds_count{stage=\"decode\"} 1",
        "up_job_stage_seconds_count{stage=\"announce\"} 2",
        "up_accepted_to_ended_seconds_count 2",
        "up_sandbox_enforced 1",
    ];
    eventually("the workers' figures have come", SOON, async || {
        let metrics = server.client.get(&url).send().await.unwrap().text().await.unwrap();
        let missing: Vec<_> =
            expected.iter().filter(|figure| !metrics.lines().any(|line| line == **figure)).collect();
        if !missing.is_empty() {
            println!("not yet: {missing:?}");
        }
        let sandbox = metrics.lines().find(|line| line.starts_with("up_sandbox_info{")).unwrap_or_default();
        let is_told =
            ["mode=\"best-effort\"", "seccomp=\"enforced\"", "limits=\"enforced\"", "landlock_abi=\""]
                .into_iter()
                .all(|label| sandbox.contains(label));
        let ready = server.client.get(url.replace("/metrics", "/readyz")).send().await.unwrap();
        let is_told = is_told && ready.text().await.unwrap().contains("sandbox of decoders: ");
        let pushed = server.figure("up_ended_to_push_seconds_count").await;
        (is_told && missing.is_empty() && pushed >= Some(1.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_worker_tells_operators_what_it_did_and_how_long_it_took() {
    let server = Start::new().with("--workers", "0").start();
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let _worker = StartWorker::beside(&server.data).variable("UP_ADMIN_LISTEN", &free).start();
    server.end(upload["id"].as_str().unwrap(), SOON).await;
    let stages = ["fetch", "make", "decode", "scale", "encode", "store"];
    let figures = stages.map(|stage| format!("up_job_stage_seconds_count{{stage=\"{stage}\"}}"));
    // The job is counted after it was announced.
    eventually("the worker's figures have come", SOON, async || {
        let url = format!("http://{free}/metrics");
        let metrics = server.client.get(url).send().await.unwrap().text().await.unwrap();
        let has = |figure: &str| metrics.lines().any(|line| line == figure);
        let is_counted = has("up_jobs_total{outcome=\"ready\"} 1") && has("up_sandbox_enforced 1");
        (is_counted && figures.iter().all(|figure| metrics.contains(figure))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn figures_tell_of_an_outbox_whose_broker_refuses_it_and_nothing_tells_the_password() {
    let fleet = Fleet::new().await;
    let wrong = fleet.vhost.url().replace("guest:guest", &format!("up:{SECRET}"));
    let server = watched(fleet.server()).with("--broker", &wrong).start();
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    becomes(&server, "up_outbox_jobs", |jobs| jobs == 1.0).await;
    becomes(&server, "up_outbox_oldest_seconds", |age| age > 0.0).await;
    assert_eq!(server.figure("up_broker_up").await, Some(0.0));
    let worker = StartWorker::on(&wrong, &fleet.storage()).start();
    eventually("both log that they are refused", SOON, async || {
        [server.log(), worker.log()].iter().all(|log| log.contains("could not connect")).then_some(())
    })
    .await;
    let ready = server.client.get(server.at("/readyz")).send().await.unwrap().text().await.unwrap();
    let metrics = server.client.get(server.admin().await).send().await.unwrap().text().await.unwrap();
    for shown in [server.log(), worker.log(), ready, metrics] {
        assert!(!shown.contains(SECRET), "{shown}");
    }
    assert_eq!(server.upload(&id(&upload)).await["state"], "queued");
}

#[tokio::test]
async fn figures_tell_of_a_broker_that_comes_back_and_of_dead_letters() {
    let fleet = Fleet::new().await;
    let proxy = Proxy::to(fleet.vhost.port()).await;
    let server = watched(fleet.server_through(proxy.port)).start();
    becomes(&server, "up_broker_up", |up| up == 1.0).await;
    let made = |name| format!("up_broker_connections_total{{connection=\"{name}\"}}");
    for name in ["publishing", "consuming"] {
        becomes(&server, &made(name), |times| times == 1.0).await;
    }
    proxy.set(Network::Refuses);
    becomes(&server, "up_broker_up", |up| up == 0.0).await;
    proxy.set(Network::Passes);
    for name in ["publishing", "consuming"] {
        becomes(&server, &made(name), |times| times >= 2.0).await;
    }
    let _worker = fleet.worker().start();
    fleet.vhost.publish("resize", "", "no job").await;
    becomes(&server, "up_queue_dead", |dead| dead == 1.0).await;
    becomes(&server, "up_queue_ready", |ready| ready == 0.0).await;
}

#[tokio::test]
async fn figures_tell_of_jobs_at_work_and_of_decoders_that_were_killed() {
    let parked = watched(Start::new().with("--workers", "1").failing("job-started=park")).start();
    parked.accepted("cat.png", pictures::tiny(1)).await;
    becomes(&parked, "up_queue_unacked", |jobs| jobs == 1.0).await;

    let hasty = watched(Start::new().with("--job-timeout", "1ms")).start();
    let (_, photograph, _) = pictures::photograph(8);
    let upload = id(&hasty.accepted("photo.jpg", photograph).await);
    assert_eq!(hasty.end(&upload, SOON).await["state"], "failed");
    becomes(&hasty, "up_decoders_lost_total{reason=\"took-too-long\"}", |times| times == 1.0).await;
}

#[tokio::test]
async fn logs_are_lines_of_json_whatever_a_client_writes() {
    let server = Start::new().with("--workers", "0").with("--log-format", "json").start();
    let worker = StartWorker::beside(&server.data).variable("UP_LOG_FORMAT", "json").start();
    let name = "%22%7D%0A%7B%22level%22%3A%22ERROR%22%7D%1b%5B31m%5C.png";
    let put = server
        .client
        .put(server.at(&format!("/uploads/{name}")))
        .header("x-request-id", "a\"}")
        .body(pictures::tiny(1));
    let upload = id(&json(put.send().await.unwrap()).await["uploads"][0]);
    server.end(&upload, SOON).await;
    // A worker tells the end after it has announced it.
    eventually("both have told of the upload", SOON, async || {
        [server.log(), worker.log()].iter().all(|log| log.contains(&upload)).then_some(())
    })
    .await;
    for log in [server.log(), worker.log()] {
        for line in log.lines() {
            let event: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(event["level"] != "ERROR" && event["timestamp"].is_string(), "{line}");
        }
    }
}
