//! A storage that has held many uploads for a long time.

use std::{
    fs::{self, File, FileTimes},
    path::Path,
    time::{Duration, SystemTime},
};

use integration_tests::{
    clock::library,
    patience::{SOON, eventually},
    pictures,
    server::{Data, Start, id, json, upload_in},
    socket::Socket,
};
use tokio::time::{Instant, sleep};
use worker::UploadId;

const STORED: u32 = 200_000;

/// How many stored results are whole; the others are links to one, which count as damaged once they are read.
const READABLE: u32 = 10;

/// How many links a file may have: ext4 allows 65,000.
const LINKS: u32 = 60_000;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a server may take until it listens, in a debug build, however much is stored.
const LISTENS_WITHIN: Duration = Duration::from_millis(100);

/// How much processor time a server may use for its start and its first sweep, in a debug build.
const SWEEPS_WITHIN: Duration = Duration::from_millis(200);

/// Starts that are measured. The median counts: a busy machine delays some.
const STARTS: usize = 5;

/// Lost jobs are found with the second sweep that sees their uploads.
const POSTED_AGAIN: Duration = Duration::from_secs(90);

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    now.as_millis().try_into().unwrap()
}

/// The id of an upload of this age.
fn id_of_age(age: Duration) -> String {
    UploadId::at(now_ms() - u64::try_from(age.as_millis()).unwrap(), &rand::random()).to_string()
}

/// Stores copies of a ready upload, one every few minutes until now, and answers the ids of those that are readable.
fn store_copies(data: &Path, template: &str) -> Vec<String> {
    let upload = upload_in(data, template);
    let result = fs::read_to_string(upload.join("result.json")).unwrap();
    let (original, unreadable) = (data.join("original"), data.join("unreadable"));
    let mut readable = Vec::new();
    for number in 0..STORED {
        if number.is_multiple_of(LINKS) {
            for (name, to) in [("original", &original), ("result.json", &unreadable)] {
                let _ = fs::remove_file(to);
                fs::copy(upload.join(name), to).unwrap();
            }
        }
        let id = id_of_age(Duration::from_secs(400) * (number + 1));
        let to = upload_in(data, &id);
        fs::create_dir_all(&to).unwrap();
        fs::hard_link(&original, to.join("original")).unwrap();
        if number.is_multiple_of(STORED / READABLE) {
            fs::write(to.join("result.json"), result.replace(template, &id)).unwrap();
            readable.push(id);
        } else {
            fs::hard_link(&unreadable, to.join("result.json")).unwrap();
        }
    }
    readable
}

/// Starts a server and answers how long it took to listen, and its processor time with the first sweep.
async fn measure_start(data: &Data) -> (Duration, Duration) {
    let log = data.path().join("server.log");
    let sweeps = || fs::read_to_string(&log).unwrap().matches("swept the pending uploads").count();
    let before = sweeps();
    let begun = Instant::now();
    let server = Start::on(data).start();
    let listens = begun.elapsed();
    eventually("it sweeps", SOON, async || (sweeps() > before).then_some(())).await;
    // Work that a sweep left to another thread counts, too.
    sleep(Duration::from_secs(1)).await;
    (listens, server.processor_time())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::test]
async fn a_server_with_many_stored_uploads_listens_at_once_and_finds_the_few_that_have_not_ended() {
    let data = Data::for_many_files();
    let server = Start::on(&data).start();
    let template = id(&server.accepted("cat.png", pictures::tiny(1)).await);
    server.assert_ready(&server.end(&template, SOON).await).await;
    drop(server);
    let begun = Instant::now();
    let stored = store_copies(data.path(), &template);
    println!("stored after {:?}", begun.elapsed());
    let server = Start::on(&data).with("--workers", "0").start();
    let mut pending = Vec::new();
    for seed in 0..3 {
        pending.push(id(&server.accepted("late.png", pictures::tiny(seed)).await));
    }
    drop(server);
    for file in ["queue.sqlite", "queue.sqlite-wal", "queue.sqlite-shm"] {
        let _ = fs::remove_file(data.path().join(file));
    }
    let (mut listens, mut sweeps) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let (listened, swept) = measure_start(&data).await;
        listens.push(listened);
        sweeps.push(swept);
    }
    println!("listens after {listens:?}, processor time with the first sweep {sweeps:?}");
    let (listens, sweeps) = (median(listens), median(sweeps));
    assert!(listens < LISTENS_WITHIN, "it listened after {listens:?}");
    assert!(sweeps < SWEEPS_WITHIN, "its start and first sweep took {sweeps:?} of processor time");
    let server = Start::on(&data).start();
    let begun = Instant::now();
    for id in &stored {
        assert_eq!(server.upload(id).await["state"], "ready");
    }
    let answers = begun.elapsed();
    for id in &pending {
        server.assert_ready(&server.end(id, POSTED_AGAIN).await).await;
    }
    assert!(answers < READABLE * LISTENS_WITHIN, "{READABLE} answers took {answers:?}");
}

/// Stores copies of a pending upload without jobs, and answers their ids.
fn store_pending(data: &Path, template: &str, count: u64) -> Vec<String> {
    let original = upload_in(data, template).join("original");
    let record = fs::read_to_string(data.join("pending").join(template)).unwrap();
    let copy = |_| {
        let id = id_of_age(Duration::ZERO);
        fs::create_dir_all(upload_in(data, &id)).unwrap();
        fs::hard_link(&original, upload_in(data, &id).join("original")).unwrap();
        fs::write(data.join("pending").join(&id), record.replace(template, &id)).unwrap();
        id
    };
    (0..count).map(copy).collect()
}

