//! A private RabbitMQ node, and a vhost on it for every test.

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use reqwest::{Client, Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::patience::{SOON, eventually};

/// Debian's path of the programs that the wrappers in `/usr/sbin` start. The wrappers want users of their own.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// How long a node takes to start at most; it is a matter of seconds on an idle machine.
const START: Duration = Duration::from_secs(150);

/// The variable by which a node that is shared by all tests is handed to them: its AMQP and its HTTP port.
pub const SHARED: &str = "UP_TEST_RABBITMQ";

/// A node of our own. Dropped, it is killed and forgotten.
pub struct Node {
    directory: TempDir,
    /// The port of AMQP, which stays the same when the node is started again.
    pub amqp: u16,
    /// The port of AMQP over TLS.
    pub amqps: u16,
    http: u16,
    dist: u16,
    epmd: u16,
    processes: Vec<Child>,
}

impl Node {
    /// Starts one and waits until it answers.
    pub async fn start() -> Self {
        let directory = TempDir::with_prefix("up-rabbit-").expect("a temporary directory can be made");
        let [amqp, amqps, http, dist, epmd] = free_ports();
        let mut node = Self { directory, amqp, amqps, http, dist, epmd, processes: Vec::new() };
        node.write("plugins", "[rabbitmq_management].");
        node.write(
            "rabbitmq.conf",
            &format!(
                "listeners.tcp.1 = 127.0.0.1:{amqp}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {http}\n\
                 disk_free_limit.absolute = 1MB\n\
                 listeners.ssl.1 = 127.0.0.1:{amqps}\nssl_options.cacertfile = {path}/ca.pem\n\
                 ssl_options.certfile = {path}/server.pem\nssl_options.keyfile = {path}/server.key\n\
                 ssl_options.verify = verify_none\nssl_options.fail_if_no_peer_cert = false\n",
                path = node.path().display(),
            ),
        );
        node.write_certificates();
        node.spawn(Command::new("epmd").args(["-port", &epmd.to_string(), "-address", "127.0.0.1"]));
        node.run().await;
        node
    }

    /// Starts it again after [`kill`](Self::kill), with what it has on its disk.
    pub async fn run(&mut self) {
        let mut server = self.command("rabbitmq-server");
        self.spawn(&mut server);
        let management = self.management();
        eventually("the broker answers", START, async || management.is_up().await.then_some(())).await;
    }

    /// Starts it again and does not wait.
    pub fn run_later(&mut self) {
        let mut server = self.command("rabbitmq-server");
        self.spawn(&mut server);
    }

    /// A certificate for `localhost`, and the authority that vouches for it, which nobody trusts unless told to.
    fn write_certificates(&self) {
        let authority_key = rcgen::KeyPair::generate().expect("keys can be made");
        let mut authority = rcgen::CertificateParams::default();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let vouched = authority.self_signed(&authority_key).expect("an authority vouches for itself");
        self.write("ca.pem", &vouched.pem());
        let key = rcgen::KeyPair::generate().expect("keys can be made");
        let server =
            rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("it is a host's name");
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let certificate = server.signed_by(&key, &issuer).expect("an authority vouches for others");
        self.write("server.pem", &certificate.pem());
        self.write("server.key", &key.serialize_pem());
    }

    /// The certificate of the authority that vouches for this node.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.path().join("ca.pem")
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).expect("the directory of the node can be written to");
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(Path::new(PROGRAMS).join(program));
        let path = self.path();
        command
            .env("HOME", path)
            .env("ERL_EPMD_PORT", self.epmd.to_string())
            .env("RABBITMQ_NODENAME", format!("up{}@localhost", self.amqp))
            .env("RABBITMQ_DIST_PORT", self.dist.to_string())
            .env("RABBITMQ_CONFIG_FILE", path.join("rabbitmq.conf"))
            .env("RABBITMQ_MNESIA_BASE", path.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", path.join("log"))
            .env("RABBITMQ_PID_FILE", path.join("pid"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path.join("plugins"))
            // One core of the two is enough for a broker.
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none");
        command
    }

    fn spawn(&mut self, command: &mut Command) {
        let log = File::options().create(true).append(true).open(self.path().join("output"));
        let log = log.expect("the log can be opened");
        let again = log.try_clone().expect("a log can be written to twice");
        let child = command.stdin(Stdio::null()).stdout(log).stderr(again).process_group(0).spawn();
        self.processes.push(child.expect("RabbitMQ is installed: `make test` does it"));
    }

    /// Runs `rabbitmqctl`.
    ///
    /// # Panics
    /// When it fails.
    pub fn control(&self, arguments: &[&str]) {
        let output = self.command("rabbitmqctl").args(arguments).output().expect("rabbitmqctl starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The broker's log.
    #[must_use]
    pub fn log(&self) -> String {
        let files = fs::read_dir(self.path().join("log")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_to_string(file.path()).ok()).collect()
    }

    /// The process id of the broker itself.
    ///
    /// # Panics
    /// When it has written none.
    #[must_use]
    pub fn pid(&self) -> Pid {
        let pid = fs::read_to_string(self.path().join("pid")).expect("a running broker writes its pid");
        Pid::from_raw(pid.trim().parse().expect("a pid is a number")).expect("a pid is not zero")
    }

    /// Sends a signal to the broker itself.
    ///
    /// # Panics
    /// When it does not run.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the broker runs");
    }

    /// Kills the broker with -9, and waits for its end.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let mut server = self.processes.pop().expect("the broker was started last");
        let _ = server.wait();
    }

    /// Stops the broker as an operator would, and waits for its end.
    ///
    /// # Panics
    /// When it does not run.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let mut server = self.processes.pop().expect("the broker was started last");
        let _ = server.wait();
    }

    /// A vhost of its own on this node.
    pub async fn vhost(&self) -> Vhost {
        Vhost::create(self.amqp, self.management()).await
    }

    /// The value of [`SHARED`] that makes tests use this node.
    #[must_use]
    pub fn shared(&self) -> String {
        format!("{}:{}", self.amqp, self.http)
    }

    fn management(&self) -> Management {
        Management::new(self.http)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for mut process in self.processes.drain(..).rev() {
            let _ = kill_process_group(Pid::from_child(&process), Signal::KILL);
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.path().join("output")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("--- the end of the broker's output ---");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Ports that nobody listens on.
fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let held: [TcpListener; COUNT] =
        std::array::from_fn(|_| TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port"));
    held.each_ref().map(|listener| listener.local_addr().expect("it is bound").port())
}

/// The HTTP side of a node, for what AMQP cannot do.
#[derive(Clone)]
struct Management {
    client: Client,
    url: String,
}

impl Management {
    fn new(port: u16) -> Self {
        Self { client: Client::new(), url: format!("http://127.0.0.1:{port}/api") }
    }

    async fn is_up(&self) -> bool {
        let asked = self.client.get(format!("{}/overview", self.url)).basic_auth("guest", Some("guest"));
        asked.send().await.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self.client.request(method, format!("{}/{path}", self.url));
        request = request.basic_auth("guest", Some("guest"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("the broker answers over HTTP");
        let (status, text) = (answer.status(), answer.text().await.expect("an answer has a body"));
        assert!(status.is_success() || status == StatusCode::NOT_FOUND, "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }
}

/// A vhost of one test.
pub struct Vhost {
    name: String,
    amqp: u16,
    management: Management,
    /// A node of the test's own, where there is no shared one.
    _node: Option<Box<Node>>,
}

impl Vhost {
    /// One on the node that all tests share, or on a node of its own if there is none.
    ///
    /// # Panics
    /// When the variable holds something else.
    pub async fn new() -> Self {
        let Ok(shared) = std::env::var(SHARED) else {
            let node = Box::new(Node::start().await);
            let vhost = node.vhost().await;
            return Self { _node: Some(node), ..vhost };
        };
        let ports =
            shared.split_once(':').and_then(|(amqp, http)| Some((amqp.parse().ok()?, http.parse().ok()?)));
        let (amqp, http) = ports.expect("the variable holds two ports");
        Self::create(amqp, Management::new(http)).await
    }

    async fn create(amqp: u16, management: Management) -> Self {
        let name = format!("up-{:016x}", rand::random::<u64>());
        // The maker of a vhost has its permissions.
        management.call(Method::PUT, &format!("vhosts/{name}"), None).await;
        Self { name, amqp, management, _node: None }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_on(self.amqp)
    }

    /// Its URL through another port, where a proxy listens.
    #[must_use]
    pub fn url_on(&self, port: u16) -> String {
        format!("amqp://guest:guest@127.0.0.1:{port}/{}", self.name)
    }

    /// Its URL over TLS.
    #[must_use]
    pub fn url_over_tls(&self, port: u16) -> String {
        format!("amqps://guest:guest@localhost:{port}/{}", self.name)
    }

    /// The port of its node.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.amqp
    }

    /// Sets a policy for queues.
    pub async fn set_policy(&self, pattern: &str, definition: Value) {
        let policy = json!({ "pattern": pattern, "definition": definition, "apply-to": "queues" });
        self.management.call(Method::PUT, &format!("policies/{}/test", self.name), Some(policy)).await;
    }

    /// Declares a durable queue.
    pub async fn declare(&self, queue: &str, arguments: Value) {
        let queue = format!("queues/{}/{queue}", self.name);
        let body = json!({ "durable": true, "arguments": arguments });
        self.management.call(Method::PUT, &queue, Some(body)).await;
    }

    /// Lets a queue hear an exchange.
    pub async fn bind(&self, exchange: &str, queue: &str) {
        let path = format!("bindings/{}/e/{exchange}/q/{queue}", self.name);
        self.management.call(Method::POST, &path, Some(json!({ "routing_key": "" }))).await;
    }

    /// The messages at the head of a queue, which stay there, as the broker tells of them: with `exchange`,
    /// `routing_key`, `properties` and `payload`.
    ///
    /// # Panics
    /// When there is no such queue.
    pub async fn messages(&self, queue: &str) -> Vec<Value> {
        let path = format!("queues/{}/{queue}/get", self.name);
        let wanted = json!({ "count": 100, "ackmode": "ack_requeue_true", "encoding": "auto" });
        let got = self.management.call(Method::POST, &path, Some(wanted)).await;
        got.as_array().expect("a queue has a list of messages").clone()
    }

    /// Publishes raw bytes to the default exchange.
    pub async fn publish(&self, queue: &str, message_id: &str, body: &str) {
        let message = json!({
            "properties": { "message_id": message_id, "delivery_mode": 2 },
            "routing_key": queue, "payload": body, "payload_encoding": "string",
        });
        let path = format!("exchanges/{}/amq.default/publish", self.name);
        let routed = self.management.call(Method::POST, &path, Some(message)).await;
        assert_eq!(routed["routed"], true, "{queue} takes the message");
    }

    /// The names of the queues that begin so.
    ///
    /// # Panics
    /// When the broker does not answer.
    pub async fn queues(&self, prefix: &str) -> Vec<String> {
        let queues = self.management.call(Method::GET, &format!("queues/{}", self.name), None).await;
        let names =
            queues.as_array().expect("queues are a list").iter().filter_map(|queue| queue["name"].as_str());
        names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect()
    }

    /// Deletes the queues whose names begin so; answers how many there were.
    ///
    /// # Panics
    /// When the broker does not answer.
    pub async fn delete_queues(&self, prefix: &str) -> usize {
        let queues = self.queues(prefix).await;
        for name in &queues {
            self.management.call(Method::DELETE, &format!("queues/{}/{name}", self.name), None).await;
        }
        queues.len()
    }

    /// How many methods of each kind the broker has counted so far.
    ///
    /// # Panics
    /// When the broker does not answer.
    pub async fn statistics<const N: usize>(&self, names: [&str; N]) -> Vec<u64> {
        let vhost = self.management.call(Method::GET, &format!("vhosts/{}", self.name), None).await;
        names.map(|name| vhost["message_stats"][name].as_u64().unwrap_or(0)).into()
    }

    /// Closes every connection, as an operator does; waits until the broker lists one.
    ///
    /// # Panics
    /// When there is none, or the broker does not answer.
    pub async fn close_connections(&self) {
        let listed = async || {
            let path = format!("vhosts/{}/connections", self.name);
            let connections = self.management.call(Method::GET, &path, None).await;
            let names = connections.as_array()?.iter().filter_map(|one| one["name"].as_str());
            Some(names.map(str::to_owned).collect::<Vec<_>>()).filter(|names| !names.is_empty())
        };
        for name in eventually("the broker lists connections", SOON, listed).await {
            let path = format!("connections/{}", name.replace(' ', "%20").replace('>', "%3E"));
            self.management.call(Method::DELETE, &path, None).await;
        }
    }

    /// Takes away every message of a queue.
    pub async fn purge(&self, queue: &str) {
        self.management.call(Method::DELETE, &format!("queues/{}/{queue}/contents", self.name), None).await;
    }
}
