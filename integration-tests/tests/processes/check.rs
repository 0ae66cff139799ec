//! `up-server check` says in words what is wrong, and with its exit code whether anything is.

use std::{fs, net::TcpListener, os::unix::process::CommandExt, process::Command};

use integration_tests::{
    brown_out::{BrownOut, Mood},
    rabbit::{Node, Vhost},
    s3::Bucket,
    server::{Data, binary},
};
use serde_json::json;

/// A secret that must never be printed.
const SECRET: &str = "s3ntinel";

/// A user who owns nothing: a test that runs as root would otherwise be let in everywhere.
const NOBODY: u32 = 65_534;

struct Checked {
    code: Option<i32>,
    said: String,
}

impl Checked {
    /// The line of a thing.
    fn line(&self, thing: &str) -> &str {
        let begins = format!("{thing}: ");
        self.said.lines().find(|line| line.starts_with(&begins)).unwrap_or_else(|| panic!("{}", self.said))
    }

    /// Asserts that of all things just this one is not well, and is explained so.
    fn assert_blames(&self, thing: &str, words: &[&str]) {
        assert_eq!(self.code, Some(1), "{}", self.said);
        let blamed: Vec<_> = self.said.lines().filter(|line| line.contains("NOT OK")).collect();
        assert_eq!(blamed, [self.line(thing)], "{}", self.said);
        for word in words {
            assert!(blamed[0].contains(word), "{word} is missing: {}", self.said);
        }
        assert!(!self.said.contains(SECRET), "{}", self.said);
    }
}

fn command(data: &Data, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("up-server"));
    command.args(["--data", data.path().to_str().unwrap(), "--listen", "127.0.0.1:0", "check"]);
    command.args(arguments);
    for variable in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT"] {
        command.env_remove(variable);
    }
    command
}

fn run(command: &mut Command) -> Checked {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    Checked { code: output.status.code(), said }
}

fn check(arguments: &[&str]) -> Checked {
    run(&mut command(&Data::new(), arguments))
}

#[test]
fn a_check_of_sound_settings_says_so_line_by_line_and_leaves_no_object() {
    let data = Data::new();
    let checked = run(&mut command(&data, &[]));
    assert_eq!(checked.code, Some(0), "{}", checked.said);
    for thing in ["settings", "listen", "data", "storage", "outbox", "pixels"] {
        assert!(checked.line(thing).contains(": ok, "), "{}", checked.said);
    }
    assert_eq!(checked.said.lines().count(), 6, "{}", checked.said);
    assert!(data.files().is_empty());
}

#[test]
fn a_check_explains_what_clap_does_not_take() {
    for (flag, value) in
        [("--public-url", "example.org"), ("--sizes", "small=1"), ("--storage", "ftp://x"), ("--broker", "x")]
    {
        let checked = check(&[flag, value]);
        assert_eq!(checked.code, Some(64), "{}", checked.said);
        assert!(checked.said.contains(flag), "{}", checked.said);
    }
}

#[test]
fn a_check_names_an_address_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    check(&["--listen", &address]).assert_blames("listen", &[&address, "in use"]);
    check(&["--admin-listen", &address]).assert_blames("admin-listen", &[&address, "in use"]);
}

#[test]
fn a_check_explains_a_data_directory_that_is_a_file() {
    let data = Data::new();
    let file = data.path().join("file");
    fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    let checked = check(&["--data", file]);
    assert_eq!(checked.code, Some(1));
    for thing in ["data", "storage", "outbox"] {
        assert!(
            checked.line(thing).contains("NOT OK") && checked.line(thing).contains(file),
            "{}",
            checked.said
        );
    }
}

#[test]
fn a_check_explains_a_storage_directory_that_may_not_be_written_to() {
    let (data, storage) = (Data::new(), Data::new());
    let mode = |data: &Data, mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(data.path(), permissions).unwrap();
    };
    fs::create_dir(storage.path().join("uploads")).unwrap();
    mode(&data, 0o777);
    mode(&storage, 0o555);
    let mut command = command(&data, &["--storage", &format!("file://{}", storage.path().display())]);
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    run(&mut command).assert_blames("storage", &["could not write", "Permission denied"]);
}

