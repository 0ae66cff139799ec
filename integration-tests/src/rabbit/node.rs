//! One node.

use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    net::TcpListener,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

use super::{Management, Release, Vhost, phone_book::PhoneBook};
use crate::patience::eventually;

/// How long a node takes to start at most; it is a matter of seconds on an idle machine.
const START: Duration = Duration::from_secs(150);

/// A node of our own. Dropped, it is killed and forgotten.
pub struct Node {
    release: Release,
    directory: TempDir,
    /// The name without a host.
    pub(super) name: String,
    /// The port of AMQP, which stays the same when the node is started again.
    pub amqp: u16,
    /// The port of AMQP over TLS.
    pub amqps: u16,
    http: u16,
    pub(super) dist: u16,
    names: PhoneBook,
    server: Option<Child>,
}

/// The place of a node in a cluster.
#[derive(Default)]
pub(super) struct Membership {
    /// The names of other nodes, and the ports where this one reaches them.
    pub(super) others: BTreeMap<String, u16>,
    /// Further lines of the configuration.
    pub(super) configuration: String,
}

/// The cookie of every node: whoever may run the tests may talk to their nodes.
const COOKIE: &str = "UPTESTSUPTESTSUPTEST";

impl Node {
    /// Starts one of the chosen release and waits until it answers.
    pub async fn start() -> Self {
        Self::of(Release::chosen()).await
    }

    /// Starts one of this release and waits until it answers.
    pub async fn of(release: Release) -> Self {
        let ports = free_ports();
        let mut node = Self::prepare(release, ports, Membership::default());
        node.run().await;
        node.enable_khepri();
        node
    }

    /// Writes the files of a node with these ports: AMQP, AMQP over TLS, HTTP and distribution.
    pub(super) fn prepare(release: Release, ports: [u16; 4], member: Membership) -> Self {
        let [amqp, amqps, http, dist] = ports;
        let directory = release.directory();
        let names = PhoneBook::start(member.others);
        let node =
            Self { directory, name: name(amqp), amqp, amqps, http, dist, names, server: None, release };
        node.write("plugins", "[rabbitmq_management].");
        node.write(".erlang.cookie", COOKIE);
        let secret = fs::set_permissions(node.path().join(".erlang.cookie"), Permissions::from_mode(0o400));
        secret.expect("the permissions of our own file can be set");
        node.write(
            "rabbitmq.conf",
            &format!(
                "listeners.tcp.1 = 127.0.0.1:{amqp}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {http}\n\
                 disk_free_limit.absolute = 1MB\n\
                 listeners.ssl.1 = 127.0.0.1:{amqps}\nssl_options.cacertfile = {path}/ca.pem\n\
                 ssl_options.certfile = {path}/server.pem\nssl_options.keyfile = {path}/server.key\n\
                 ssl_options.verify = verify_none\nssl_options.fail_if_no_peer_cert = false\n{more}",
                path = node.inside().display(),
                more = member.configuration,
            ),
        );
        node.write_certificates();
        node
    }

    /// Moves metadata to Khepri, if the release asks for it.
    pub(super) fn enable_khepri(&self) {
        if self.release.is_khepri() {
            self.control(&["enable_feature_flag", "--experimental", "khepri_db"]);
        }
    }

    /// Starts it again after [`kill`](Self::kill), with what it has on its disk. It is started again when it ends, as a
    /// supervisor does: 4.0 with Khepri may fail to boot once, while it deletes exclusive queues of its last life.
    pub async fn run(&mut self) {
        self.run_later();
        let management = self.management();
        eventually("the broker answers", START, async || {
            let ended = self.server.as_mut().is_some_and(|server| matches!(server.try_wait(), Ok(Some(_))));
            if ended {
                self.run_later();
            }
            management.is_up().await.then_some(())
        })
        .await;
    }

    /// Starts it again and does not wait.
    pub fn run_later(&mut self) {
        let log = File::options().create(true).append(true).open(self.path().join("output"));
        let log = log.expect("the log can be opened");
        let again = log.try_clone().expect("a log can be written to twice");
        let mut command = self.command("rabbitmq-server");
        let child = command.stdin(Stdio::null()).stdout(log).stderr(again).process_group(0).spawn();
        self.server = Some(child.expect("RabbitMQ is installed: `make test` does it"));
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

    /// Its directory as it sees it.
    fn inside(&self) -> PathBuf {
        self.release.inside(self.path())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.release.program(program);
        let path = self.inside();
        command
            .env("HOME", &path)
            .env("ERL_EPMD_PORT", self.names.port.to_string())
            .env("RABBITMQ_NODENAME", format!("{}@localhost", self.name))
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
        let mut server = self.server.take().expect("the broker was started");
        let _ = server.wait();
    }

    /// Stops the broker as an operator would, and waits for its end.
    ///
    /// # Panics
    /// When it does not run.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let mut server = self.server.take().expect("the broker was started");
        let _ = server.wait();
    }

    /// Whether it was started and not ended by us.
    #[must_use]
    pub const fn runs(&self) -> bool {
        self.server.is_some()
    }

    /// A vhost of its own on this node.
    pub async fn vhost(&self) -> Vhost {
        Vhost::create(self.amqp, self.management()).await
    }

    /// The value of [`SHARED`](super::SHARED) that makes tests use this node.
    #[must_use]
    pub fn shared(&self) -> String {
        format!("{}:{}", self.amqp, self.http)
    }

    pub(super) fn management(&self) -> Management {
        Management::new(self.http)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = kill_process_group(Pid::from_child(&server), Signal::KILL);
            let _ = server.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.path().join("output")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("--- the end of the broker's output ---");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// The name of a node, without a host.
pub(super) fn name(amqp: u16) -> String {
    format!("up{amqp}")
}

/// The ports of nodes: outside those that the system gives to clients (32768 and above), because a client would take the
/// port of a node that is down, or connect to itself there.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Ports that nobody listens on.
pub(super) fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let free = || {
        let mut drawn =
            std::iter::repeat_with(|| TcpListener::bind(("127.0.0.1", rand::random_range(PORTS))));
        drawn.find_map(Result::ok).expect("there is a free port")
    };
    let held: [TcpListener; COUNT] = std::array::from_fn(|_| free());
    held.each_ref().map(|listener| listener.local_addr().expect("it is bound").port())
}
