//! A server as a real process, with its workers.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use reqwest::{Body, Response, multipart};
use rustix::fs::statvfs;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;

use crate::patience::{SOON, eventually};

/// A file system in memory.
const MEMORY: &str = "/dev/shm";

/// The room for half a million files.
const MANY_FILES_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// The ticks of `/proc` in a second, on every architecture of Linux.
const TICKS_PER_SECOND: u64 = 100;

/// A directory of a server's data, which outlives the server and goes with the last handle.
#[derive(Clone)]
pub struct Data(Arc<TempDir>);

impl Data {
    /// A fresh one.
    ///
    /// # Panics
    /// When there is no temporary directory.
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(TempDir::with_prefix("up-test-").expect("a temporary directory can be made")))
    }

    /// A fresh one for hundreds of thousands of files: in memory where there is room, since a disk takes minutes.
    ///
    /// # Panics
    /// When there is no temporary directory.
    #[must_use]
    pub fn for_many_files() -> Self {
        let has_room =
            statvfs(MEMORY).is_ok_and(|system| system.f_bavail * system.f_frsize >= MANY_FILES_BYTES);
        let directory = if has_room { PathBuf::from(MEMORY) } else { std::env::temp_dir() };
        let made = TempDir::with_prefix_in("up-test-", directory);
        Self(Arc::new(made.expect("a temporary directory can be made")))
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Every file of every upload, relative to its shard.
    #[must_use]
    pub fn files(&self) -> BTreeSet<String> {
        fn walk(directory: &Path, root: &Path, found: &mut BTreeSet<String>) {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let path = entry.path();
                let relative = path.strip_prefix(root).expect("it lies under the root");
                found.insert(relative.to_string_lossy().into_owned());
                walk(&path, root, found);
            }
        }
        let mut found = BTreeSet::new();
        for shard in fs::read_dir(self.path().join("uploads")).into_iter().flatten().flatten() {
            walk(&shard.path(), &shard.path(), &mut found);
        }
        found
    }

    /// The directory of an upload.
    #[must_use]
    pub fn upload(&self, id: &str) -> PathBuf {
        upload_in(self.path(), id)
    }

    /// The ids of all uploads that are stored, whole or not.
    #[must_use]
    pub fn uploads(&self) -> Vec<String> {
        uploads_in(self.path())
    }

    /// The names of the entries of the pending index.
    #[must_use]
    pub fn pending(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.path().join("pending")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

/// The ids of all uploads in a storage directory, whole or not.
#[must_use]
pub fn uploads_in(storage: &Path) -> Vec<String> {
    let shards = fs::read_dir(storage.join("uploads")).into_iter().flatten().flatten();
    let uploads = shards.flat_map(|shard| fs::read_dir(shard.path()).into_iter().flatten().flatten());
    uploads.map(|upload| upload.file_name().to_string_lossy().into_owned()).collect()
}

/// Every file in a storage directory whose path names an upload, relative to the directory.
#[must_use]
pub fn objects_of(storage: &Path, id: &str) -> Vec<String> {
    fn walk(directory: &Path, root: &Path, id: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let relative =
                path.strip_prefix(root).expect("it lies under the root").to_string_lossy().into_owned();
            if relative.contains(id) && path.is_file() {
                found.push(relative);
            }
            walk(&path, root, id, found);
        }
    }
    let mut found = Vec::new();
    for part in ["uploads", "pending", "gone", "expiry", "stored"] {
        walk(&storage.join(part), storage, id, &mut found);
    }
    found
}

/// The token of an accepted upload.
///
/// # Panics
/// When it has none.
#[must_use]
pub fn token(accepted: &Value) -> String {
    accepted["token"].as_str().expect("the answer to an upload has a token").to_owned()
}

/// The directory of an upload in a storage directory.
#[must_use]
pub fn upload_in(storage: &Path, id: &str) -> PathBuf {
    storage.join("uploads").join(&id[..6]).join(id)
}

/// The thumbnails of a directory of an upload that has one making, smallest first.
///
/// # Panics
/// When they are not there.
#[must_use]
pub fn thumbnails_in(upload: &Path) -> [Vec<u8>; 3] {
    let is_making = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let making = fs::read_dir(upload).expect("it is stored").flatten().find(is_making).expect("it was made");
    ["small", "medium", "large"].map(|size| {
        let named = |encoding| fs::read(making.path().join(format!("{size}.{encoding}")));
        named("jpg").or_else(|_| named("png")).expect("the thumbnail is stored")
    })
}

