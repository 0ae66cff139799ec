//! `/openapi.json`

use std::collections::BTreeSet;

use integration_tests::{
    patience::{SOON, eventually},
    pictures, raw,
    server::{Server, Start, id},
};
use reqwest::{Method, RequestBuilder, Response, multipart::Form, multipart::Part, redirect::Policy};
use rustix::process::Signal;
use serde_json::Value;

use super::document::Document;

/// Every method that HTTP clients use on resources.
const METHODS: [&str; 8] = ["get", "head", "post", "put", "delete", "patch", "options", "trace"];

/// A server, its description, and a client that follows nothing.
struct Held {
    server: Server,
    document: Document,
    client: reqwest::Client,
}

impl Held {
    async fn start(start: Start) -> Self {
        let server = start.start();
        let document = Document::of(&server, "/openapi.json").await;
        let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        Self { server, document, client }
    }

    fn ask(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        self.client.request(method, self.server.at(path))
    }

    /// Asks, and asserts that the answer has this status, and is one that is described for the template of the path.
    async fn check(&self, method: &str, template: &str, request: RequestBuilder, status: u16) -> Vec<u8> {
        let answer = request.send().await.unwrap();
        let place = format!("{method} {template}: {status}");
        assert_eq!(answer.status().as_u16(), status, "{place}: {}", answer.text().await.unwrap());
        let described = &self.document.0["paths"][template][method]["responses"][status.to_string()];
        assert!(described.is_object(), "{place} is not described");
        self.assert_headers(&place, described, &answer);
        let media = media_type(&answer);
        let body = answer.bytes().await.unwrap().to_vec();
        let Some(contents) = described["content"].as_object() else {
            assert!(body.is_empty(), "{place} has a body");
            return body;
        };
        let content = contents.get(&media).unwrap_or_else(|| panic!("{place} is no {media}"));
        if media.ends_with("json") {
            let value: Value = serde_json::from_slice(&body).unwrap();
            self.document.assert_valid(&content["schema"], &value);
            if let Some(kind) = value["type"].as_str().and_then(|path| path.strip_prefix("/problems/")) {
                assert!(!content["examples"][kind].is_null(), "{place}: {kind} is not described");
            }
        }
        body
    }

    fn assert_headers(&self, place: &str, described: &Value, answer: &Response) {
        for (name, header) in described["headers"].as_object().unwrap() {
            let is_there = answer.headers().contains_key(name);
            assert!(is_there || self.document.resolved(header)["required"] != true, "{place} has no {name}");
        }
    }

    /// The id of an upload that has ended so.
    async fn ended(&self, name: &str, bytes: Vec<u8>, state: &str) -> String {
        let upload = id(&self.server.accepted(name, bytes).await);
        assert_eq!(self.server.end(&upload, SOON).await["state"], state);
        upload
    }
}