#[test]
fn a_check_explains_a_bucket_without_credentials() {
    let data = Data::new();
    let mut command = command(&data, &["--storage", "s3://pictures/up"]);
    // The address at which a cloud machine asks for the credentials of its role.
    command.env("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1");
    let words = ["s3://pictures/up", "AWS_ACCESS_KEY_ID", "AWS_REGION", "there are no credentials: set AWS"];
    run(&mut command).assert_blames("storage", &words);
}

/// A check of a bucket, with variables that replace those of the bucket.
fn check_bucket(bucket: &Bucket, port: u16, instead: &[(&str, &str)]) -> Checked {
    let data = Data::new();
    let mut command = command(&data, &["--storage", &bucket.url]);
    command.envs(bucket.variables_through(port)).envs(instead.iter().copied());
    run(&mut command)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_names_what_is_wrong_with_a_bucket_in_a_sentence() {
    let bucket = Bucket::start().await;
    let store = BrownOut::before(bucket.port(), 1).await;
    let well = check_bucket(&bucket, store.port, &[]);
    assert_eq!(well.code, Some(0), "{}", well.said);
    assert!(well.line("storage").contains("written to s3://pictures/up/pictures, read, listed and deleted"));

    let refused = "the store refuses the credentials: correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
    for wrong in [("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_ACCESS_KEY_ID", "nobody")] {
        let checked = check_bucket(&bucket, store.port, &[wrong]);
        checked.assert_blames("storage", &[refused]);
    }
    for (mood, sentence) in [
        (Mood::NoBucket, "the bucket does not exist: create it, or correct --storage"),
        (Mood::Skewed, "the clocks of this host and of the store differ by minutes: synchronize them (NTP)"),
        (Mood::HidesMissing, "a missing object is answered with 403 instead of 404: allow s3:ListBucket"),
        (
            Mood::KeepsAll,
            "the credentials lack a right: allow s3:GetObject, s3:PutObject and s3:DeleteObject",
        ),
    ] {
        store.set(mood);
        check_bucket(&bucket, store.port, &[]).assert_blames("storage", &[sentence]);
    }
}

#[test]
fn a_check_explains_a_bucket_that_cannot_be_reached() {
    let data = Data::new();
    let mut command = command(&data, &["--storage", "s3://pictures/up"]);
    command.envs([
        ("AWS_ENDPOINT", "http://127.0.0.1:1"),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "here"),
    ]);
    command.envs([("AWS_ACCESS_KEY_ID", "up"), ("AWS_SECRET_ACCESS_KEY", SECRET)]);
    run(&mut command).assert_blames("storage", &["http://127.0.0.1:1", "Connection refused"]);
}

#[test]
fn a_check_explains_a_queue_that_is_no_queue() {
    let data = Data::new();
    fs::write(data.path().join("queue.sqlite"), "a diary ".repeat(100)).unwrap();
    run(&mut command(&data, &[])).assert_blames("outbox", &["queue.sqlite", "file is not a database"]);
}

#[test]
fn a_check_explains_a_broker_that_is_away_or_misspelt() {
    let away = format!("amqp://up:{SECRET}@127.0.0.1:1/up");
    check(&["--broker", &away]).assert_blames("broker", &["amqp://127.0.0.1:1/up", "Connection refused"]);
    let misspelt = format!("amqp://up:{SECRET}@127.0.0.1:port/up");
    let checked = check(&["--broker", &misspelt]);
    assert_eq!(checked.code, Some(64), "{}", checked.said);
    assert!(checked.said.contains("--broker") && !checked.said.contains(SECRET), "{}", checked.said);
}

#[tokio::test]
async fn a_check_explains_a_broker_that_lets_nobody_in_and_prints_no_password() {
    let vhost = Vhost::new().await;
    let checked = check(&["--broker", &vhost.url()]);
    assert_eq!(checked.code, Some(0), "{}", checked.said);
    assert!(checked.line("broker").contains("takes jobs"), "{}", checked.said);

    let refused = vhost.url().replace("guest:guest", &format!("guest:{SECRET}"));
    check(&["--broker", &refused])
        .assert_blames("broker", &["ACCESS_REFUSED", "the user or the password of --broker is wrong"]);
    let elsewhere = format!("{}-elsewhere", vhost.url());
    check(&["--broker", &elsewhere]).assert_blames("broker", &["-elsewhere", "rabbitmqctl add_vhost"]);
}

