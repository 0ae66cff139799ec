//! Signals to workers and to their decoders, in the middle of a job.

use std::{fs, path::Path, time::Duration};

use integration_tests::{
    descendants::{bytes_in_a_pipe, decoders, is_stopped, signal_all},
    fleet::Fleet,
    patience::{SOON, eventually},
    pictures,
    server::{Data, Server, Start, id, upload_in},
    worker::{StartWorker, Worker},
};
use rustix::process::{Pid, Signal};
use tokio::time::timeout;

/// The time until a frozen worker has lost its job to another: half a minute and a look at the locks, or the
/// heartbeats of the broker.
const NOTICED: Duration = Duration::from_secs(90);

const JOB_TIMEOUT: &str = "2s";

/// Less than the pictures of these tests have, and more than any message.
const PICTURE_BYTES: u64 = 10_000;

/// The queue and the storage of a test.
struct Place<'test> {
    server: &'test Server,
    storage: &'test Path,
    worker: &'test dyn Fn() -> StartWorker,
}

impl Place<'_> {
    async fn start_worker(&self) -> Worker {
        let worker = (self.worker)().slots(1).variable("UP_JOB_TIMEOUT", JOB_TIMEOUT).start();
        worker.takes_jobs().await;
        worker
    }

    async fn assert_one_making(&self, id: &str) {
        let directory = upload_in(self.storage, id);
        let names = |directory: &Path| {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        let left = || names(&directory);
        let tidied =
            timeout(SOON, eventually("tidied", SOON * 2, async || (left().len() == 3).then_some(())));
        if tidied.await.is_err() {
            let left: Vec<_> = left().into_iter().map(|name| (names(&directory.join(&name)), name)).collect();
            panic!("more than original, result and one making is left: {left:?}");
        }
        eventually("nothing is pending", SOON, async || {
            let mut pending = fs::read_dir(self.storage.join("pending")).ok()?;
            pending.next().is_none().then_some(())
        })
        .await;
    }

    /// Another worker makes what a stopped one had; then the stopped one goes on.
    async fn outlive(&self, id: &str, late: &Worker, decoders: &[Pid], regrets: &[&str]) {
        let other = self.start_worker().await;
        let before = self.server.assert_ready(&self.server.end(id, NOTICED).await).await;
        let result = fs::read(upload_in(self.storage, id).join("result.json")).unwrap();
        signal_all(decoders, Signal::CONT);
        late.signal(Signal::CONT);
        eventually("the late worker notices", SOON, async || {
            let log = late.log();
            regrets.iter().any(|regret| log.contains(regret)).then_some(())
        })
        .await;
        drop(other);
        // It does the next job, so it has settled the late one.
        let next = id_of_next(self.server).await;
        self.server.assert_ready(&self.server.end(&next, NOTICED).await).await;
        assert_eq!(self.server.assert_ready(&self.server.upload(id).await).await, before);
        assert_eq!(fs::read(upload_in(self.storage, id).join("result.json")).unwrap(), result);
        self.assert_one_making(id).await;
    }

    /// Stops a worker and its decoder while the decoder has the picture.
    async fn stop_while_decoding(&self) {
        let late = self.start_worker().await;
        let decoders = decoders(late.pid());
        assert_eq!(decoders.len(), 1);
        signal_all(&decoders, Signal::STOP);
        let upload = id(&self.server.accepted("cat.jpg", pictures::jpeg(640, 480)).await);
        decoder_has_picture(late.pid()).await;
        late.signal(Signal::STOP);
        self.outlive(
            &upload,
            &late,
            &decoders,
            &["another worker stored its result first", "redelivered to another worker"],
        )
        .await;
    }

    /// Stops a worker between its thumbnails and its result.
    async fn stop_while_storing(&self) {
        let late = self.start_worker().await;
        for attempt in 0.. {
            assert!(attempt < 30, "the worker is never caught between thumbnails and result");
            let upload = id(&self.server.accepted("cat.jpg", pictures::jpeg(640, 480)).await);
            let (directory, pid) = (upload_in(self.storage, &upload), late.pid());
            let stopping = tokio::task::spawn_blocking(move || {
                let is_making = |entry: fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
                while !fs::read_dir(&directory).unwrap().flatten().any(is_making) {
                    std::thread::yield_now();
                }
                signal_all(&[pid], Signal::STOP);
                while !is_stopped(pid) {
                    std::thread::yield_now();
                }
                !directory.join("result.json").exists()
            });
            if stopping.await.unwrap() {
                let regrets = ["another worker stored its result first", "redelivered to another worker"];
                return self.outlive(&upload, &late, &[], &regrets).await;
            }
            late.signal(Signal::CONT);
            self.server.end(&upload, SOON).await;
        }
    }
}

/// Waits until a worker has written a picture to its decoder, which is stopped.
async fn decoder_has_picture(worker: Pid) {
    let has_picture = async || (bytes_in_a_pipe(worker) > PICTURE_BYTES).then_some(());
    eventually("the decoder has the picture", SOON, has_picture).await;
}

