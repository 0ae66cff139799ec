//! Bad settings are explained, on standard error, with exit code 64.

use std::process::Command;

use integration_tests::{
    patience::{SOON, eventually},
    pictures,
    server::{Start, id},
    socket::Socket,
    worker::StartWorker,
};

fn run(binary: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let test = std::env::current_exe().unwrap();
    let binary = test.ancestors().nth(2).unwrap().join(binary);
    let output = Command::new(binary).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_bad_setting_is_explained_with_exit_code_64() {
    for (binary, arguments) in [
        ("up-server", ["--listen", "nowhere"]),
        ("up-server", ["--storage", "ftp://x"]),
        ("up-server", ["--sizes", "small=1"]),
        ("up-server", ["--no-such-flag", "x"]),
        ("up-worker", ["--broker", "x"]),
        ("up-worker", ["--job-timeout", "0"]),
    ] {
        let (code, _, explained) = run(binary, &arguments);
        assert_eq!(code, Some(64), "{binary} {arguments:?}");
        assert!(explained.contains(arguments[0]), "{explained}");
    }
}

#[test]
fn help_names_every_variable() {
    let (code, help, _) = run("up-server", &["--help"]);
    assert_eq!(code, Some(0));
    for variable in [
        "UP_LISTEN",
        "UP_DATA",
        "UP_STORAGE",
        "UP_BROKER",
        "UP_WORKERS",
        "UP_MAX_UPLOAD_BYTES",
        "UP_MAX_PIXELS",
        "UP_JOB_TIMEOUT",
        "UP_SIZES",
        "UP_ALLOWED_ORIGINS",
        "UP_CORS_ORIGINS",
        "UP_PUBLIC_URL",
        "UP_LOG_FORMAT",
    ] {
        assert!(help.contains(variable), "{variable}");
    }
}

#[tokio::test]
async fn sizes_are_a_setting() {
    let server = Start::new().with("--sizes", "small=10,medium=20,large=30").start();
    let upload = server.accepted("cat.jpg", pictures::jpeg(300, 200)).await;
    let upload = server.end(upload["id"].as_str().unwrap(), SOON).await;
    let widths: Vec<_> =
        upload["thumbnails"].as_array().unwrap().iter().map(|thumbnail| &thumbnail["width"]).collect();
    assert_eq!(widths, [10, 20, 30]);
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
        "up_http_request_seconds_count{route=\"/uploads\"} 3",
        "up_uploads_total{outcome=\"accepted\"} 2",
        "up_uploads_total{outcome=\"unsupported\"} 1",
        "up_sockets 1",
        "up_subscriptions 2",
        "up_uploads_in_flight 0",
        // Of worker processes.
        "up_jobs_total{outcome=\"ready\"} 1",
        "up_jobs_total{outcome=\"failed\"} 1",
        "up_job_stage_seconds_count{stage=\"fetch\"} 2",
        "up_job_stage_seconds_count{stage=\"decode\"} 1",
        "up_job_stage_seconds_count{stage=\"announce\"} 2",
        "up_accepted_to_ended_seconds_count 2",
    ];
    eventually("the workers' figures have come", SOON, async || {
        let metrics = server.client.get(&url).send().await.unwrap().text().await.unwrap();
        let missing: Vec<_> =
            expected.iter().filter(|figure| !metrics.lines().any(|line| line == **figure)).collect();
        if !missing.is_empty() {
            println!("not yet: {missing:?}");
        }
        let pushed = metrics.lines().find_map(|line| line.strip_prefix("up_ended_to_push_seconds_count "));
        (missing.is_empty() && pushed?.parse::<u32>().unwrap() >= 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_worker_tells_operators_what_it_did_and_how_long_it_took() {
    let server = Start::new().with("--workers", "0").start();
    let upload = server.accepted("cat.png", pictures::tiny(1)).await;
    let path = server.data.path().display();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let start = StartWorker::on(&format!("sqlite://{path}/queue.sqlite"), &format!("file://{path}"));
    let _worker = start.variable("UP_ADMIN_LISTEN", &free).start();
    server.end(upload["id"].as_str().unwrap(), SOON).await;
    let metrics =
        server.client.get(format!("http://{free}/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("up_jobs_total{outcome=\"ready\"} 1"), "{metrics}");
    for stage in ["fetch", "make", "decode", "scale", "encode", "store"] {
        assert!(metrics.contains(&format!("up_job_stage_seconds_count{{stage=\"{stage}\"}}")), "{metrics}");
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = integration_tests::server::Data::new();
    let (code, _, explained) =
        run("up-server", &["--listen", &address, "--data", data.path().to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(explained.contains(&address), "{explained}");
}
