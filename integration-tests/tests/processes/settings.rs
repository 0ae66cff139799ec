//! Bad settings are explained, on standard error, with exit code 64.

use std::process::Command;

use integration_tests::{patience::SOON, pictures, server::Start};

fn run(binary: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let test = std::env::current_exe().unwrap();
    let binary = test.ancestors().nth(2).unwrap().join(binary);
    let output = Command::new(binary).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_bad_setting_is_explained_with_exit_code_64() {
    for (binary, arguments) in [
        ("up-server", ["--listen", "nowhere"]),
        ("up-server", ["--storage", "ftp://x"]),
        ("up-server", ["--sizes", "small=1"]),
        ("up-server", ["--no-such-flag", "x"]),
        ("up-worker", ["--broker", "x"]),
        ("up-worker", ["--job-timeout", "0"]),
    ] {
        let (code, _, explained) = run(binary, &arguments);
        assert_eq!(code, Some(64), "{binary} {arguments:?}");
        assert!(explained.contains(arguments[0]), "{explained}");
    }
}

#[test]
fn help_names_every_variable() {
    let (code, help, _) = run("up-server", &["--help"]);
    assert_eq!(code, Some(0));
    for variable in [
        "UP_LISTEN",
        "UP_DATA",
        "UP_STORAGE",
        "UP_BROKER",
        "UP_WORKERS",
        "UP_MAX_UPLOAD_BYTES",
        "UP_MAX_PIXELS",
        "UP_JOB_TIMEOUT",
        "UP_SIZES",
        "UP_ALLOWED_ORIGINS",
        "UP_CORS_ORIGINS",
        "UP_PUBLIC_URL",
        "UP_LOG_FORMAT",
    ] {
        assert!(help.contains(variable), "{variable}");
    }
}

#[tokio::test]
async fn sizes_are_a_setting() {
    let server = Start::new().with("--sizes", "small=10,medium=20,large=30").start();
    let upload = server.accepted("cat.jpg", pictures::jpeg(300, 200)).await;
    let upload = server.end(upload["id"].as_str().unwrap(), SOON).await;
    let widths: Vec<_> =
        upload["thumbnails"].as_array().unwrap().iter().map(|thumbnail| &thumbnail["width"]).collect();
    assert_eq!(widths, [10, 20, 30]);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = integration_tests::server::Data::new();
    let (code, _, explained) =
        run("up-server", &["--listen", &address, "--data", data.path().to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(explained.contains(&address), "{explained}");
}
