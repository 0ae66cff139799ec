//! The README cannot lie: every line of its tour is run as it stands there.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use integration_tests::{
    patience::SOON,
    pictures,
    server::{Data, Server, Start, id},
};

/// The address of the README's server.
const THERE: &str = "http://127.0.0.1:8080";

/// For lines that contain these words: a part of the answer. The first that fits counts.
const EXPECTED: [(&str, u16, &str); 20] = [
    ("lane=bulk", 202, "photo.jpg"),
    ("traceparent", 202, "photo.jpg"),
    ("-F file=@a.jpg -F file=@b.png", 202, "b.png"),
    ("-F file=@photo.jpg", 202, "\"state\":\"queued\""),
    ("Prefer: wait=20", 201, "\"size\":\"large\""),
    ("Accept: text/plain", 202, "/uploads/0"),
    ("Idempotency-Key", 202, "photo.jpg"),
    ("-T photo.jpg", 202, "photo.jpg"),
    ("/events", 200, "event: thumbnail-ready"),
    ("-o small.jpg", 200, ""),
    ("-I ", 200, "immutable"),
    ("-r 0-99", 206, ""),
    ("Accept: text/html", 200, "<!doctype html>"),
    ("-OJ", 200, ""),
    ("-X POST", 409, "not-failed"),
    ("/limits", 200, "max_upload_bytes"),
    ("/readyz", 200, "ready"),
    ("/openapi.json", 200, "\"openapi\""),
    ("/asyncapi.json", 200, "\"asyncapi\""),
    ("/uploads/$ID", 200, "\"state\""),
];

/// The lines of the tour, without what they say of themselves.
fn tour() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let section = readme.split("## A tour with curl").nth(1).unwrap();
    let block = section.split("```sh").nth(1).unwrap().split("```").next().unwrap();
    block
        .lines()
        .map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

fn run(line: &str, server: &Server, upload: &str, directory: &Path) -> (u16, String) {
    let line = line.replace(THERE, &server.url).replacen("curl ", "curl -sS -w '\\n%{http_code}' ", 1);
    let output =
        Command::new("bash").args(["-c", &line]).env("ID", upload).current_dir(directory).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap_or_else(|| panic!("{line}: {output:?}"));
    (status.parse().unwrap_or_else(|_| panic!("{line}: {output:?}")), body.to_owned())
}

#[tokio::test]
async fn every_line_of_the_tour_does_what_the_readme_says() {
    let server = Start::new().start();
    let data = Data::new();
    let directory = data.path();
    for name in ["photo.jpg", "a.jpg"] {
        fs::write(directory.join(name), pictures::jpeg(1200, 800)).unwrap();
    }
    fs::write(directory.join("b.png"), pictures::tiny(1)).unwrap();
    let upload = server.accepted("cat.jpg", pictures::jpeg(1200, 800)).await;
    server.end(&id(&upload), SOON).await;
    let lines = tour();
    let mut ran = BTreeMap::<&str, u32>::new();
    for line in &lines {
        if line.starts_with("ID=") {
            continue;
        }
        assert!(line.starts_with("curl "), "{line}");
        let (words, status, part) = *EXPECTED
            .iter()
            .find(|(words, ..)| line.contains(words))
            .unwrap_or_else(|| panic!("what is expected of {line}?"));
        let (answered, body) = run(line, &server, &id(&upload), directory);
        assert_eq!(answered, status, "{line}: {body}");
        assert!(body.contains(part), "{line}: {body}");
        *ran.entry(words).or_default() += 1;
    }
    for file in ["small.jpg", "cat.jpg"] {
        assert!(image::open(directory.join(file)).is_ok(), "{file} is a picture");
    }
    assert!(ran.len() > EXPECTED.len() / 2, "{ran:?}");
}
