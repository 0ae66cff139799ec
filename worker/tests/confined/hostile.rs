//! A compromised decoder: the worker trusts none of its replies.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use image::ImageFormat;
use worker::{
    Format,
    config::PixelConfig,
    confinement::{Launch, Priority},
    maker::Maker,
};

use crate::support::{encoded, launch, picture, pixels, reason};

/// A message as the two sides write them.
fn message(json: &str) -> Vec<u8> {
    let length = u32::try_from(json.len()).unwrap();
    [&length.to_le_bytes(), json.as_bytes()].concat()
}

const READY: &str = r#"{"status":{"limits":"enforced","landlock":"enforced","filter":"enforced"}}"#;

/// The failure of a picture of 300 × 200 whose decoder is ready, accepts the job and replies with these bytes.
async fn failure_of(answer: &[u8]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let (script, reply) = (directory.path().join("child"), directory.path().join("answer"));
    fs::write(&reply, [message(READY), answer.to_vec()].concat()).unwrap();
    fs::write(&script, format!("#!/bin/sh\n/bin/cat {}\n/bin/cat >/dev/null\n", reply.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let pixels = PixelConfig { job_timeout: Duration::from_secs(5), ..pixels() };
    let maker = Maker::new(&pixels, Launch { executable: script, ..launch() });
    let original = encoded(&picture(300, 200), ImageFormat::Jpeg);
    let error = reason(maker.make(original.into(), Format::Jpeg, Priority::Normal).await);
    println!("{:?}", error.detail());
    error.code().to_owned()
}

/// A reply with these dimensions and files.
fn made(sides: [(u32, u32); 3], files: [&[u8]; 3], encoding: &str) -> Vec<u8> {
    let headers: Vec<String> = sides
        .iter()
        .zip(files)
        .map(|((width, height), file)| {
            let bytes = file.len();
            format!(r#"{{"width":{width},"height":{height},"encoding":"{encoding}","bytes":{bytes}}}"#)
        })
        .collect();
    let took = r#"{"secs":0,"nanos":0}"#;
    let json = format!(
        r#"{{"Made":{{"width":300,"height":200,"thumbhash":[1,2,3],"warnings":[],"files":[{}],"took":[{took},{took},{took}]}}}}"#,
        headers.join(",")
    );
    [message(&json), files.concat()].concat()
}

#[tokio::test]
async fn invalid_thumbnails_are_refused() {
    let sides = [(160, 107), (300, 200), (300, 200)];
    let jpeg = |(width, height)| encoded(&picture(width, height), ImageFormat::Jpeg);
    let right = sides.map(jpeg);
    let [small, medium, large] = right.each_ref().map(Vec::as_slice);
    let page = b"<script>alert(1)</script>";
    for (what, answer) in [
        ("a page", made(sides, [small, page, large], "image/jpeg")),
        ("another type", made(sides, [small, medium, large], "image/png")),
        ("other dimensions than its header", made(sides, [medium, medium, large], "image/jpeg")),
        (
            "other dimensions than requested",
            made([(160, 107), (301, 200), (300, 200)], [small, medium, large], "image/jpeg"),
        ),
        ("no file", made(sides, [&[], medium, large], "image/jpeg")),
    ] {
        assert_eq!(failure_of(&answer).await, "cannot-be-decoded", "{what}");
    }
}

#[tokio::test]
async fn no_reply_makes_the_worker_allocate_or_wait_without_bound() {
    let endless = r#"{"Made":{"width":300,"height":200,"thumbhash":[1],"warnings":[],"took":[{"secs":0,"nanos":0},{"secs":0,"nanos":0},{"secs":0,"nanos":0}],"files":[
        {"width":160,"height":107,"encoding":"image/jpeg","bytes":999999999999},
        {"width":300,"height":200,"encoding":"image/jpeg","bytes":1},
        {"width":300,"height":200,"encoding":"image/jpeg","bytes":1}]}}"#;
    for answer in [message(endless), u32::MAX.to_le_bytes().to_vec(), message("{}"), message("[[[[[[")] {
        assert_eq!(failure_of(&answer).await, "cannot-be-decoded");
    }
    assert_eq!(failure_of(&[]).await, "took-too-long");
}

#[tokio::test]
async fn a_decoder_reports_only_its_own_errors() {
    let foreign = r#"{"Failed":{"TookTooLong":{"secs":1,"nanos":0}}}"#;
    assert_eq!(failure_of(&message(foreign)).await, "cannot-be-decoded");
    assert_eq!(failure_of(&message(r#"{"Failed":"NeedsTooMuchMemory"}"#)).await, "too-much-memory");
    let kind = |name: &str| message(&format!(r#"{{"Failed":{{"UnsupportedKind":"{name}"}}}}"#));
    assert_eq!(failure_of(&kind("TiffCompression")).await, "unsupported-kind");
    assert_eq!(failure_of(&kind("<b>a sentence of its own</b>")).await, "cannot-be-decoded");
    // A line break in a detail would forge a log record.
    assert_eq!(
        failure_of(&message(r#"{"Failed":{"CannotBeDecoded":"x\nERROR y"}}"#)).await,
        "cannot-be-decoded"
    );
}
