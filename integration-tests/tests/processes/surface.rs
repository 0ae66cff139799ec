//! What holds for every request and answer: the bounds of a form.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use integration_tests::{
    pictures,
    server::{Start, json},
};
use reqwest::{Body, multipart};

const FORM: &str = "multipart/form-data; boundary=b";

#[tokio::test]
async fn a_form_of_five_thousand_parts_is_answered_within_a_second() {
    let server = Start::new().start();
    let part = |part| format!("--b\r\nContent-Disposition: form-data; name=\"field-{part}\"\r\n\r\nx\r\n");
    let form = (0..5000).map(part).collect::<String>() + "--b--\r\n";
    let begun = Instant::now();
    let request = server.client.post(server.at("/uploads")).header("content-type", FORM).body(form);
    let answer = request.send().await.unwrap();
    let took = begun.elapsed();
    assert_eq!(answer.status(), 400);
    assert_eq!(json(answer).await["type"], "/problems/too-many-parts");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(server.data.files().is_empty());
}

#[tokio::test]
async fn what_a_form_has_beside_its_files_is_bounded() {
    let server = Start::new().start();
    let post = async |body: Body| {
        let request = server.client.post(server.at("/uploads")).header("content-type", FORM).body(body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 400);
        assert_eq!(json(answer).await["type"], "/problems/malformed");
    };
    let endless = |begin: &str| {
        let begin = stream::iter([begin.to_owned()]);
        // As much as is read on of a body that was refused, and no end.
        let pieces = begin.chain(stream::repeat("x".repeat(60_000)).take(100));
        Body::wrap_stream(pieces.map(Ok::<_, std::io::Error>))
    };
    post(endless("a preamble ")).await;
    post(endless("--b\r\nContent-Disposition: form-data; name=\"")).await;
    let name = "x".repeat(10_000);
    post(
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\nx\r\n--b--\r\n"
        )
        .into(),
    )
    .await;
    assert!(server.data.files().is_empty());
}

#[tokio::test]
async fn a_form_of_files_and_fields_in_any_order_is_taken_whole() {
    let server = Start::new().start();
    let file =
        |seed: u32| multipart::Part::bytes(pictures::jpeg(640 + seed, 480)).file_name(format!("{seed}.jpg"));
    let form = (0..8u32).fold(multipart::Form::new(), |form, seed| {
        let refused = multipart::Part::bytes(vec![0; 300_000]).file_name("zeros");
        form.text("comment", "y".repeat(400_000)).part("file", file(seed)).part("file", refused)
    });
    let answer = server.client.post(server.at("/uploads")).multipart(form).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let answer = json(answer).await;
    let lengths = [&answer["uploads"], &answer["rejected"]].map(|list| list.as_array().unwrap().len());
    assert_eq!(lengths, [8, 8], "{answer}");
}