fn media_type(answer: &Response) -> String {
    let whole = answer.headers().get("content-type").map_or("", |value| value.to_str().unwrap());
    whole.split(';').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_methods_that_are_described_are_those_that_are_served() {
    let held = Held::start(Start::new().with("--workers", "0")).await;
    held.document.assert_references_lead_somewhere();
    for (template, item) in held.document.0["paths"].as_object().unwrap() {
        let path = template.replace("{id}", "nonsense").replace("{size}", "small").replace("{kind}", "none");
        let described: BTreeSet<_> =
            METHODS.into_iter().filter(|method| item.get(method).is_some()).map(str::to_uppercase).collect();
        for method in METHODS {
            let answer = held.ask(method, &path).send().await.unwrap();
            let is_served = answer.status() != 405;
            assert_eq!(is_served, described.contains(&method.to_uppercase()), "{method} {template}");
            if !is_served {
                let allowed = answer.headers()["allow"].to_str().unwrap();
                let allowed: BTreeSet<_> = allowed.split(',').map(|name| name.trim().to_owned()).collect();
                assert_eq!(allowed, described, "{template}");
                assert_eq!(media_type(&answer), "application/problem+json");
            }
        }
    }
}

#[tokio::test]
async fn every_kind_of_problem_is_described_and_has_a_page() {
    let held = Held::start(Start::new().with("--workers", "0")).await;
    let components = &held.document.0["components"];
    let kinds = components["schemas"]["ProblemType"]["enum"].as_array().unwrap();
    let examples = components["examples"].as_object().unwrap();
    assert_eq!(kinds.len(), examples.len());
    for example in examples.values() {
        let problem = &example["value"];
        assert!(kinds.contains(&problem["type"]));
        let path = problem["type"].as_str().unwrap();
        let page = held.check("get", "/problems/{kind}", held.ask("get", path), 200).await;
        let page = String::from_utf8(page).unwrap().replace("&#39;", "'");
        assert!(
            page.contains(problem["title"].as_str().unwrap())
                && page.contains(&problem["status"].to_string())
        );
    }
    held.check("get", "/problems/{kind}", held.ask("get", "/problems/nonsense"), 404).await;
}

#[tokio::test]
async fn answers_to_who_sends_are_as_described() {
    let held =
        Held::start(Start::new().with("--max-upload-bytes", "300000").with("--max-pixels", "100000")).await;
    let post = || held.ask("post", "/uploads");
    let form = |name: &'static str, bytes| Form::new().part("file", Part::bytes(bytes).file_name(name));
    let tiny = || pictures::tiny(1);
    for (request, status) in [
        (post().multipart(form("cat.png", tiny())), 202),
        (post().multipart(form("cat.png", tiny()).part("file", Part::text("no").file_name("no.txt"))), 202),
        (post().header("prefer", "wait=20").body(tiny()), 201),
        (post().header("accept", "text/plain").body(tiny()), 202),
        (post().header("accept", "text/html").body(tiny()), 303),
        (post().header("idempotency-key", "one").body(tiny()), 202),
        (post().header("idempotency-key", "one").body(pictures::tiny(2)), 422),
        (post().header("idempotency-key", "two words").body(tiny()), 400),
        (post().header("origin", "https://evil.example").body(tiny()), 403),
        (post().multipart(Form::new().text("comment", "no file")), 400),
        (post().header("content-type", "multipart/form-data").body("no boundary"), 400),
        (post(), 400),
        (post().body("text"), 415),
        (post().body(vec![0; 300_001]), 413),
        (post().body(pictures::jpeg(400, 300)), 422),
        (held.ask("post", "/uploads?lane=slow").body(tiny()), 400),
        (held.ask("post", "/uploads?lane=bulk").body(tiny()), 202),
    ] {
        held.check("post", "/uploads", request, status).await;
    }
    for (method, template, path) in [
        ("post", "/uploads/", "/uploads/"),
        ("put", "/uploads", "/uploads"),
        ("put", "/uploads/", "/uploads/"),
        ("put", "/uploads/{id}", "/uploads/cat.png"),
    ] {
        held.check(method, template, held.ask(method, path).body(tiny()), 202).await;
        held.check(method, template, held.ask(method, path).body("text"), 415).await;
    }
}

#[tokio::test]
async fn answers_to_who_looks_are_as_described() {
    let held = Held::start(Start::new()).await;
    let ready = held.ended("cat.jpg", pictures::jpeg(400, 300), "ready").await;
    let failed = held.ended("cat.png", pictures::damaged(), "failed").await;
    let unknown = "0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10";
    let get = async |template: &str, upload: &str, headers: &[(&'static str, &'static str)], status| {
        let path = template.replace("{id}", upload).replace("{size}", "small");
        let with = |request| {
            headers.iter().fold(request, |it: RequestBuilder, (name, value)| it.header(*name, *value))
        };
        held.check("get", template, with(held.ask("get", &path)), status).await;
        // A part of headers alone is asked for by nobody.
        let status = if [206, 416].contains(&status) { 200 } else { status };
        held.check("head", template, with(held.ask("head", &path)), status).await;
    };
    let (upload, size) = ("/uploads/{id}", "/uploads/{id}/{size}");
    let (original, events) = ("/uploads/{id}/original", "/uploads/{id}/events");
    for (template, id, headers, status) in [
        (upload, &*ready, &[][..], 200),
        (upload, &ready, &[("accept", "text/plain")], 200),
        (upload, &ready, &[("accept", "text/html")], 200),
        (upload, &ready, &[("prefer", "wait=5")], 200),
        (upload, &failed, &[], 200),
        (upload, unknown, &[], 404),
        (upload, "nonsense", &[], 404),
        (size, &ready, &[], 200),
        (size, &ready, &[("if-none-match", "*")], 304),
        (size, &failed, &[], 410),
        (size, unknown, &[], 404),
        (original, &ready, &[], 200),
        (original, &ready, &[("range", "bytes=0-9")], 206),
        (original, &ready, &[("range", "bytes=9999999-")], 416),
        (original, &ready, &[("if-none-match", "*")], 304),
        (original, unknown, &[], 404),
        (events, &ready, &[], 200),
        (events, unknown, &[], 404),
        ("/", "", &[], 200),
        ("/", "", &[("if-none-match", "*")], 304),
        ("/limits", "", &[], 200),
        ("/healthz", "", &[], 200),
        ("/readyz", "", &[], 200),
        ("/openapi.json", "", &[], 200),
        ("/asyncapi.json", "", &[], 200),
    ] {
        get(template, id, headers, status).await;
    }
    let retry = |upload: &str| held.ask("post", &format!("/uploads/{upload}/retry"));
    for (request, status) in [
        (retry(&failed), 202),
        (retry(&ready), 409),
        (retry(&ready).header("origin", "https://evil.example"), 403),
        (retry(unknown), 404),
    ] {
        held.check("post", "/uploads/{id}/retry", request, status).await;
    }
    held.server.end(&failed, SOON).await;
    held.check("post", "/uploads/{id}/retry", retry(&failed).header("accept", "text/html"), 303).await;
}

#[tokio::test]
async fn what_is_not_there_yet_and_what_is_upgraded_is_as_described() {
    let held = Held::start(Start::new().with("--workers", "0")).await;
    let waiting = id(&held.server.accepted("cat.png", pictures::tiny(1)).await);
    let small = held.ask("get", &format!("/uploads/{waiting}/small"));
    held.check("get", "/uploads/{id}/{size}", small, 404).await;
    let live = || held.ask("get", "/live");
    let upgrade = || {
        let request = live().header("connection", "upgrade").header("upgrade", "websocket");
        request.header("sec-websocket-protocol", "up.v1")
    };
    let version = |request: RequestBuilder| request.header("sec-websocket-version", "13");
    let key = |request: RequestBuilder| request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for (request, status) in [
        (live(), 426),
        (key(upgrade()), 426),
        (version(upgrade()), 400),
        (version(key(upgrade())).header("origin", "https://evil.example"), 403),
        (version(key(upgrade())), 101),
    ] {
        held.check("get", "/live", request, status).await;
    }
    held.check("head", "/live", held.ask("head", "/live"), 426).await;
}

#[tokio::test]
async fn answers_of_a_server_that_stops_are_as_described() {
    let held = Held::start(Start::new()).await;
    let failed = held.ended("cat.png", pictures::damaged(), "failed").await;
    // For as long as this is coming in it answers.
    let coming = raw::begin_upload(&held.server.url, "", 100_000).await;
    held.server.signal(Signal::TERM);
    eventually("it says that it stops", SOON, async || {
        let answer = held.ask("get", "/readyz").send().await.unwrap();
        (answer.status() == 503).then_some(())
    })
    .await;
    let tiny = || pictures::tiny(1);
    let upload = format!("/uploads/{failed}");
    let live = held.ask("get", "/live").header("connection", "upgrade").header("upgrade", "websocket");
    let live =
        live.header("sec-websocket-version", "13").header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for (method, template, request, status) in [
        ("get", "/readyz", held.ask("get", "/readyz"), 503),
        ("head", "/readyz", held.ask("head", "/readyz"), 503),
        ("post", "/uploads", held.ask("post", "/uploads").body(tiny()), 503),
        ("put", "/uploads/{id}", held.ask("put", "/uploads/cat.png").body(tiny()), 503),
        ("post", "/uploads/{id}/retry", held.ask("post", &format!("{upload}/retry")), 503),
        ("get", "/live", live, 503),
        ("get", "/healthz", held.ask("get", "/healthz"), 200),
        ("get", "/uploads/{id}", held.ask("get", &upload).header("prefer", "wait=5"), 200),
        ("get", "/uploads/{id}/events", held.ask("get", &format!("{upload}/events")), 200),
    ] {
        held.check(method, template, request, status).await;
    }
    drop(coming);
}