#[tokio::test]
async fn thousands_of_subscriptions_that_are_read_again_delay_no_push() {
    const SOCKETS: usize = 6;
    const IDS_OF_A_SOCKET: usize = 500;
    // One re-check of all subscriptions is in it.
    const MEASURED: Duration = Duration::from_secs(18);
    let data = Data::new();
    let server = Start::on(&data).with("--workers", "0").start();
    // In the bulk lane, so that their jobs delay no other once the sweeper posts them.
    let bulk =
        server.client.post(server.at("/uploads?lane=bulk")).body(pictures::tiny(1)).send().await.unwrap();
    let template = id(&json(bulk).await["uploads"][0]);
    drop(server);
    let waiting = store_pending(data.path(), &template, (SOCKETS * IDS_OF_A_SOCKET) as u64);
    let server = Start::on(&data).start();
    let begun = Instant::now();
    let mut subscribers = Vec::new();
    for ids in waiting.chunks(IDS_OF_A_SOCKET) {
        let mut subscriber = Socket::connect(&server.url).await;
        subscriber.subscribe(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
        subscribers.push(subscriber);
    }
    println!("subscribed after {:?}", begun.elapsed());
    let mut socket = Socket::connect(&server.url).await;
    let mut delays = Vec::new();
    let mut seed = 0;
    while begun.elapsed() < MEASURED {
        seed += 1;
        let upload = id(&server.accepted("cat.png", pictures::tiny(seed)).await);
        let accepted = Instant::now();
        socket.subscribe(&[&upload]).await;
        server.assert_ready(&socket.end_of(&upload, SOON).await).await;
        delays.push(accepted.elapsed());
        sleep(Duration::from_millis(100)).await;
    }
    delays.sort();
    let (median, longest) = (delays[delays.len() / 2], delays[delays.len() - 1]);
    println!("{} pushes: median {median:?}, longest {longest:?}", delays.len());
    assert!(delays.len() > 10 && median < Duration::from_secs(1), "median {median:?}, longest {longest:?}");
    assert!(longest < Duration::from_secs(3), "median {median:?}, longest {longest:?}");
    drop(subscribers);
}

/// Writes a file that was written long ago.
fn write_old(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    make_old(path);
}

fn make_old(path: &Path) {
    let old = SystemTime::now() - 3 * DAY;
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(old).set_accessed(old)).unwrap();
}

#[tokio::test]
async fn the_audit_removes_what_killed_writers_left_and_no_upload_that_has_not_ended() {
    let data = Data::new();
    let picture = pictures::tiny(1);
    let [orphan, staged, ended] = [0, 1, 2].map(|number| id_of_age(3 * DAY + Duration::from_secs(number)));
    write_old(&data.upload(&orphan).join("original"), &picture);
    write_old(&data.upload(&staged).join("original#1"), &picture[..20]);
    // Live, and accepted in the same hours.
    let server = Start::on(&data).with("--workers", "0").start();
    let template = id(&server.accepted("cat.png", picture.clone()).await);
    drop(server);
    let waiting = id_of_age(3 * DAY + Duration::from_secs(3));
    let record = fs::read_to_string(data.path().join("pending").join(&template)).unwrap();
    write_old(&data.upload(&waiting).join("original"), &picture);
    fs::write(data.path().join("pending").join(&waiting), record.replace(&template, &waiting)).unwrap();
    // Failed, and nothing but that is known of it.
    write_old(&data.upload(&ended).join("original"), &picture);
    write_old(&data.upload(&ended).join("failure.1.json"), b"");
    // And a writer that is live: its file is young.
    let young = id_of_age(Duration::from_secs(1));
    fs::create_dir_all(data.upload(&young)).unwrap();
    fs::write(data.upload(&young).join("original#1"), &picture).unwrap();
    make_old(&data.upload(&staged));
    // Every clock of this server runs fast, and so the quarter of an hour until the first audit passes in seconds.
    let server = Start::on(&data)
        .with("--workers", "0")
        .with("--admin-listen", "127.0.0.1:0")
        .variable("LD_PRELOAD", library().display().to_string())
        .variable("FAKETIME", "+0 x120")
        .variable("NO_FAKE_STAT", "1")
        .start();
    eventually("the shard was audited", Duration::from_secs(60), async || {
        data.path().join("audits").join(format!("{}.json", &orphan[..6])).exists().then_some(())
    })
    .await;
    assert!(!data.upload(&orphan).exists(), "an original that belongs to nobody is removed");
    assert!(!data.upload(&staged).join("original#1").exists(), "a staged file is removed");
    assert!(data.upload(&waiting).join("original").exists(), "it waits");
    assert!(data.upload(&ended).join("original").exists(), "it has ended");
    assert!(data.upload(&young).join("original#1").exists(), "its writer may live");
    assert_eq!(server.upload(&waiting).await["state"], "queued");
    eventually("the audit is counted", Duration::from_secs(60), async || {
        server.figure("up_audits_total{outcome=\"finished\"}").await.filter(|audits| *audits >= 1.0)
    })
    .await;
    drop(server);
    let server = Start::on(&data).start();
    server.assert_ready(&server.end(&waiting, POSTED_AGAIN).await).await;
}
