//! Decoders at work: kept warm, replaced when they die, and killed with their worker.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use image::ImageFormat;
use rustix::process::{Pid, Signal, kill_process};
use worker::{
    Format,
    confinement::{ConfinementMode, Launch, Priority, StartError},
    maker::{MakeError, Maker},
    original::Original,
};

use crate::support::{
    children, encoded, eventually, in_every_format, launch, maker, picture, pixels, reason,
};

/// The only child of this process.
fn only_child() -> Option<u32> {
    match children(std::process::id())[..] {
        [child] => Some(child),
        _ => None,
    }
}

fn kill(process: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[tokio::test]
async fn one_warm_decoder_makes_all_pictures() {
    let maker = maker();
    maker.warm(1).await.unwrap();
    let warm = only_child().expect("it is started before the first picture");
    for (format, original) in in_every_format(2) {
        let made = maker.make(original.into(), format, Priority::Normal).await.unwrap();
        let sides = made.thumbnails.each_ref().map(|thumbnail| (thumbnail.width, thumbnail.height));
        assert_eq!(sides, [(160, 120), (480, 360), (1024, 768)], "{format}");
    }
    assert_eq!(only_child(), Some(warm), "the same all along");
}

/// A file with these bytes.
fn file(bytes: &[u8]) -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Arc::new(file)
}

