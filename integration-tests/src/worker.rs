//! A worker as a real process, that no server started.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    patience::{SOON, eventually},
    server::{Data, binary},
};

/// How to start a worker.
pub struct StartWorker {
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    logs_by_default: bool,
}

impl StartWorker {
    /// On a broker and a storage, with two slots, and none for the interactive lane alone.
    #[must_use]
    pub fn on(broker: &str, storage: &str) -> Self {
        let arguments = ["--broker", broker, "--storage", storage, "--concurrency", "2"];
        let variables = vec![("UP_INTERACTIVE_SLOTS".to_owned(), "0".to_owned())];
        Self { arguments: arguments.map(str::to_owned).into(), variables, logs_by_default: false }
    }

    /// On the embedded queue and the storage of a server's data.
    #[must_use]
    pub fn beside(data: &Data) -> Self {
        let path = data.path().display();
        Self::on(&format!("sqlite://{path}/queue.sqlite"), &format!("file://{path}"))
    }

    /// With so many slots.
    #[must_use]
    pub fn slots(mut self, slots: usize) -> Self {
        self.arguments[5] = slots.to_string();
        self
    }

    /// With a variable of the environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With failpoints; see `worker::failpoint`.
    #[must_use]
    pub fn failing(self, failpoints: &str) -> Self {
        self.variable("UP_FAILPOINTS", failpoints)
    }

    /// With the log as operators see it, instead of a longer one.
    #[must_use]
    pub fn logging_by_default(mut self) -> Self {
        self.logs_by_default = true;
        self
    }

    /// Starts it; it may not have reached its broker yet.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(self) -> Worker {
        let directory = TempDir::with_prefix("up-worker-").expect("a temporary directory can be made");
        let log = directory.path().join("worker.log");
        let output = File::create(&log).expect("the log can be made");
        let mut command = Command::new(binary("up-worker"));
        if self.logs_by_default {
            command.env_remove("RUST_LOG");
        } else {
            command.env("RUST_LOG", "debug,hyper=info,lapin=info");
        }
        let child = command
            .args(&self.arguments)
            .envs(self.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .expect("the worker starts: `make test` builds it first");
        Worker { child, log, _directory: directory }
    }
}

/// A running worker. Dropped, it is killed.
pub struct Worker {
    child: Child,
    log: PathBuf,
    _directory: TempDir,
}

impl Worker {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs");
    }

    /// Kills it with -9 and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it still runs.
    ///
    /// # Panics
    /// When it cannot be asked.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("it can be waited for").is_none()
    }

    /// Waits until it takes jobs.
    pub async fn takes_jobs(&self) {
        eventually("the worker takes jobs", SOON, async || {
            let log = self.log();
            (log.contains("consuming jobs from the broker")
                || log.contains("sqlite") && log.contains("the worker is ready"))
            .then_some(())
        })
        .await;
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end within the deadline.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        eventually("the worker ends", within, async || self.child.try_wait().expect("it can be waited for"))
            .await
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- a worker's log ---\n{}", self.log());
        }
    }
}

/// Waits until a failpoint was reached, and answers whose process it is.
pub async fn reached(marker: &Path) -> Pid {
    let pid = eventually("the failpoint is reached", SOON, async || fs::read_to_string(marker).ok()).await;
    Pid::from_raw(pid.parse().expect("a marker holds a pid")).expect("a pid is not zero")
}
