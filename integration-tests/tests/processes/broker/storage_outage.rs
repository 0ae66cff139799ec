//! Storage that goes away for a while, under jobs in rotation: with the broker, and with the embedded queue.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use integration_tests::{
    descendants::signal_all,
    fleet::Fleet,
    patience::{SOON, eventually},
    pictures,
    rabbit::Node,
    server::{Data, Server, Start, id, json},
};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

/// Longer than the first delay of a job that failed.
const OUTAGE: Duration = Duration::from_secs(25);

/// The longest pause between two looks at storage, and the work.
const HEALED: Duration = Duration::from_secs(60);

/// A directory that nobody can enter, root included: a link to itself stands in its place.
struct Outage<'test> {
    directory: &'test Path,
    aside: PathBuf,
}

impl<'test> Outage<'test> {
    fn begin(directory: &'test Path) -> Self {
        let aside = directory.with_extension("aside");
        fs::rename(directory, &aside).unwrap();
        symlink(directory, directory).unwrap();
        Self { directory, aside }
    }
}

impl Drop for Outage<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.directory);
        let _ = fs::rename(&self.aside, self.directory);
    }
}

/// Uploads whose jobs workers get only once storage is away.
async fn accept_before(server: &Server, workers: &[Pid]) -> Vec<Value> {
    let mut accepted = Vec::new();
    while accepted.is_empty() {
        signal_all(workers, Signal::STOP);
        // A worker that stands still in a transaction locks the embedded queue: it must finish that.
        let answer = server.post("cat.png", pictures::tiny(0)).await;
        if answer.status() == 202 {
            accepted.push(json(answer).await["uploads"][0].take());
        } else {
            signal_all(workers, Signal::CONT);
        }
    }
    for seed in 1..10 {
        accepted.push(server.accepted("cat.png", pictures::tiny(seed)).await);
    }
    accepted
}

/// Lets the workers go on without storage for a while.
async fn go_without(storage: &Path, workers: &[Pid], log: impl Fn() -> String) {
    let outage = Outage::begin(storage);
    signal_all(workers, Signal::CONT);
    eventually("the workers notice", SOON, async || {
        log().contains("storage or decoders are unavailable").then_some(())
    })
    .await;
    sleep(OUTAGE).await;
    let during = log();
    drop(outage);
    assert!(!during.contains("a job failed and is retried"), "an outage is no fault of a job: {during}");
    let ended = during.matches("the upload has ended").count();
    assert_eq!(ended, 0, "nothing ends without storage");
}

async fn assert_all_ready(server: &Server, accepted: &[Value]) {
    for upload in accepted {
        let ended = server.end(&id(upload), HEALED).await;
        assert_eq!(ended["state"], "ready", "{ended}");
        server.assert_ready(&ended).await;
    }
}

#[tokio::test]
async fn storage_that_goes_away_fails_no_job_of_the_broker() {
    let fleet = Fleet::new().await;
    let server = fleet.server().start();
    let workers = [fleet.worker().start(), fleet.worker().start()];
    for worker in &workers {
        worker.takes_jobs().await;
    }
    let pids = workers.each_ref().map(integration_tests::worker::Worker::pid);
    let accepted = accept_before(&server, &pids).await;
    let log = || workers.iter().map(integration_tests::worker::Worker::log).collect::<String>();
    go_without(fleet.shared.path(), &pids, log).await;
    assert_all_ready(&server, &accepted).await;
    fleet.assert_queue_holds(0).await;
    assert!(log().contains("storage and decoders have recovered"));
}

/// The times of a drain in OPERATING.md: work, its release, and the connections.
const DRAINED: Duration = Duration::from_secs(8 + 3 + 4);

#[tokio::test]
async fn a_worker_drains_in_time_without_storage_while_the_broker_takes_no_message() {
    let node = Node::start().await;
    let fleet = Fleet::on(node.vhost().await);
    let server = fleet.server().start();
    let mut worker = fleet.worker().start();
    worker.takes_jobs().await;
    worker.signal(Signal::STOP);
    let accepted = [server.accepted("cat.png", pictures::tiny(1)).await];
    eventually("the broker has the job", SOON, async || {
        (fleet.vhost.statistics(["confirm"]).await[0] > 0).then_some(())
    })
    .await;
    node.control(&["set_vm_memory_high_watermark", "0"]);
    let outage = Outage::begin(fleet.shared.path());
    worker.signal(Signal::CONT);
    eventually("the worker notices", SOON, async || {
        worker.log().contains("storage or decoders are unavailable").then_some(())
    })
    .await;
    worker.signal(Signal::TERM);
    assert!(worker.ended(DRAINED).await.success());
    drop(outage);
    node.control(&["set_vm_memory_high_watermark", "0.4"]);
    let _next = fleet.worker().start();
    assert_all_ready(&server, &accepted).await;
    fleet.assert_queue_holds(0).await;
}

#[tokio::test]
async fn storage_that_goes_away_fails_no_job_of_the_embedded_queue() {
    let (data, storage) = (Data::new(), TempDir::with_prefix("up-storage-").unwrap());
    let url = format!("file://{}", storage.path().display());
    let server = Start::on(&data).with("--storage", &url).start();
    server.workers_ready(2).await;
    let workers = server.workers();
    let accepted = accept_before(&server, &workers).await;
    go_without(storage.path(), &workers, || server.log()).await;
    assert_all_ready(&server, &accepted).await;
    assert!(server.log().contains("storage and decoders have recovered"));
}