#[tokio::test]
async fn an_original_in_a_file_becomes_what_its_bytes_become() {
    let maker = maker();
    for (format, bytes) in in_every_format(2) {
        let from_file = Original::File(file(&bytes), bytes.len() as u64);
        let made = maker.make(from_file, format, Priority::Normal).await.unwrap();
        let expected = maker.make(bytes.into(), format, Priority::Normal).await.unwrap();
        assert!(made == expected, "{format}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_to_its_end_is_not_the_fault_of_the_picture() {
    let maker = maker();
    maker.warm(1).await.unwrap();
    let bytes = encoded(&picture(900, 600), ImageFormat::Jpeg);
    let longer = Original::File(file(&bytes), bytes.len() as u64 + 1);
    let error = maker.make(longer, Format::Jpeg, Priority::Normal).await.unwrap_err();
    assert!(matches!(error, MakeError::Unreadable(_)), "{error:?}");
    maker.make(bytes.into(), Format::Jpeg, Priority::Normal).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_not_read_in_time_is_not_the_fault_of_the_picture() {
    let pixels = worker::config::PixelConfig { job_timeout: Duration::from_millis(300), ..pixels() };
    let maker = Maker::new(&pixels, launch());
    maker.warm(1).await.unwrap();
    kill(only_child().unwrap(), Signal::STOP);
    let mut bytes = encoded(&picture(300, 200), ImageFormat::Jpeg);
    // More than the pipe takes.
    bytes.resize(4_000_000, 0);
    let original = Original::File(file(&bytes), bytes.len() as u64);
    let error = maker.make(original, Format::Jpeg, Priority::Normal).await.unwrap_err();
    assert!(matches!(error, MakeError::Unreadable(_)), "{error:?}");
    assert_eq!(only_child(), None, "it is gone");
}

/// Jobs after which a decoder is replaced.
const MAX_JOBS: u32 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn no_decoder_gets_another_picture_after_a_failure() {
    let maker = maker();
    maker.warm(1).await.unwrap();
    let first = only_child().unwrap();
    let good = encoded(&picture(300, 200), ImageFormat::Png);
    maker.make(good.clone().into(), Format::Png, Priority::Normal).await.unwrap();
    assert_eq!(only_child(), Some(first), "a success keeps it");
    let mut damaged = good;
    let data = damaged.windows(4).position(|window| window == b"IDAT").unwrap();
    damaged[data + 4..data + 12].fill(0xff);
    reason(maker.make(damaged.into(), Format::Png, Priority::Normal).await);
    eventually("another one takes its place", || only_child().is_some_and(|child| child != first));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_decoder_gets_more_than_a_hundred_pictures() {
    let maker = maker();
    maker.warm(1).await.unwrap();
    let first = only_child().unwrap();
    let good = encoded(&picture(16, 16), ImageFormat::Png);
    for _ in 1..MAX_JOBS {
        maker.make(good.clone().into(), Format::Png, Priority::Normal).await.unwrap();
    }
    assert_eq!(only_child(), Some(first), "after all but one");
    maker.make(good.into(), Format::Png, Priority::Normal).await.unwrap();
    eventually("another one takes its place", || only_child().is_some_and(|child| child != first));
}

#[tokio::test]
async fn no_thread_of_a_decoder_has_a_capability_or_is_without_the_filter() {
    let maker = maker();
    maker.warm(1).await.unwrap();
    let threads = fs::read_dir(format!("/proc/{}/task", only_child().unwrap())).unwrap();
    let threads: Vec<_> = threads.map(|thread| thread.unwrap().path().join("status")).collect();
    assert_eq!(threads.len(), 2, "one decodes, one encodes WebP");
    for thread in threads {
        let status = fs::read_to_string(thread).unwrap();
        let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        for set in ["CapInh:", "CapPrm:", "CapEff:"] {
            assert_eq!(value(set).map(|set| set.trim_matches('0')), Some(""), "{set}");
        }
        assert_eq!(value("Seccomp:"), Some("2"), "a filter");
    }
}

#[tokio::test]
async fn a_decoder_inherits_nothing() {
    let maker = maker();
    maker.warm(1).await.unwrap();
    let child = only_child().unwrap();
    let environment = fs::read_to_string(format!("/proc/{child}/environ")).unwrap();
    for variable in environment.split_terminator('\0') {
        assert!(variable.starts_with("MALLOC_"), "{variable}");
    }
    for descriptor in fs::read_dir(format!("/proc/{child}/fd")).unwrap() {
        let descriptor = descriptor.unwrap().path();
        let target = fs::read_link(&descriptor).unwrap();
        assert!(
            target.to_string_lossy().starts_with("pipe:"),
            "{} is {}",
            descriptor.display(),
            target.display()
        );
    }
}

#[tokio::test]
async fn a_process_that_was_killed_costs_no_picture() {
    let maker = maker();
    maker.warm(1).await.unwrap();
    let first = only_child().unwrap();
    kill(first, Signal::KILL);
    eventually("it dies", || only_child().is_none());
    let original = encoded(&picture(300, 200), ImageFormat::Jpeg);
    maker.make(original.into(), Format::Jpeg, Priority::Normal).await.unwrap();
    assert_ne!(only_child(), Some(first));
}

#[tokio::test]
async fn a_process_that_is_killed_at_work_is_tried_once_more() {
    let maker = Arc::new(maker());
    maker.warm(1).await.unwrap();
    let first = only_child().unwrap();
    // Stopped, it still has the job when it is killed.
    kill(first, Signal::STOP);
    let job = tokio::spawn({
        let maker = Arc::clone(&maker);
        async move {
            maker
                .make(encoded(&picture(900, 600), ImageFormat::Jpeg).into(), Format::Jpeg, Priority::Normal)
                .await
        }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    kill(first, Signal::KILL);
    job.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_job_that_takes_too_long_is_ended_and_its_process_killed() {
    let pixels = worker::config::PixelConfig { job_timeout: Duration::from_millis(300), ..pixels() };
    let maker = Maker::new(&pixels, launch());
    maker.warm(1).await.unwrap();
    let first = only_child().unwrap();
    kill(first, Signal::STOP);
    let original = encoded(&picture(300, 200), ImageFormat::Jpeg);
    let error = reason(maker.make(original.clone().into(), Format::Jpeg, Priority::Normal).await);
    assert_eq!(error.code(), "took-too-long");
    assert_eq!(error.to_string(), "It took longer than 0.3 s to make smaller, so we stopped.");
    assert_eq!(only_child(), None, "it is gone");
    maker.make(original.into(), Format::Jpeg, Priority::Normal).await.unwrap();
}

#[tokio::test]
async fn a_failed_start_of_a_decoder_is_not_the_fault_of_the_picture() {
    let executable = "/nowhere/up-worker".into();
    let maker = Maker::new(
        &pixels(),
        Launch { executable, mode: ConfinementMode::Require, job_memory_bytes: 1 << 28, attack: None },
    );
    let original = encoded(&picture(300, 200), ImageFormat::Jpeg);
    let error = maker.make(original.into(), Format::Jpeg, Priority::Normal).await.unwrap_err();
    assert!(matches!(error, MakeError::Start(StartError::Io(_))));
}

/// A worker with two slots, its own queue and its own storage.
fn worker(data: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_up-worker"))
        .args(["--concurrency", "2", "--interactive-slots", "0", "--confinement", "require", "--storage"])
        .arg(format!("file://{}", data.display()))
        .arg("--broker")
        .arg(format!("sqlite://{}/queue.sqlite", data.display()))
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn no_decoder_outlives_its_worker() {
    for signal in [Signal::KILL, Signal::TERM] {
        let data = tempfile::tempdir().unwrap();
        let mut worker = worker(data.path());
        let mut decoders = Vec::new();
        eventually("two decoders are warm", || {
            decoders = children(worker.id());
            decoders.len() == 2
        });
        // Stopped, they see neither the end of their pipe nor a clock, as decoders that were taken over.
        decoders.iter().for_each(|decoder| kill(*decoder, Signal::STOP));
        kill(worker.id(), signal);
        worker.wait().unwrap();
        eventually("they are gone", || {
            decoders.iter().all(|pid| !fs::exists(format!("/proc/{pid}")).unwrap())
        });
    }
}
