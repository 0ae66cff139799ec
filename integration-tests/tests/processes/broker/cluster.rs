//! A cluster of three nodes that loses one, in every way that nodes are lost, under four uploads a second.
//!
//! `UP_TEST_CLUSTER_LONG` makes the faults last as long as they do in production, `UP_TEST_CLUSTER_FAULT` runs those
//! whose names contain one of its values, separated by commas, or all of them if it is empty. Without it, the leader is
//! killed.

use std::{
    collections::BTreeMap,
    env,
    sync::{Arc, Mutex},
    time::Duration,
};

use integration_tests::{
    fleet::Fleet,
    pictures,
    rabbit::{Cluster, Release},
    server::{Server, id},
    socket::{Came, Socket, open},
    worker::Worker,
};
use reqwest::multipart::{Form, Part};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{
    task::block_in_place,
    time::{Instant, interval, sleep, timeout},
};

/// Between two uploads.
const UPLOAD_EVERY: Duration = Duration::from_millis(250);

/// How long pushes may be silent.
const SILENT: Duration = Duration::from_secs(10);

/// How long uploads go on before a fault, and after it.
const BEFORE: Duration = Duration::from_secs(3);
const AFTER: Duration = Duration::from_secs(10);

/// How long after the last upload everything must have ended. A job whose consumer was on a node that was frozen or cut
/// off comes again when the other nodes miss that node, and the sweeper posts again what was lost with a node.
const SETTLED: Duration = Duration::from_secs(150);

/// How long a frozen or cut off node, and a killed one, stays so.
const LOST: Duration = Duration::from_secs(15);
const LOST_LONG: Duration = Duration::from_secs(60);
const KILLED_LONG: Duration = Duration::from_secs(360);

/// One way to lose a node.
#[derive(Debug, Clone, Copy)]
enum Fault {
    KillsTheLeader,
    KillsTheNodeOfAServer,
    CutsOffTheLeader,
    CutsOffTheNodeOfAServer,
    FreezesTheLeader,
    RestartsOneAfterTheOther,
}

const FAULTS: [Fault; 6] = [
    Fault::KillsTheLeader,
    Fault::KillsTheNodeOfAServer,
    Fault::CutsOffTheLeader,
    Fault::CutsOffTheNodeOfAServer,
    Fault::FreezesTheLeader,
    Fault::RestartsOneAfterTheOther,
];

/// The uploads of a fault, and when the subscriber of one server was pushed their ends.
#[derive(Default)]
struct Ledger(BTreeMap<String, (Instant, Option<(Instant, String)>)>);

type Shared = Arc<Mutex<Ledger>>;

impl Ledger {
    fn unknown(&self) -> Vec<String> {
        self.0.iter().filter(|(_, (_, end))| end.is_none()).map(|(id, _)| id.clone()).collect()
    }

    /// The longest time within `from` and `until` in which nothing was pushed, and when it began after `from`.
    fn silence(&self, from: Instant, until: Instant) -> (Duration, Duration) {
        let pushes = self.0.values().filter_map(|(_, end)| Some(end.as_ref()?.0));
        let mut times: Vec<_> = pushes.filter(|at| *at < until).chain([from, until]).collect();
        times.sort();
        times.windows(2).map(|pair| (pair[1] - pair[0], pair[0] - from)).max().unwrap_or_default()
    }

    fn slowest(&self) -> Duration {
        let ended = self.0.values().filter_map(|(accepted, end)| Some(end.as_ref()?.0 - *accepted));
        ended.max().unwrap_or_default()
    }
}

struct Scene {
    cluster: Cluster,
    urls: String,
    fleet: Fleet,
    servers: [Server; 2],
    workers: [Worker; 2],
}

impl Scene {
    async fn new() -> Self {
        let cluster = Cluster::start().await;
        let fleet = Fleet::on(cluster.vhost().await);
        let urls = cluster.urls(&fleet.vhost);
        let servers = [(); 2].map(|()| fleet.server().with("--broker", &urls).start());
        let workers = [(); 2].map(|()| fleet.worker_at(&urls).start());
        for worker in &workers {
            worker.takes_jobs().await;
        }
        Self { cluster, urls, fleet, servers, workers }
    }

