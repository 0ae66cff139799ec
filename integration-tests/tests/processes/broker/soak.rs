//! A minute of random faults over live uploads, of which some are deleted and some expire, and then the ledger.
//!
//! `UP_TEST_SOAK_SECONDS` makes it longer, `UP_TEST_SEED` repeats one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use integration_tests::{
    fleet::Fleet,
    patience::eventually,
    pictures,
    proxy::{Network, Proxy},
    rabbit::Node,
    server::{Data, Server, Start, id, json, token, uploads_in},
    socket::{Came, Socket},
    worker::Worker,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

/// How long the faults go on unless a variable says otherwise.
const SOAK: Duration = Duration::from_secs(60);

/// The parts of the uploads that their sender deletes, and that expire by themselves.
const DELETED: f64 = 0.3;
const EXPIRING: f64 = 0.1;

/// The seconds after which the latter expire.
const EXPIRES: std::ops::Range<u32> = 1..30;

/// How long after its end of life an upload may have left something: a round of expiry, or two looks of a sweeper, and
/// what a killed worker wrote is removed when its job is redelivered or at a second look.
const REMOVED: Duration = Duration::from_secs(90);

/// How long a server may remember the result of an upload whose deletion it has missed.
const FORGOTTEN: Duration = Duration::from_secs(40);

/// How long after the last fault everything that was accepted must have ended: what a killed server leaves in its
/// outbox is at the worst found by a sweep, and a job that failed rests for half a minute.
const SETTLED: Duration = Duration::from_secs(150);

/// The ledger: accepted uploads and their ends.
#[derive(Default)]
struct Ledger {
    /// The end that its subscriber was told on a socket, if it was told one.
    accepted: BTreeMap<String, Option<String>>,
    /// Accepted uploads that expire, or whose deletion was asked for: these may end as `gone`.
    mortal: BTreeSet<String>,
    /// Deletions that were answered with 204.
    deleted: BTreeSet<String>,
    /// Uploads that no server was there to answer.
    unanswered: u32,
    /// Answers other than 202: outboxes were full, or servers were leaving.
    refused: BTreeMap<u16, u32>,
}

type Shared = Arc<Mutex<Ledger>>;

/// Everything that faults happen to.
struct Scene {
    node: Node,
    fleet: Fleet,
    proxies: [Proxy; 2],
    data: [Data; 2],
    servers: [Option<Server>; 2],
    workers: [Option<Worker>; 2],
}

impl Scene {
    async fn new() -> Self {
        let node = Node::start().await;
        let fleet = Fleet::on(node.vhost().await);
        let proxies = [Proxy::to(node.amqp).await, Proxy::to(node.amqp).await];
        let mut scene = Self {
            node,
            fleet,
            proxies,
            data: [Data::new(), Data::new()],
            servers: [None, None],
            workers: [None, None],
        };
        scene.revive();
        scene
    }

    /// Starts whatever does not run. Servers and workers go through the same two proxies.
    fn revive(&mut self) {
        for number in 0..2 {
            let port = self.proxies[number].port;
            if self.servers[number].is_none() {
                let start = Start::on(&self.data[number])
                    .with("--workers", "0")
                    .with("--broker", &self.fleet.vhost.url_on(port))
                    .with("--storage", &self.fleet.storage());
                self.servers[number] = Some(start.start());
            }
            if self.workers[number].is_none() {
                self.workers[number] = Some(self.fleet.worker_through(port).start());
            }
        }
    }

    /// One fault, and how it passes. Answers its name.
    async fn suffer(&mut self, random: &mut StdRng) -> &'static str {
        let whom = random.random_range(0..2);
        let a_while = Duration::from_millis(random.random_range(200..3000));
        match random.random_range(0..9) {
            0 | 1 => {
                self.workers[whom] = None;
                sleep(a_while / 4).await;
                "a worker is killed"
            }
            2 => {
                self.servers[whom] = None;
                sleep(a_while / 4).await;
                "a server is killed"
            }
            3 => {
                self.node.kill();
                sleep(a_while).await;
                self.node.run().await;
                "the broker is killed"
            }
            4 => {
                self.proxies[whom].cut().await;
                "connections are cut"
            }
            5 => {
                self.proxies[whom].set(Network::BlackHole);
                sleep(a_while * 3).await;
                self.proxies[whom].cut().await;
                "the network stalls"
            }
            6 => {
                self.proxies[whom].set(Network::LosesReplies);
                sleep(a_while).await;
                self.proxies[whom].cut().await;
                "replies are lost"
            }
            7 => {
                self.proxies[whom].set(Network::Refuses);
                sleep(a_while).await;
                self.proxies[whom].set(Network::Passes);
                "connections are refused"
            }
            _ => {
                self.node.control(&["set_vm_memory_high_watermark", "0"]);
                sleep(a_while).await;
                self.node.control(&["set_vm_memory_high_watermark", "0.4"]);
                "the broker is short of memory"
            }
        }
    }

    fn urls(&self) -> Vec<String> {
        self.servers.iter().flatten().map(|server| server.url.clone()).collect()
    }
}

