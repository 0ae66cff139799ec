//! A compromised decoder: the worker trusts none of its replies.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use image::ImageFormat;
use worker::{
    Format,
    config::PixelConfig,
    confinement::{Launch, Priority},
    maker::{Maker, ThumbnailSet},
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
    outcome_of(answer).await.expect_err("the reply is refused")
}

/// The same, or the thumbnails.
async fn outcome_of(answer: &[u8]) -> Result<ThumbnailSet, String> {
    let directory = tempfile::tempdir().unwrap();
    let (script, reply) = (directory.path().join("child"), directory.path().join("answer"));
    fs::write(&reply, [message(READY), answer.to_vec()].concat()).unwrap();
    fs::write(&script, format!("#!/bin/sh\n/bin/cat {}\n/bin/cat >/dev/null\n", reply.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let pixels = PixelConfig { job_timeout: Duration::from_secs(5), ..pixels() };
    let maker = Maker::new(&pixels, Launch { executable: script, ..launch() });
    let original = encoded(&picture(300, 200), ImageFormat::Jpeg);
    let made = maker.make(original.into(), Format::Jpeg, Priority::Normal).await;
    if let Ok(made) = made {
        return Ok(made);
    }
    let error = reason(made);
    println!("{:?}", error.detail());
    Err(error.code().to_owned())
}

/// A reply with these dimensions and files.
fn made(sides: [(u32, u32); 3], files: [&[u8]; 3], encoding: &str) -> Vec<u8> {
    made_with_webp(sides, files, encoding, None)
}

/// The same, with a WebP beside the small file, and the bytes that its header announces.
fn made_with_webp(
    sides: [(u32, u32); 3],
    files: [&[u8]; 3],
    encoding: &str,
    webp: Option<(&[u8], u64)>,
) -> Vec<u8> {
    let webps = [webp, None, None];
    let headers: Vec<String> = sides
        .iter()
        .zip(files)
        .zip(webps)
        .map(|(((width, height), file), webp)| {
            let (bytes, webp) = (file.len(), webp.map_or("null".to_owned(), |(_, announced)| announced.to_string()));
            format!(
                r#"{{"width":{width},"height":{height},"encoding":"{encoding}","bytes":{bytes},"webp_bytes":{webp}}}"#
            )
        })
        .collect();
    let took = r#"{"secs":0,"nanos":0}"#;
    let json = format!(
        r#"{{"Made":{{"width":300,"height":200,"thumbhash":[1,2,3],"warnings":[],"files":[{}],"took":[{took},{took},{took}]}}}}"#,
        headers.join(",")
    );
    let files =
        files.into_iter().zip(webps).flat_map(|(file, webp)| [file, webp.map_or(&[][..], |(webp, _)| webp)]);
    [message(&json), files.collect::<Vec<_>>().concat()].concat()
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
async fn an_invalid_webp_beside_a_right_thumbnail_is_refused() {
    let sides = [(160, 107), (300, 200), (300, 200)];
    let files = sides.map(|(width, height)| encoded(&picture(width, height), ImageFormat::Jpeg));
    let files = files.each_ref().map(Vec::as_slice);
    let webp = |(width, height)| encoded(&picture(width, height), ImageFormat::WebP);
    let (right, large) = (webp(sides[0]), webp(sides[2]));
    let beside =
        |webp: &[u8], announced: u64| made_with_webp(sides, files, "image/jpeg", Some((webp, announced)));
    let whole = |webp: &[u8]| beside(webp, webp.len() as u64);
    assert_eq!(outcome_of(&whole(&right)).await.map(drop), Ok(()), "the right one is taken");
    for (what, answer) in [
        ("a page", whole(b"<!doctype html><script>alert(1)</script>")),
        ("a JPEG", whole(files[0])),
        ("other dimensions", whole(&large)),
        ("no file", whole(&[])),
        ("a terabyte", beside(&right, 1 << 40)),
        (
            "WebP for every client",
            made([sides[0], sides[1], sides[2]], [&right, &large, &large], "image/webp"),
        ),
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
