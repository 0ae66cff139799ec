//! `make bench`: how long a picture takes from its first byte to three thumbnails, and how much of that is messaging.
//!
//! Figures are medians of several runs of one process; only the ratios between them mean something elsewhere.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use integration_tests::{pictures, socket::Socket};
use serde_json::Value;

/// Runs of each figure.
const RUNS: usize = 11;

#[tokio::main]
async fn main() {
    let server = Release::start();
    println!("from the first byte sent to the event on a socket, median of {RUNS}:");
    let tiny = server.median(|run| pictures::tiny(u32::try_from(run).unwrap_or(0))).await;
    println!("  {tiny:>9.1?}  a picture of 24 × 16: what everything but pixels costs");
    for megapixels in [2, 8] {
        let (path, bytes, (width, height)) = pictures::photograph(megapixels);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let took = server.median(|_| bytes.clone()).await;
        let share = 100.0 * tiny.as_secs_f64() / took.as_secs_f64();
        println!("  {took:>9.1?}  {name}, {width} × {height}; everything but pixels is {share:.0} % of it");
    }
}

/// A server of the release build.
struct Release {
    child: std::process::Child,
    url: String,
    _data: tempfile::TempDir,
}

impl Release {
    fn start() -> Self {
        use std::io::BufRead;
        let own = std::env::current_exe().expect("a process has a path");
        let binary: PathBuf = own.parent().unwrap_or(Path::new(".")).join("up-server");
        assert!(binary.exists(), "there is no {}: cargo build --release", binary.display());
        let data = tempfile::tempdir().expect("a temporary directory can be made");
        let mut child = Command::new(binary)
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let output = child.stdout.take().expect("it is piped");
        let line =
            std::io::BufReader::new(output).lines().next().and_then(Result::ok).expect("the server listens");
        let url = line.trim_start_matches("listening on ").to_owned();
        Self { child, url, _data: data }
    }

    async fn median(&self, picture: impl Fn(usize) -> Vec<u8>) -> Duration {
        let client = reqwest::Client::new();
        let mut socket = Socket::connect(&self.url).await;
        let mut took = Vec::new();
        for run in 0..RUNS {
            let begun = Instant::now();
            let post = client.post(format!("{}/uploads", self.url)).body(picture(run)).send().await;
            let answer = post.expect("the server answers").text().await.expect("an answer has a body");
            let answer: Value = serde_json::from_str(&answer).expect("an answer is JSON");
            let id = answer["uploads"][0]["id"].as_str().expect("the picture is accepted").to_owned();
            socket.subscribe(&[&id]).await;
            socket.end_of(&id, Duration::from_secs(60)).await;
            took.push(begun.elapsed());
        }
        took.sort();
        took[took.len() / 2]
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