/// Uploads pictures to whichever server is there.
async fn upload(urls: Arc<Mutex<Vec<String>>>, ledger: Shared, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let client = reqwest::Client::new();
    for number in 0u32.. {
        let url = {
            let urls = urls.lock().unwrap();
            urls.get(random.random_range(0..urls.len().max(1))).cloned()
        };
        let Some(url) = url else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let picture = if random.random_bool(0.3) {
            pictures::jpeg(random.random_range(200..1600), random.random_range(200..1200))
        } else {
            pictures::tiny(number)
        };
        let expires = random.random_bool(EXPIRING).then(|| random.random_range(EXPIRES).to_string());
        let form = Form::new().text("expires", expires.clone().unwrap_or_default());
        let form = form.part("file", Part::bytes(picture).file_name(format!("{number}.jpg")));
        let answer = client.post(format!("{url}/uploads")).multipart(form).send().await;
        match answer {
            Ok(answer) if answer.status() == 202 => {
                if let Ok(body) = answer.text().await {
                    let body: Value = serde_json::from_str(&body).unwrap();
                    let upload = &body["uploads"][0];
                    let deletes = random.random_bool(DELETED);
                    {
                        let mut ledger = ledger.lock().unwrap();
                        ledger.accepted.insert(id(upload), None);
                        if deletes || expires.is_some() {
                            ledger.mortal.insert(id(upload));
                        }
                    }
                    if deletes {
                        let after = Duration::from_millis(random.random_range(0..3000));
                        let (urls, ledger) = (Arc::clone(&urls), Arc::clone(&ledger));
                        tokio::spawn(delete(urls, ledger, id(upload), token(upload), after));
                    }
                }
            }
            Ok(answer) => {
                *ledger.lock().unwrap().refused.entry(answer.status().as_u16()).or_default() += 1;
                sleep(Duration::from_millis(200)).await;
            }
            Err(_) => {
                ledger.lock().unwrap().unanswered += 1;
                sleep(Duration::from_millis(100)).await;
            }
        }
        sleep(Duration::from_millis(random.random_range(20..120))).await;
    }
}