    /// The node to which a server is connected, and which holds its reply queue.
    async fn node_of_a_server(&self) -> usize {
        let queues = self.fleet.vhost.queues("up.done.").await;
        self.cluster.node_of(&self.fleet.vhost, &queues[0]).await
    }

    async fn suffer(&mut self, fault: Fault, is_long: bool) {
        let lost = if is_long { LOST_LONG } else { LOST };
        match fault {
            Fault::KillsTheLeader | Fault::KillsTheNodeOfAServer => {
                let node = match fault {
                    Fault::KillsTheLeader => self.cluster.leader(&self.fleet.vhost, "resize").await,
                    _ => self.node_of_a_server().await,
                };
                block_in_place(|| self.cluster.nodes[node].kill());
                sleep(if is_long { KILLED_LONG } else { LOST }).await;
                self.cluster.nodes[node].run().await;
            }
            Fault::CutsOffTheLeader | Fault::CutsOffTheNodeOfAServer => {
                let node = match fault {
                    Fault::CutsOffTheLeader => self.cluster.leader(&self.fleet.vhost, "resize").await,
                    _ => self.node_of_a_server().await,
                };
                self.cluster.cut_off(node);
                sleep(lost).await;
                self.cluster.mend().await;
            }
            Fault::FreezesTheLeader => {
                let node = self.cluster.leader(&self.fleet.vhost, "resize").await;
                self.cluster.nodes[node].signal(Signal::STOP);
                sleep(lost).await;
                let node = &mut self.cluster.nodes[node];
                node.signal(Signal::CONT);
                sleep(AFTER).await;
                // RabbitMQ 3.10 may stay partitioned after a freeze, until the node is restarted as operators are told.
                block_in_place(|| node.stop());
                node.run().await;
            }
            Fault::RestartsOneAfterTheOther => {
                for node in &mut self.cluster.nodes {
                    block_in_place(|| node.stop());
                    node.run().await;
                }
            }
        }
        self.cluster.is_whole().await;
    }

    /// One fault under uploads, and its ledger.
    async fn survives(&mut self, fault: Fault, is_long: bool) {
        let ledgers = [Shared::default(), Shared::default()];
        let urls = self.servers.each_ref().map(|server| server.url.clone());
        let from = Instant::now();
        let uploading = tokio::spawn(upload(urls.clone(), ledgers.clone()));
        let watching =
            [0, 1].map(|server| tokio::spawn(watch(urls[server].clone(), ledgers[server].clone())));
        sleep(BEFORE).await;
        self.suffer(fault, is_long).await;
        sleep(AFTER).await;
        uploading.abort();
        assert!(uploading.await.is_err_and(|ended| ended.is_cancelled()), "{fault:?}: an upload was refused");
        let until = Instant::now();
        while ledgers.iter().any(|ledger| !ledger.lock().unwrap().unknown().is_empty())
            && until.elapsed() < SETTLED
        {
            sleep(Duration::from_millis(100)).await;
        }
        let settled = until.elapsed();
        watching.iter().for_each(|watching| watching.abort());
        let count = |ledger: &Ledger, state: &str| {
            let ends =
                ledger.0.values().filter(|(_, end)| end.as_ref().is_some_and(|(_, seen)| seen == state));
            ends.count()
        };
        let [first, second] = ledgers.map(|ledger| std::mem::take(&mut *ledger.lock().unwrap()));
        let (silence, began) = first.silence(from, until).max(second.silence(from, until));
        let retried: usize = self
            .workers
            .iter()
            .map(|worker| worker.log().matches("a job failed and is retried").count())
            .sum();
        println!(
            "{:?} {fault:?}: accepted = {}, ready = {}, failed = {}, unknown = {}, longest silence = {silence:.1?} \
             from {began:.1?} on, \
             slowest push = {:.1?}, settled after {settled:.1?}, retries = {retried}",
            Release::chosen(),
            first.0.len(),
            count(&first, "ready").min(count(&second, "ready")),
            count(&first, "failed").max(count(&second, "failed")),
            first.unknown().len().max(second.unknown().len()),
            first.slowest().max(second.slowest()),
        );
        for ledger in [&first, &second] {
            assert_eq!(count(ledger, "ready"), ledger.0.len(), "{fault:?}: every upload is ready");
        }
        assert_eq!(retried, 0, "{fault:?}: no retry is charged to a job");
        let logs = || self.servers.each_ref().map(|server| server.log()).join("\n");
        assert!(silence <= SILENT, "{fault:?}: pushes were silent for {silence:?}\n{}", logs());
        // Doubles may still be at work, and a dead letter stays.
        Fleet::assert_holds(&Fleet::queue_at(&self.urls), 0, SETTLED).await;
    }
}