#[tokio::test]
async fn a_check_of_a_cluster_names_each_node_that_does_not_work() {
    let works = Vhost::new().await.url();
    let away = [1, 2].map(|port| format!("amqp://up:{SECRET}@127.0.0.1:{port}{}", vhost_of(&works)));
    let checked = check(&["--broker", &format!("{},{works}", away[0])]);
    assert_eq!(checked.code, Some(0), "{}", checked.said);
    let line = checked.line("broker");
    assert!(line.contains("takes jobs; amqp://127.0.0.1:1/") && line.contains("refused"), "{line}");
    assert!(!checked.said.contains(SECRET), "{}", checked.said);
    let both = ["amqp://127.0.0.1:1/", "amqp://127.0.0.1:2/"];
    check(&["--broker", &away.join(",")]).assert_blames("broker", &both);
}

/// The vhost of a URL, with its slash.
fn vhost_of(url: &str) -> &str {
    &url[url.rfind('/').unwrap()..]
}

#[tokio::test]
async fn a_check_names_a_missing_permission_and_says_what_to_do() {
    let node = Node::start().await;
    let vhost = node.vhost().await;
    node.control(&["add_user", "up", SECRET]);
    let url = vhost.url().replace("guest:guest", &format!("up:{SECRET}"));
    for (write, read, attempted) in [
        (".*", ".*", None),
        ("^(?!amq\\.default$)", ".*", Some("publish messages")),
        ("^(?!up\\.jobs$)", ".*", Some("publish messages")),
        ("^(?!up\\.done$)", ".*", Some("publish messages")),
        (".*", "^(?!up\\.done$)", Some("listen to the reply exchange")),
        (".*", ".*", None),
    ] {
        node.control(&["set_permissions", "-p", vhost.name(), "up", ".*", write, read]);
        let checked = check(&["--broker", &url]);
        match attempted {
            None => assert_eq!(checked.code, Some(0), "{write} {read}: {}", checked.said),
            Some(attempted) => {
                checked.assert_blames("broker", &[attempted, "ACCESS_REFUSED", "rabbitmqctl set_permissions"])
            }
        }
    }
}

#[tokio::test]
async fn a_check_names_a_queue_of_other_arguments_and_says_what_to_do() {
    let vhost = Vhost::new().await;
    vhost.declare("resize.bulk", json!({ "x-queue-type": "quorum", "x-delivery-limit": 77 })).await;
    check(&["--broker", &vhost.url()]).assert_blames(
        "broker",
        &["PRECONDITION_FAILED", "resize.bulk", "exists with other arguments: delete it"],
    );
}

#[test]
fn a_check_tells_whether_decoders_are_confined_as_they_have_to_be() {
    for (confinement, is_well) in [("best-effort", true), ("require", false)] {
        let data = Data::new();
        let mut command = Command::new(binary("without-landlock"));
        command.arg(binary("up-server")).args(["--data", data.path().to_str().unwrap()]);
        let checked = run(command.args(["--listen", "127.0.0.1:0", "--confinement", confinement, "check"]));
        if is_well {
            assert_eq!(checked.code, Some(0), "{}", checked.said);
        } else {
            checked.assert_blames("pixels", &["could not sandbox the decoder", "landlock"]);
        }
    }
}

#[test]
fn a_drill_on_a_kernel_without_landlock_says_so_and_tells_what_to_do() {
    let mut command = Command::new(binary("without-landlock"));
    let drilled = run(command.arg(binary("up-worker")).arg("drill"));
    assert_eq!(drilled.code, Some(1), "{}", drilled.said);
    let missing = |attempt: &str, layer: &str| {
        let mut rows = drilled.said.lines().filter(|line| line.starts_with(attempt));
        rows.any(|row| row[attempt.len()..].trim_start().starts_with(layer) && row.contains("  MISSING  "))
    };
    assert!(missing("read a file", "Landlock 1"), "{}", drilled.said);
    assert!(missing("signal the worker", "Landlock 6"), "{}", drilled.said);
    assert!(!missing("read a file", "seccomp"), "{}", drilled.said);
    assert!(drilled.line("Landlock 1 is missing").contains("Linux 5.13 or later"), "{}", drilled.said);
    let level = drilled.said.lines().last().unwrap();
    assert!(level.starts_with("all 27 held, but a layer is MISSING; no Landlock"), "{level}");
}

#[test]
fn a_check_tells_who_has_to_make_the_thumbnails() {
    let checked = check(&["--workers", "0"]);
    assert!(checked.line("pixels").contains("up-worker"), "{}", checked.said);
}