async fn id_of_next(server: &Server) -> String {
    id(&server.accepted("next.png", pictures::tiny(9)).await)
}

#[tokio::test]
async fn a_worker_that_stands_still_while_decoding_changes_nothing_when_it_goes_on() {
    let data = Data::new();
    let server = Start::on(&data).with("--workers", "0").with("--job-timeout", JOB_TIMEOUT).start();
    let worker = || StartWorker::beside(&data);
    Place { server: &server, storage: data.path(), worker: &worker }.stop_while_decoding().await;
}

#[tokio::test]
async fn a_worker_that_stands_still_before_its_result_changes_nothing_when_it_goes_on() {
    let data = Data::new();
    let server = Start::on(&data).with("--workers", "0").with("--job-timeout", JOB_TIMEOUT).start();
    let worker = || StartWorker::beside(&data);
    Place { server: &server, storage: data.path(), worker: &worker }.stop_while_storing().await;
}

#[tokio::test]
async fn with_a_broker_a_worker_that_stands_still_while_decoding_changes_nothing_when_it_goes_on() {
    let fleet = Fleet::new().await;
    let server = fleet.server().with("--job-timeout", JOB_TIMEOUT).start();
    let worker = || fleet.worker();
    let place = Place { server: &server, storage: fleet.shared.path(), worker: &worker };
    place.stop_while_decoding().await;
    // The late worker may have posted its job again, which costs a delivery and changes nothing.
    let _worker = fleet.worker().start();
    fleet.assert_queue_holds(0).await;
}

#[tokio::test]
async fn with_a_broker_a_worker_that_stands_still_before_its_result_changes_nothing_when_it_goes_on() {
    let fleet = Fleet::new().await;
    let server = fleet.server().with("--job-timeout", JOB_TIMEOUT).start();
    let worker = || fleet.worker();
    let place = Place { server: &server, storage: fleet.shared.path(), worker: &worker };
    place.stop_while_storing().await;
    let _worker = fleet.worker().start();
    fleet.assert_queue_holds(0).await;
}

/// A server with one slot, hence one decoder.
fn one_slot(data: &Data) -> Start {
    Start::on(data).with("--workers", "1").with("--interactive-workers", "0")
}

/// A server with a worker whose decoder is stopped with a picture; answers the upload, and who is stopped.
async fn stopped_in_the_middle(server: &Server) -> (String, Vec<Pid>) {
    server.workers_ready(1).await;
    let decoders: Vec<Pid> = server.workers().into_iter().flat_map(decoders).collect();
    assert_eq!(decoders.len(), 1);
    signal_all(&decoders, Signal::STOP);
    let upload = id(&server.accepted("cat.jpg", pictures::jpeg(640, 480)).await);
    decoder_has_picture(server.workers()[0]).await;
    (upload, decoders)
}

#[tokio::test]
async fn a_decoder_that_is_killed_from_outside_is_not_blamed_on_the_picture() {
    for signal in [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP] {
        let server = one_slot(&Data::new()).start();
        let (upload, decoders) = stopped_in_the_middle(&server).await;
        signal_all(&decoders, signal);
        signal_all(&decoders, Signal::CONT);
        let ended = server.end(&upload, SOON).await;
        assert_eq!(ended["state"], "ready", "{signal:?}: {ended}");
        server.assert_ready(&ended).await;
        assert!(server.log().contains("a decoder was killed from outside"), "{signal:?}");
    }
}

#[tokio::test]
async fn a_picture_whose_decoders_are_killed_again_and_again_is_tried_later() {
    let server = one_slot(&Data::new()).start();
    let (upload, first) = stopped_in_the_middle(&server).await;
    signal_all(&first, Signal::KILL);
    // The other attempt of the same delivery.
    eventually("another decoder is killed", SOON, async || {
        let started: Vec<Pid> = server.workers().into_iter().flat_map(decoders).collect();
        let other: Vec<Pid> = started.into_iter().filter(|pid| !first.contains(pid)).collect();
        signal_all(&other, Signal::KILL);
        (!other.is_empty()).then_some(())
    })
    .await;
    let ended = server.end(&upload, SOON).await;
    assert_eq!(ended["state"], "ready", "{ended}");
    server.assert_ready(&ended).await;
}

#[tokio::test]
async fn a_service_that_is_ended_with_all_its_processes_loses_no_upload() {
    let data = Data::new();
    let mut server = one_slot(&data).start();
    let (upload, decoders) = stopped_in_the_middle(&server).await;
    let everyone = [vec![server.pid()], server.workers(), decoders].concat();
    // As systemd does with KillMode=control-group.
    signal_all(&everyone, Signal::TERM);
    signal_all(&everyone, Signal::CONT);
    assert!(server.ended(SOON).await.success());
    let next = Start::on(&data).start();
    let ended = next.end(&upload, SOON).await;
    assert_eq!(ended["state"], "ready", "{ended}");
    next.assert_ready(&ended).await;
    next.assert_no_temporary_files();
}