/// Uploads to both servers in turns. Panics unless every upload is accepted.
async fn upload(urls: [String; 2], ledgers: [Shared; 2]) {
    let client = reqwest::Client::new();
    let mut turns = interval(UPLOAD_EVERY);
    for number in 0.. {
        turns.tick().await;
        let part = Part::bytes(pictures::tiny(number)).file_name(format!("{number}.png"));
        let form = Form::new().part("file", part);
        let url = format!("{}/uploads", urls[number as usize % 2]);
        let answer = client.post(url).multipart(form).send().await.expect("a server answers");
        let (status, body) = (answer.status(), answer.text().await.expect("an answer has a body"));
        assert_eq!(status, 202, "{body}");
        let body: Value = serde_json::from_str(&body).expect("an answer is JSON");
        for ledger in &ledgers {
            ledger.lock().unwrap().0.insert(id(&body["uploads"][0]), (Instant::now(), None));
        }
    }
}

/// Subscribes to every upload at one server, whichever accepted it, and notes what is pushed.
async fn watch(url: String, ledger: Shared) {
    let stream = open(&url, &[("sec-websocket-protocol", "up.v1")]).await.expect("a socket can be opened");
    let mut socket = Socket { stream };
    let mut subscribed = Vec::new();
    loop {
        let mut new = ledger.lock().unwrap().unknown();
        new.retain(|id| !subscribed.contains(id));
        new.truncate(400);
        if !new.is_empty() {
            let ids: Vec<&str> = new.iter().map(String::as_str).collect();
            socket.subscribe(&ids).await;
            subscribed.extend(new);
        }
        let Ok(came) = timeout(Duration::from_millis(50), socket.next(Duration::from_secs(3600))).await
        else {
            continue;
        };
        let Came::Message(mut message) = came else { panic!("the server closed a socket") };
        let told = match message["type"].as_str() {
            Some("snapshot") => message["uploads"].as_array_mut().map(std::mem::take).unwrap_or_default(),
            Some("ping") => {
                socket.say(&json!({"type": "pong", "t": message["t"]})).await;
                continue;
            }
            _ => vec![message["upload"].take()],
        };
        let mut gone = Vec::new();
        for upload in told {
            if let Some(state @ ("ready" | "failed")) = upload["state"].as_str() {
                let mut ledger = ledger.lock().unwrap();
                if let Some((_, end)) = ledger.0.get_mut(&id(&upload)) {
                    end.get_or_insert((Instant::now(), state.to_owned()));
                }
                gone.push(id(&upload));
            }
        }
        if !gone.is_empty() {
            socket.say(&json!({"type": "unsubscribe", "ids": gone})).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_that_loses_a_node_loses_no_upload_and_is_not_silent_for_long() {
    let is_long = env::var_os("UP_TEST_CLUSTER_LONG").is_some();
    let wanted = env::var("UP_TEST_CLUSTER_FAULT").unwrap_or_else(|_| format!("{:?}", FAULTS[0]));
    let is_wanted = |fault: &Fault| wanted.split(',').any(|name| format!("{fault:?}").contains(name));
    let mut scene = Scene::new().await;
    for fault in FAULTS.into_iter().filter(is_wanted) {
        scene.survives(fault, is_long).await;
    }
}