/// How to start a server.
pub struct Start {
    data: Data,
    /// The directory that the server gets as its own, if it is another one.
    data_at: Option<PathBuf>,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    limits: Option<String>,
    executable: PathBuf,
    /// A program that starts the executable.
    through: Option<PathBuf>,
    logs_by_default: bool,
}

impl Start {
    /// With fresh data and two workers.
    #[must_use]
    pub fn new() -> Self {
        Self::on(&Data::new())
    }

    /// On data that another server may have left.
    #[must_use]
    pub fn on(data: &Data) -> Self {
        let arguments = ["--workers", "2", "--drain-delay", "0s"].map(str::to_owned).into();
        Self {
            data: data.clone(),
            data_at: None,
            arguments,
            variables: Vec::new(),
            limits: None,
            executable: binary("up-server"),
            through: None,
            logs_by_default: false,
        }
    }

    /// With a setting; the last of a flag counts.
    #[must_use]
    pub fn with(mut self, flag: &str, value: &str) -> Self {
        if let Some(at) = self.arguments.iter().position(|argument| argument == flag) {
            self.arguments[at + 1] = value.to_owned();
        } else {
            self.arguments.extend([flag.to_owned(), value.to_owned()]);
        }
        self
    }

    /// With its data in another directory; the log stays where it is.
    #[must_use]
    pub fn data_at(mut self, directory: &Path) -> Self {
        self.data_at = Some(directory.to_owned());
        self
    }

    /// With failpoints; see `worker::failpoint`.
    #[must_use]
    pub fn failing(self, failpoints: impl Into<String>) -> Self {
        self.variable("UP_FAILPOINTS", failpoints)
    }

    /// With a variable of the environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// With limits of the system, as options of the shell's `ulimit`.
    #[must_use]
    pub fn limited(mut self, limits: &str) -> Self {
        self.limits = Some(limits.to_owned());
        self
    }

    /// With another file of the executable.
    #[must_use]
    pub fn executable(mut self, path: PathBuf) -> Self {
        self.executable = path;
        self
    }

    /// Started by another program, which gets the path of the executable.
    #[must_use]
    pub fn through(mut self, program: &str) -> Self {
        self.through = Some(binary(program));
        self
    }

    /// With the log as operators see it, instead of a longer one.
    #[must_use]
    pub fn logging_by_default(mut self) -> Self {
        self.logs_by_default = true;
        self
    }

    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn start(self) -> Server {
        let log = File::options().create(true).append(true).open(self.data.path().join("server.log"));
        let child = self.command().stderr(log.expect("the log can be opened")).spawn();
        let mut child = child.expect("the server starts: `make test` builds it first");
        let output = child.stdout.take().expect("it is piped");
        let line = BufReader::new(output).lines().next();
        let line = line
            .and_then(Result::ok)
            .unwrap_or_else(|| panic!("the server did not listen:\n{}", log_of(&self.data)));
        let url = line.strip_prefix("listening on ").expect("it says where").to_owned();
        Server { child, data: self.data, url, client: reqwest::Client::new() }
    }
}

impl Start {
    /// Runs it until it ends, since it must not start. Answers its exit code and all that it said.
    ///
    /// # Panics
    /// When it cannot be run.
    #[must_use]
    pub fn refused(self) -> (Option<i32>, String) {
        let output = self.command().output().expect("the server can be run");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    fn command(&self) -> Command {
        let binary = self.through.as_ref().unwrap_or(&self.executable);
        let mut command = match &self.limits {
            None => Command::new(binary),
            Some(limits) => {
                let mut command = Command::new("sh");
                command.args(["-c", &format!("ulimit {limits}; exec \"$0\" \"$@\"")]).arg(binary);
                command
            }
        };
        if self.through.is_some() {
            command.arg(&self.executable);
        }
        let data = self.data_at.as_deref().unwrap_or_else(|| self.data.path());
        command.args(["--listen", "127.0.0.1:0"]).arg("--data").arg(data).args(&self.arguments);
        if self.logs_by_default {
            command.env_remove("RUST_LOG");
        } else {
            command.env("RUST_LOG", "debug,hyper=info,tungstenite=info,tokio_tungstenite=info,lapin=info");
        }
        command
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            // A group of its own, so that a parked worker can be ended with it.
            .process_group(0);
        command
    }
}

impl Default for Start {
    fn default() -> Self {
        Self::new()
    }
}

fn log_of(data: &Data) -> String {
    fs::read_to_string(data.path().join("server.log")).unwrap_or_default()
}

/// The path of one of our executables: beside the tests.
#[expect(clippy::missing_panics_doc, reason = "a test always has a path")]
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let target = test.ancestors().nth(2).expect("tests lie in target/<profile>/deps");
    target.join(name)
}

