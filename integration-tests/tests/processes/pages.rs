//! A browser gets pages, also without script and also when it is refused. Other clients get JSON.

use integration_tests::{
    patience::SOON,
    pictures,
    server::{Server, Start, id},
};
use reqwest::{
    Method, RequestBuilder,
    multipart::{Form, Part},
};

/// The header of Chromium and Firefox for a navigation.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

/// An id that no upload has.
const UNKNOWN: &str = "01j00000000000000000000000";

fn file(name: &str, bytes: impl Into<Vec<u8>>) -> Part {
    Part::bytes(bytes.into()).file_name(name.to_owned())
}

async fn page(request: RequestBuilder, status: u16) -> String {
    let answer = request.header("accept", BROWSER).send().await.unwrap();
    assert_eq!(answer.status(), status);
    let header = |name: &str| answer.headers().get(name).map_or("", |value| value.to_str().unwrap());
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(answer.headers().get_all("vary").iter().filter(|vary| *vary == "accept").count(), 1);
    assert!(header("content-security-policy").contains("script-src 'self'"));
    answer.text().await.unwrap()
}

async fn assert_refused(server: &Server, method: Method, path: &str, status: u16, kind: &str, title: &str) {
    let ask = || server.client.request(method.clone(), server.at(path));
    let html = page(ask(), status).await;
    assert!(html.contains(title) && html.contains(kind), "{method} {path}: {html}");
    for accept in ["*/*", "application/json", "image/avif,image/webp,*/*;q=0.8", "application/problem+json"] {
        let answer = ask().header("accept", accept).send().await.unwrap();
        assert_eq!(answer.status(), status, "{method} {path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{method} {path} {accept}");
        assert_eq!(answer.headers()["vary"], "accept", "{method} {path} {accept}");
        let problem: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(problem["type"], format!("/problems/{kind}"));
    }
}

#[tokio::test]
async fn a_browser_that_is_refused_gets_a_page_with_the_status() {
    let server = Start::new().with("--workers", "0").start();
    let waiting = id(&server.accepted("cat.jpg", pictures::jpeg(64, 64)).await);
    let (thumbnail, retry) = (format!("/uploads/{waiting}/small"), format!("/uploads/{waiting}/retry"));
    let (unknown, mistyped) = (format!("/uploads/{UNKNOWN}"), format!("/uploads/{waiting}/smal"));
    for (method, path, status, kind, title) in [
        (Method::GET, "/nothing/at/all", 404, "not-found", "There is nothing at this address."),
        (Method::GET, "/problems/nonsense", 404, "not-found", "There is nothing at this address."),
        (Method::GET, "/uploads/mistyped", 404, "unknown-upload", "There is no such upload."),
        (Method::GET, &unknown, 404, "unknown-upload", "There is no such upload."),
        (Method::GET, &mistyped, 404, "not-found", "There is nothing at this address."),
        (Method::GET, &thumbnail, 404, "not-yet", "The thumbnail is not ready yet."),
        (Method::GET, "/uploads", 405, "method-not-allowed", "This method is not allowed here."),
        (Method::POST, "/limits", 405, "method-not-allowed", "This method is not allowed here."),
        (Method::POST, &retry, 409, "not-failed", "Only a failed upload can be retried."),
        (Method::GET, "/live", 426, "upgrade-required", "WebSocket"),
    ] {
        assert_refused(&server, method, path, status, kind, title).await;
    }
}

