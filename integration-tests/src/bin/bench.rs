//! `make bench`: how long a picture takes from its first byte to three thumbnails, and how much of that is messaging.
//!
//! Figures are medians of several runs that take turns; only the ratios between them mean something elsewhere.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use integration_tests::{patience, pictures, rivals, socket::Socket};
use serde_json::Value;

/// Runs of each figure.
const RUNS: usize = 11;

/// Photographs that are taken from a directory.
const PHOTOGRAPHS: usize = 12;

#[tokio::main]
async fn main() {
    let directory = env::args_os().nth(1).map_or_else(|| PathBuf::from(pictures::PHOTOGRAPHS), PathBuf::from);
    let paths = pictures::spread_below(&directory, PHOTOGRAPHS);
    let (plain, with_webp) = (Release::start(&["--webp", "none"]), Release::start(&[]));
    let (mut plain, mut with_webp) = (plain.client().await, with_webp.client().await);

    println!("ms from the first byte sent to the event on a socket, medians of {RUNS}:");
    println!("{:<34} {:>6} {:>7} {:>6}", "picture", "MB", "no WebP", "WebP");
    let mut tiny = Vec::new();
    for run in 0..RUNS {
        tiny.push(plain.milliseconds(pictures::tiny(u32::try_from(run).unwrap_or(0))).await);
    }
    println!("{:<34} {:>6} {:>7.1}", "24 × 16: all but pixels", "0.0", median(tiny));
    let mut rows = Vec::new();
    for path in &paths {
        let Ok(bytes) = fs::read(path) else { continue };
        let mut times = [const { Vec::new() }; 2];
        for _ in 0..RUNS {
            times[0].push(plain.milliseconds(bytes.clone()).await);
            times[1].push(with_webp.milliseconds(bytes.clone()).await);
        }
        let row = times.map(median);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        println!("{name:<34.34} {:>6.1} {:>7.1} {:>6.1}", bytes.len() as f64 / 1e6, row[0], row[1]);
        rows.push(row);
    }
    tell_shares("WebP as by default, of the time without", rows.iter().map(|row| row[1] / row[0]));
    let sharp = rivals::compare(&paths.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    for (column, name) in ["without WebP", "with WebP"].into_iter().enumerate() {
        let shares = rows.iter().zip(&sharp).map(|(row, sharp)| row[column] / sharp);
        tell_shares(&format!("the whole way {name}, of sharp's bare time"), shares);
    }
}

fn tell_shares(of: &str, shares: impl Iterator<Item = f64>) {
    let shares: Vec<f64> = shares.collect();
    let all: Vec<_> = shares.iter().map(|share| format!("{share:.2}")).collect();
    if !shares.is_empty() {
        println!("{of}: {:.2} at the median: {}", median(shares), all.join(" "));
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A server of the release build.
struct Release {
    child: Child,
    url: String,
    _data: tempfile::TempDir,
}

impl Release {
    fn start(arguments: &[&str]) -> Self {
        let own = env::current_exe().expect("a process has a path");
        let binary: PathBuf = own.parent().unwrap_or(Path::new(".")).join("up-server");
        assert!(binary.exists(), "there is no {}: cargo build --release", binary.display());
        let data = tempfile::tempdir().expect("a temporary directory can be made");
        let mut child = Command::new(binary)
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let output = child.stdout.take().expect("it is piped");
        let line = BufReader::new(output).lines().next().and_then(Result::ok).expect("the server listens");
        let url = line.trim_start_matches("listening on ").to_owned();
        Self { child, url, _data: data }
    }

    async fn client(&self) -> Client<'_> {
        Client { url: &self.url, http: reqwest::Client::new(), socket: Socket::connect(&self.url).await }
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that keeps its connections.
struct Client<'a> {
    url: &'a str,
    http: reqwest::Client,
    socket: Socket,
}

impl Client<'_> {
    async fn milliseconds(&mut self, picture: Vec<u8>) -> f64 {
        let begun = Instant::now();
        let post = self.http.post(format!("{}/uploads", self.url)).body(picture).send().await;
        let answer = post.expect("the server answers").text().await.expect("an answer has a body");
        let answer: Value = serde_json::from_str(&answer).expect("an answer is JSON");
        let id = answer["uploads"][0]["id"].as_str().expect("the picture is accepted");
        self.socket.subscribe(&[id]).await;
        self.socket.end_of(id, patience::SOON).await;
        begun.elapsed().as_secs_f64() * 1e3
    }
}