/// A running server. Dropped, it and its workers are killed.
pub struct Server {
    child: Child,
    /// Its data directory.
    pub data: Data,
    /// Its URL, without a slash at the end.
    pub url: String,
    /// A client for it.
    pub client: reqwest::Client,
}

impl Server {
    /// A URL on it.
    #[must_use]
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> String {
        log_of(&self.data)
    }

    /// The URL of its figures, if it was told to show them.
    pub async fn admin(&self) -> String {
        eventually("it says where its figures are", SOON, async || {
            Some(self.log().split("metrics on ").nth(1)?.lines().next()?.to_owned())
        })
        .await
    }

    /// One of its figures, by name and labels; none before there is something to tell.
    ///
    /// # Panics
    /// When it does not show them.
    pub async fn figure(&self, name: &str) -> Option<f64> {
        let shown = self.client.get(self.admin().await).send().await.expect("a server shows its figures");
        let shown = shown.text().await.expect("figures are text");
        let line = shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(line.parse().expect("a figure is a number"))
    }

    /// Its process id.
    ///
    /// # Panics
    /// When the system gave it none.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The processor time that it has used, its workers excepted.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn processor_time(&self) -> Duration {
        let stat =
            fs::read_to_string(format!("/proc/{}/stat", self.pid().as_raw_nonzero())).expect("it runs");
        // The name of the executable may contain anything; the state follows, and eleven fields later the times.
        let (_, fields) = stat.rsplit_once(") ").expect("the name is in parentheses");
        let times = fields.split(' ').skip(11).take(2);
        let ticks: u64 = times.map(|ticks| ticks.parse::<u64>().expect("ticks are a number")).sum();
        Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
    }

    /// The process ids of its workers.
    #[must_use]
    pub fn workers(&self) -> Vec<Pid> {
        let parent = self.pid().as_raw_nonzero().get();
        let mut workers = Vec::new();
        for task in fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            workers.extend(children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)));
        }
        workers
    }

    /// Waits until so many workers run, each of which has opened the queue.
    pub async fn workers_ready(&self, count: usize) {
        eventually("workers are ready", SOON, async || {
            (self.log().matches("the worker is ready").count() >= count).then_some(())
        })
        .await;
    }

    /// Waits until it reports that it is ready: that it is connected to the broker, if it has one.
    pub async fn is_ready(&self) {
        eventually("the server is ready", SOON, async || {
            let answer = self.client.get(self.at("/readyz")).send().await.ok()?;
            (json(answer).await["status"] == "ready").then_some(())
        })
        .await;
    }

    /// Waits until it hears what workers announce. A server without this is ready all the same, and reads storage.
    pub async fn hears_announcements(&self) {
        eventually("the server listens", SOON, async || {
            self.log().contains("listening to the reply exchange").then_some(())
        })
        .await;
    }

    /// Sends a signal to the server alone.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs");
    }

    /// Kills the server, and not its workers, and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end within the deadline.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        eventually("the server ends", within, async || self.child.try_wait().expect("it can be waited for"))
            .await
    }

    /// Uploads bytes in a form and answers the response.
    ///
    /// # Panics
    /// When there is none.
    pub async fn post(&self, name: &str, bytes: impl Into<Body>) -> Response {
        let part = multipart::Part::stream(bytes).file_name(name.to_owned());
        let form = multipart::Form::new().part("file", part);
        self.client.post(self.at("/uploads")).multipart(form).send().await.expect("the server answers")
    }

    /// Uploads bytes and answers the accepted upload.
    ///
    /// # Panics
    /// When it is not accepted.
    pub async fn accepted(&self, name: &str, bytes: impl Into<Body>) -> Value {
        let response = self.post(name, bytes).await;
        let (status, body) = (response.status(), response.text().await.expect("an answer has a body"));
        assert_eq!(status, 202, "{body}");
        let mut body: Value = serde_json::from_str(&body).expect("an answer is JSON");
        body["uploads"][0].take()
    }

    /// The state of an upload.
    ///
    /// # Panics
    /// When the server does not tell.
    pub async fn upload(&self, id: &str) -> Value {
        let response =
            self.client.get(self.at(&format!("/uploads/{id}"))).send().await.expect("the server answers");
        assert_eq!(response.status(), 200);
        json(response).await
    }

    /// Deletes an upload and answers the status.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn delete(&self, id: &str, token: &str) -> u16 {
        let request = self.client.delete(self.at(&format!("/uploads/{id}"))).bearer_auth(token);
        request.send().await.expect("the server answers").status().as_u16()
    }

    /// Waits until a deleted upload has left nothing in a storage directory but its tombstone.
    pub async fn assert_leaves_its_tombstone_alone(&self, storage: &Path, id: &str, within: Duration) {
        let mut left = Vec::new();
        let mut look = async || {
            left = objects_of(storage, id);
            (left == [format!("gone/{id}")]).then_some(())
        };
        eventually("a deleted upload leaves its tombstone alone", within, &mut look).await;
    }

    /// Waits until an upload has ended.
    pub async fn end(&self, id: &str, within: Duration) -> Value {
        eventually("an upload ends", within, async || {
            let response = self.client.get(self.at(&format!("/uploads/{id}"))).send().await.ok()?;
            let upload: Value = serde_json::from_str(&response.text().await.ok()?).ok()?;
            matches!(upload["state"].as_str(), Some("ready" | "failed")).then_some(upload)
        })
        .await
    }

    /// Asserts that a ready upload has exactly three whole thumbnails of the right sides, and answers their bytes.
    ///
    /// # Panics
    /// When it does not.
    pub async fn assert_ready(&self, upload: &Value) -> Vec<Vec<u8>> {
        assert_eq!(upload["state"], "ready", "{upload}\n{}", self.log());
        let (width, height) = (side(&upload["width"]), side(&upload["height"]));
        let thumbnails = upload["thumbnails"].as_array().expect("thumbnails are a list");
        let mut all = Vec::new();
        for (thumbnail, (size, longest)) in
            thumbnails.iter().zip([("small", 160), ("medium", 480), ("large", 1024)])
        {
            assert_eq!(thumbnail["size"], size);
            let url = self.at(thumbnail["url"].as_str().expect("a thumbnail has a URL"));
            let response = self.client.get(url).send().await.expect("the server answers");
            assert_eq!(response.status(), 200);
            let bytes = response.bytes().await.expect("a thumbnail is whole").to_vec();
            assert_eq!(thumbnail["bytes"], bytes.len());
            let image = image::load_from_memory(&bytes).expect("a thumbnail is a picture");
            assert_eq!(
                (thumbnail["width"].as_u64(), thumbnail["height"].as_u64()),
                (Some(image.width().into()), Some(image.height().into()))
            );
            assert_eq!(image.width().max(image.height()), longest.min(width.max(height)));
            all.push(bytes);
        }
        assert_eq!(all.len(), 3);
        all
    }

    /// Asserts that no staged file stays: a writer at work may have one for a moment.
    ///
    /// # Panics
    /// When one is still there after five seconds.
    pub fn assert_no_temporary_files(&self) {
        self.assert_at_most_temporary_files(0);
    }

    /// Asserts that no more than so many staged files stay: those of killed writers do until the audit.
    ///
    /// # Panics
    /// When more are still there after five seconds.
    pub fn assert_at_most_temporary_files(&self, most: usize) {
        let staged = || self.data.files().into_iter().filter(|file| file.contains('#')).collect::<Vec<_>>();
        for _ in 0..100 {
            if staged().len() <= most {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(staged().len() <= most, "{:?}", staged());
    }
}

fn side(value: &Value) -> u32 {
    value.as_u64().and_then(|side| side.try_into().ok()).expect("a side is a number")
}

/// A response's body as JSON.
///
/// # Panics
/// When it is none.
pub async fn json(response: Response) -> Value {
    let text = response.text().await.expect("an answer has a body");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The id of an upload.
///
/// # Panics
/// When it has none.
#[must_use]
pub fn id(upload: &Value) -> String {
    upload["id"].as_str().expect("an upload has an id").to_owned()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the server's log ---\n{}", self.log());
        }
    }
}