#[tokio::test]
async fn a_page_of_a_problem_keeps_the_headers_and_finds_its_styles() {
    let server = Start::new().with("--workers", "0").start();
    let waiting = id(&server.accepted("cat.jpg", pictures::jpeg(64, 64)).await);
    let path = format!("/uploads/{waiting}/small");
    let get = |method| server.client.request(method, server.at(&path)).header("accept", BROWSER);
    let whole = get(Method::GET).send().await.unwrap();
    assert_eq!(whole.headers()["retry-after"], "2");
    let length = whole.headers()["content-length"].clone();
    let html = whole.text().await.unwrap();
    assert_eq!(length, html.len().to_string());
    assert!(html.contains(r#"href="../../style.css""#), "{html}");
    let head = get(Method::HEAD).send().await.unwrap();
    assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (404, &length));
    assert!(head.bytes().await.unwrap().is_empty());

    let original = server.client.get(server.at(&format!("/uploads/{waiting}/original")));
    let outside = original.header("accept", BROWSER).header("range", "bytes=900000-").send().await.unwrap();
    assert_eq!(outside.status(), 416);
    assert!(outside.headers()["content-range"].to_str().unwrap().starts_with("bytes */"));
    assert!(outside.text().await.unwrap().contains("The requested range is outside the file."));
}

#[tokio::test]
async fn a_form_without_script_that_is_refused_gets_a_page() {
    let server = Start::new().with("--workers", "0").with("--max-upload-bytes", "100000").start();
    let post = |form| server.client.post(server.at("/uploads")).multipart(form);
    let too_large = [pictures::jpeg(64, 64), vec![0; 200_000]].concat();
    for (part, status, title) in [
        (file("report.pdf", "%PDF-1.7\n"), 415, "This is a PDF, not a picture."),
        (file("cut.jpg", &pictures::jpeg(64, 64)[..15]), 415, "The file is damaged."),
        (file("large.jpg", too_large), 413, "The file is too large. The limit is 100000 bytes."),
        (file("", ""), 400, "The form contains no file."),
    ] {
        let html = page(post(Form::new().part("file", part)), status).await;
        assert!(html.contains(title), "{html}");
        assert!(html.contains(r#"href="./style.css""#), "{html}");
    }
    let other_site = post(Form::new().part("file", file("cat.jpg", pictures::jpeg(64, 64))));
    let html = page(other_site.header("origin", "https://elsewhere.example"), 403).await;
    assert!(html.contains("Requests from other sites aren&#39;t allowed."), "{html}");
    let raw = server.client.post(server.at("/uploads")).body("no picture");
    assert!(page(raw, 415).await.contains("not a picture"));
}

#[tokio::test]
async fn a_form_without_script_lists_every_upload_and_every_refusal() {
    let server = Start::new().with("--workers", "0").start();
    let post = |form| server.client.post(server.at("/uploads")).multipart(form);
    let form = Form::new()
        .part("file", file("one & <b>.jpg", pictures::jpeg(64, 64)))
        .part("file", file("report.pdf", "%PDF-1.7\n"))
        .part("file", file("two.jpg", pictures::jpeg(65, 64)))
        .part("file", file("nothing.jpg", ""));
    let html = page(post(form), 202).await;
    assert!(html.contains("2 pictures are uploaded."), "{html}");
    for name in ["one &#38; &#60;b&#62;.jpg", "two.jpg", "report.pdf", "nothing.jpg"] {
        assert_eq!(html.matches(name).count(), 1, "{name} in {html}");
    }
    for reason in ["This is a PDF, not a picture.", "The file is empty."] {
        assert!(html.contains(reason), "{html}");
    }
    let links: Vec<_> = html.split("href=\"").filter(|rest| rest.starts_with("/uploads/")).collect();
    assert_eq!(links.len(), 2, "{html}");
    for link in links {
        let link = link.split('"').next().unwrap();
        let upload = server.client.get(server.at(link)).header("accept", BROWSER).send().await.unwrap();
        assert_eq!(upload.status(), 200, "{link}");
    }

    let form = Form::new().part("file", file("a.pdf", "%PDF-1.7\n")).part("file", file("b.txt", "hello"));
    let html = page(post(form), 415).await;
    for text in ["No picture was uploaded.", "a.pdf", "b.txt", "This is text, not a picture."] {
        assert!(html.contains(text), "{text} in {html}");
    }
}

#[tokio::test]
async fn a_form_that_breaks_off_lists_what_was_uploaded_before() {
    let server = Start::new().with("--workers", "0").start();
    let part = |name: &str, bytes: &[u8]| {
        let head =
            format!("--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n");
        [head.as_bytes(), bytes, b"\r\n"].concat()
    };
    let body = [part("cat.jpg", &pictures::jpeg(64, 64)), b"--x\r\nnonsense".to_vec()].concat();
    let request = server.client.post(server.at("/uploads")).body(body);
    let html = page(request.header("content-type", "multipart/form-data; boundary=x"), 400).await;
    for text in ["1 picture is uploaded.", "The request is malformed.", "cat.jpg"] {
        assert!(html.contains(text), "{text} in {html}");
    }
}

#[tokio::test]
async fn one_picture_without_script_leads_to_its_page() {
    let server = Start::new().start();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let form = Form::new().part("file", file("cat.jpg", pictures::jpeg(64, 64)));
    let sent =
        client.post(server.at("/uploads")).multipart(form).header("accept", BROWSER).send().await.unwrap();
    assert_eq!(sent.status(), 303);
    let link = sent.headers()["location"].to_str().unwrap().to_owned();
    server.end(link.rsplit('/').next().unwrap(), SOON).await;
    let shown = client.get(server.at(&link)).header("accept", BROWSER).send().await.unwrap();
    assert!(shown.text().await.unwrap().contains("<title>cat.jpg · up!</title>"));
}