/// Deletes an upload at whichever server is there, until one says that it is gone.
async fn delete(urls: Arc<Mutex<Vec<String>>>, ledger: Shared, id: String, token: String, after: Duration) {
    let client = reqwest::Client::new();
    sleep(after).await;
    loop {
        let url = urls.lock().unwrap().last().cloned();
        if let Some(url) = url {
            let answer = client.delete(format!("{url}/uploads/{id}")).bearer_auth(&token).send().await;
            match answer.map(|answer| answer.status().as_u16()) {
                Ok(204) => break,
                Ok(status @ 400..500) => panic!("a deletion was refused with {status}"),
                Ok(_) | Err(_) => {}
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
    ledger.lock().unwrap().deleted.insert(id);
}

/// Waits on sockets, as a page does: for everything that has not ended, at whichever server is there.
async fn wait(urls: Arc<Mutex<Vec<String>>>, ledger: Shared) {
    loop {
        let url = urls.lock().unwrap().first().cloned();
        if let Some(url) = url {
            // Ends in a panic when the server goes; a page would connect again, and so does this.
            let _ = tokio::spawn(watch(url, Arc::clone(&ledger))).await;
        }
        sleep(Duration::from_millis(100)).await;
        urls.lock().unwrap().rotate_left(1);
    }
}

async fn watch(url: String, ledger: Shared) {
    let Ok(stream) = integration_tests::socket::open(&url, &[("sec-websocket-protocol", "up.v1")]).await
    else {
        return;
    };
    let mut socket = Socket { stream };
    let mut subscribed = BTreeSet::new();
    loop {
        let new: Vec<String> = {
            let ledger = ledger.lock().unwrap();
            let waiting =
                ledger.accepted.iter().filter(|(id, end)| end.is_none() && !subscribed.contains(*id));
            waiting.map(|(id, _)| id.clone()).take(400).collect()
        };
        if !new.is_empty() {
            let ids: Vec<&str> = new.iter().map(String::as_str).collect();
            socket.subscribe(&ids).await;
            subscribed.extend(new);
        }
        let Ok(came) = timeout(Duration::from_millis(200), socket.next(Duration::from_secs(3600))).await
        else {
            continue;
        };
        let Came::Message(mut message) = came else { return };
        let told = match message["type"].as_str() {
            Some("snapshot") => message["uploads"].as_array_mut().map(std::mem::take).unwrap_or_default(),
            Some("ping") => {
                socket.say(&json!({"type": "pong", "t": message["t"]})).await;
                continue;
            }
            _ => vec![message["upload"].take()],
        };
        let gone = note(&ledger, told);
        if !gone.is_empty() {
            socket.say(&json!({"type": "unsubscribe", "ids": gone})).await;
        }
    }
}

/// Enters ends into the ledger; answers whose they were.
fn note(ledger: &Shared, told: Vec<Value>) -> Vec<String> {
    let mut ledger = ledger.lock().unwrap();
    let mut gone = Vec::new();
    for upload in told {
        if let Some(state @ ("ready" | "failed" | "gone")) = upload["state"].as_str()
            && let Some(end) = ledger.accepted.get_mut(&id(&upload))
        {
            *end = Some(state.to_owned());
            gone.push(id(&upload));
        }
    }
    gone
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_any_faults_every_upload_has_ended_and_every_subscriber_was_told() {
    let variable = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seed = variable("UP_TEST_SEED").unwrap_or_else(rand::random);
    let lasts = variable("UP_TEST_SOAK_SECONDS").map_or(SOAK, Duration::from_secs);
    println!("UP_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut scene = Scene::new().await;
    let urls = Arc::new(Mutex::new(scene.urls()));
    let ledger = Shared::default();
    let uploading = tokio::spawn(upload(Arc::clone(&urls), Arc::clone(&ledger), seed));
    let waiting = tokio::spawn(wait(Arc::clone(&urls), Arc::clone(&ledger)));
    let begun = Instant::now();
    let mut faults: BTreeMap<&str, u32> = BTreeMap::new();
    while begun.elapsed() < lasts {
        let fault = scene.suffer(&mut random).await;
        *faults.entry(fault).or_default() += 1;
        scene.revive();
        *urls.lock().unwrap() = scene.urls();
        sleep(Duration::from_millis(random.random_range(0..1500))).await;
    }
    uploading.abort();
    let healed = Instant::now();
    let unknown = loop {
        let unknown: Vec<String> = {
            let ledger = ledger.lock().unwrap();
            ledger.accepted.iter().filter(|(_, end)| end.is_none()).map(|(id, _)| id.clone()).collect()
        };
        if unknown.is_empty() || healed.elapsed() > SETTLED {
            break unknown;
        }
        sleep(Duration::from_millis(100)).await;
    };
    waiting.abort();
    let (mortal, deleted) = {
        let mut ledger = ledger.lock().unwrap();
        (std::mem::take(&mut ledger.mortal), std::mem::take(&mut ledger.deleted))
    };
    let (accepted, unanswered, refused) = {
        let mut ledger = ledger.lock().unwrap();
        (std::mem::take(&mut ledger.accepted), ledger.unanswered, std::mem::take(&mut ledger.refused))
    };
    let server = scene.servers[0].as_ref().unwrap();
    for lost in &unknown {
        let state = server.client.get(server.at(&format!("/uploads/{lost}"))).send().await.unwrap();
        println!("nobody was told the end of {lost}: {}", json(state).await);
    }
    let ready = accepted.values().filter(|end| end.as_deref() == Some("ready")).count();
    let unexpected = accepted.values().filter(|end| end.as_deref() == Some("failed")).count();
    println!(
        "seed = {seed}, accepted = {}, ready = {ready}, mortal = {}, deleted = {}, lost = {}, unexpected = {unexpected}, unanswered = {unanswered}, \
         refused = {refused:?}, settled after {:?}, faults = {faults:?}",
        accepted.len(),
        mortal.len(),
        deleted.len(),
        unknown.len(),
        healed.elapsed(),
    );
    assert!(accepted.len() > 10, "hardly anything was accepted");
    assert_eq!((unknown.len(), unexpected), (0, 0));
    for id in accepted.keys().filter(|id| !mortal.contains(*id)) {
        server.assert_ready(&server.upload(id).await).await;
    }
    assert!(!deleted.is_empty(), "hardly anything was deleted");
    for id in &mortal {
        server.assert_leaves_its_tombstone_alone(scene.fleet.shared.path(), id, REMOVED).await;
        // The announcement may have been lost; then a result that a server remembers expires.
        eventually("a deleted upload is gone", FORGOTTEN, async || {
            let seen = server.client.get(server.at(&format!("/uploads/{id}"))).send().await.unwrap();
            (seen.status() == 410).then_some(())
        })
        .await;
    }
    let stored = uploads_in(scene.fleet.shared.path()).len();
    // Requests that no client was answered may have left an upload or, for the audit, an original.
    let orphans = stored.saturating_sub(accepted.len() - mortal.len() + unanswered as usize);
    assert_eq!(orphans, 0, "more is stored than was sent");
    scene.fleet.assert_queue_holds(0).await;
}
