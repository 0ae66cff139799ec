//! Who may send: keys, tickets, and users that a proxy names.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use futures::future::join_all;
use integration_tests::{
    patience::{SOON, eventually},
    pictures, repository,
    server::{Data, Server, Start, binary, id, json, token},
};
use reqwest::{RequestBuilder, Response, multipart};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The time from a change of the file until every server knows it.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);

/// Runs a command of the server, and answers what it prints.
fn run(data: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(binary("up-server"))
        .args(arguments)
        .arg("--data")
        .arg(data)
        .env("UP_UPLOAD_KEYS", data.join("keys"))
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn add_key(data: &Data, name: &str) -> String {
    run(data.path(), &["key", "add", name]).unwrap().trim().to_owned()
}

/// A ticket without its link.
fn ticket(data: &Data, arguments: &[&str]) -> String {
    let link = run(data.path(), &[&["ticket"], arguments].concat()).unwrap();
    link.trim().split_once("/?key=").unwrap().1.to_owned()
}

fn guarded(data: &Data) -> Start {
    Start::on(data).variable("UP_UPLOAD_KEYS", data.path().join("keys").display().to_string())
}

fn put(server: &Server, seed: u32) -> RequestBuilder {
    server.client.put(server.at("/uploads/cat.png")).body(pictures::tiny(seed))
}

async fn refused(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    (status, json(answer).await["type"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn an_upload_needs_a_key_which_others_do_not_see() {
    let data = Data::new();
    let key = add_key(&data, "alice");
    let server = guarded(&data).with("--workers", "0").with("--admin-listen", "127.0.0.1:0").start();
    let limits = json(server.client.get(server.at("/limits")).send().await.unwrap()).await;
    assert_eq!(limits["key_required"], true);
    let answer = put(&server, 1).send().await.unwrap();
    assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    assert_eq!(refused(answer).await, (401, "/problems/key-needed".into()));
    let answer = put(&server, 1).bearer_auth("upk_wrong").send().await.unwrap();
    assert_eq!(refused(answer).await, (401, "/problems/wrong-key".into()));
    assert!(server.data.uploads().is_empty());

    let upload = json(put(&server, 1).bearer_auth(&key).send().await.unwrap()).await["uploads"][0].take();
    let record = fs::read_to_string(data.path().join("pending").join(id(&upload))).unwrap();
    assert!(record.contains(r#""sender":"key:alice""#), "{record}");
    let seen = server.client.get(server.at(&format!("/uploads/{}", id(&upload)))).send().await.unwrap();
    let seen = seen.text().await.unwrap();
    assert!(!seen.contains("alice") && !upload.to_string().contains("alice"), "{seen}");
    assert_eq!(server.figure(r#"up_sender_uploads_total{sender="alice"}"#).await, Some(1.0));
    assert!(server.log().contains("key:alice") && !server.log().contains(&key), "{}", server.log());
}

#[tokio::test]
async fn curl_sends_a_key_as_a_bearer_or_as_a_password_and_a_form_as_a_field() {
    let data = Data::new();
    let key = add_key(&data, "alice");
    let server = guarded(&data).with("--workers", "0").start();
    let picture = data.path().join("cat.png");
    fs::write(&picture, pictures::tiny(1)).unwrap();
    let file = format!("file=@{}", picture.display());
    let (bearer, user, field) =
        (format!("Authorization: Bearer {key}"), format!(":{key}"), format!("key={key}"));
    for (arguments, status) in [
        (vec!["-H", &bearer, "-F", &file], "202"),
        (vec!["-u", &user, "-F", &file], "202"),
        (vec!["-F", &field, "-F", &file], "202"),
        (vec!["-F", &file, "-F", &field], "401"),
        (vec!["-F", "key=wrong", "-F", &file], "401"),
        (vec!["-F", "key=", "-F", &file], "401"),
        (vec!["-F", &file], "401"),
        (vec!["-u", ":wrong", "-T", picture.to_str().unwrap()], "401"),
        (vec!["-u", &user, "-T", picture.to_str().unwrap()], "202"),
    ] {
        let output = Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}"])
            .args(&arguments)
            .arg(server.at("/uploads/"))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), status, "{arguments:?}");
    }
    assert_eq!(server.data.uploads().len(), 4, "nothing of a refused upload is left");
}

#[tokio::test]
async fn keys_that_are_added_or_removed_count_without_a_restart() {
    let data = Data::new();
    let alice = add_key(&data, "alice");
    let server = guarded(&data).with("--workers", "0").start();
    let bob = add_key(&data, "bob");
    let status = async |key: &str| put(&server, 1).bearer_auth(key).send().await.unwrap().status().as_u16();
    let known = async |times: usize| {
        eventually("the file is read again", KNOWN_WITHIN, async || {
            (server.log().matches("the file of upload keys has changed").count() == times).then_some(())
        })
        .await;
    };
    known(1).await;
    assert_eq!(status(&bob).await, 202);
    let keys = data.path().join("keys");
    let text = fs::read_to_string(&keys).unwrap();
    let left: String =
        text.lines().filter(|line| !line.starts_with("alice")).map(|line| format!("{line}\n")).collect();
    fs::write(&keys, left).unwrap();
    known(2).await;
    assert_eq!(status(&alice).await, 401);
    assert_eq!(status(&bob).await, 202);
    let error = run(data.path(), &["key", "add", "bob"]).unwrap_err();
    assert!(error.contains("bob already"), "{error}");
}

#[tokio::test]
async fn twenty_clients_race_for_a_ticket_of_five_uses_at_two_servers() {
    let data = Data::new();
    add_key(&data, "alice");
    let servers =
        [guarded(&data).with("--workers", "0").start(), guarded(&data).with("--workers", "0").start()];
    let ticket = ticket(&data, &["--for", "10m", "--files", "5", "--note", "wedding", "--lane", "bulk"]);
    let sending = (0..20).map(|seed| put(&servers[seed as usize % 2], seed).bearer_auth(&ticket).send());
    let answers: Vec<Response> = join_all(sending).await.into_iter().map(Result::unwrap).collect();
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status().as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 202).count(), 5, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 403).count(), 15, "{statuses:?}");
    assert_eq!(data.uploads().len(), 5, "nothing of a refused upload is left");
    let pending = data.pending();
    let record = fs::read_to_string(data.path().join("pending").join(pending.first().unwrap())).unwrap();
    assert!(record.contains("(wedding)") && record.contains(r#""bulk":true"#), "{record}");
    let answer =
        put(&servers[0], 99).bearer_auth(&ticket).header("Accept", "text/html").send().await.unwrap();
    assert_eq!(answer.status(), 403);
    assert!(answer.text().await.unwrap().contains("allows no more pictures"));
}

#[tokio::test]
async fn a_ticket_ends_with_its_time_or_its_bytes_and_a_changed_one_is_no_key() {
    let data = Data::new();
    add_key(&data, "alice");
    let server = guarded(&data).with("--workers", "0").start();
    let send = async |ticket: &str, bytes: Vec<u8>| {
        let put = server.client.put(server.at("/uploads/cat.jpg")).bearer_auth(ticket).body(bytes);
        put.send().await.unwrap()
    };
    let small = ticket(&data, &["--bytes", "1K"]);
    assert_eq!(
        refused(send(&small, pictures::jpeg(640, 480)).await).await,
        (403, "/problems/ticket-used-up".into())
    );
    assert_eq!(send(&small, pictures::tiny(1)).await.status(), 202);
    let changed = small.replacen("upt_e", "upt_f", 1);
    assert_eq!(refused(send(&changed, pictures::tiny(1)).await).await, (401, "/problems/wrong-key".into()));
    let brief = ticket(&data, &["--for", "1s", "--files", "1000"]);
    eventually("the ticket ends", SOON, async || {
        let answer = send(&brief, pictures::tiny(2)).await;
        (answer.status() == 403).then_some(())
    })
    .await;
    assert_eq!(refused(send(&brief, pictures::tiny(2)).await).await, (403, "/problems/ticket-late".into()));
    // A repeated request takes no second use.
    let one = ticket(&data, &["--files", "1"]);
    let again = async || {
        let put = put(&server, 7).bearer_auth(&one).header("Idempotency-Key", "a-key-of-some-length");
        json(put.send().await.unwrap()).await["uploads"][0]["id"].clone()
    };
    assert_eq!(again().await, again().await);
}

#[tokio::test]
async fn a_ticket_is_a_link_and_a_qr_code() {
    let data = Data::new();
    let link = run(data.path(), &["ticket", "--qr", "--public-url", "https://up.example/pictures"]).unwrap();
    let mut lines = link.lines();
    assert!(lines.next().unwrap().starts_with("https://up.example/pictures/?key=upt_"), "{link}");
    assert!(lines.count() > 20 && link.contains('█'), "{link}");
    for (bad, named) in
        [(["--files", "0"], "--files"), (["--bytes", "10T"], "K, M and G"), (["--for", "soon"], "--for")]
    {
        let error = run(data.path(), &[&["ticket"], &bad[..]].concat()).unwrap_err();
        assert!(error.contains(named), "{error}");
    }
}

#[tokio::test]
async fn a_key_sends_so_many_bytes_a_day_over_all_servers() {
    let data = Data::new();
    let (alice, bob) = (add_key(&data, "alice"), add_key(&data, "bob"));
    let limit = (2 * pictures::tiny(1).len() + 20).to_string();
    let start = || guarded(&data).with("--workers", "0").with("--key-bytes-per-day", &limit).start();
    let servers = [start(), start()];
    for server in &servers {
        assert_eq!(put(server, 1).bearer_auth(&alice).send().await.unwrap().status(), 202);
    }
    let answer = put(&servers[0], 1).bearer_auth(&alice).send().await.unwrap();
    let renewed: i64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    let midnight = jiff::Timestamp::now().as_second() + renewed;
    assert!(midnight % 86_400 <= 5 || midnight % 86_400 >= 86_395, "{renewed}");
    assert_eq!(refused(answer).await, (429, "/problems/day-used-up".into()));
    assert_eq!(put(&servers[0], 1).bearer_auth(&bob).send().await.unwrap().status(), 202);
    assert_eq!(data.uploads().len(), 3, "nothing of a refused upload is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_stores_so_many_bytes_over_all_servers_until_it_deletes_some() {
    let data = Data::new();
    let (alice, bob) = (add_key(&data, "alice"), add_key(&data, "bob"));
    let limit = 2 * pictures::tiny(1).len() + 20;
    let start =
        || guarded(&data).with("--workers", "0").with("--key-stored-bytes", &limit.to_string()).start();
    let servers = [start(), start()];
    let mut accepted = Vec::new();
    for server in &servers {
        let answer = json(put(server, 1).bearer_auth(&alice).send().await.unwrap()).await;
        accepted.push(answer["uploads"][0].clone());
    }
    let answer = put(&servers[0], 1).bearer_auth(&alice).send().await.unwrap();
    assert!(!answer.headers().contains_key("retry-after"), "time alone does not help");
    let status = answer.status().as_u16();
    let problem = json(answer).await;
    assert_eq!(
        (status, &problem["type"], &problem["limit"]),
        (507, &"/problems/room-used-up".into(), &limit.into())
    );
    assert_eq!(put(&servers[0], 1).bearer_auth(&bob).send().await.unwrap().status(), 202);
    assert_eq!(data.uploads().len(), 3, "nothing of a refused upload is left");
    assert_eq!(servers[0].delete(&id(&accepted[1]), &token(&accepted[1])).await, 204);
    let again = put(&servers[1], 1).bearer_auth(&alice).header("Idempotency-Key", "the-third-of-alice");
    let third = json(again.send().await.unwrap()).await["uploads"][0].take();
    let repeated = put(&servers[0], 1).bearer_auth(&alice).header("Idempotency-Key", "the-third-of-alice");
    assert_eq!(json(repeated.send().await.unwrap()).await["uploads"][0]["id"], third["id"]);
    assert_eq!(put(&servers[1], 1).bearer_auth(&alice).send().await.unwrap().status(), 507);
    // What expires makes room as well.
    assert_eq!(servers[0].delete(&id(&third), &token(&third)).await, 204);
    let brief = servers[0].client.put(servers[0].at("/uploads/cat.png?expires=1")).body(pictures::tiny(1));
    assert_eq!(brief.bearer_auth(&alice).send().await.unwrap().status(), 202);
    eventually("the upload has expired", Duration::from_secs(60), async || {
        (put(&servers[1], 1).bearer_auth(&alice).send().await.unwrap().status() == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn guesses_of_a_client_are_limited() {
    let data = Data::new();
    add_key(&data, "alice");
    let server = guarded(&data).with("--workers", "0").start();
    for guess in 0..100 {
        let answer = refused(put(&server, 1).bearer_auth(format!("upk_{guess}")).send().await.unwrap()).await;
        if answer == (429, "/problems/too-many-wrong-keys".into()) {
            return assert!(guess >= 20, "{guess}");
        }
    }
    panic!("a hundred guesses were checked");
}

#[tokio::test]
async fn an_upload_that_is_not_accepted_gives_its_use_back() {
    let data = Data::new();
    add_key(&data, "alice");
    let server = guarded(&data).with("--workers", "0").start();
    let one = ticket(&data, &["--files", "1"]);
    // No entry can be written: the commit fails.
    let pending = data.path().join("pending");
    let _ = fs::remove_dir_all(&pending);
    fs::write(&pending, "in the way").unwrap();
    let failed = put(&server, 1).bearer_auth(&one).send().await.unwrap();
    assert!(failed.status().is_server_error(), "{}", failed.status());
    fs::remove_file(&pending).unwrap();
    assert_eq!(put(&server, 1).bearer_auth(&one).send().await.unwrap().status(), 202);
    assert_eq!(
        refused(put(&server, 2).bearer_auth(&one).send().await.unwrap()).await.1,
        "/problems/ticket-used-up"
    );
}

#[tokio::test]
async fn a_sender_cannot_take_the_upload_of_another_by_its_idempotency_key() {
    let data = Data::new();
    let (alice, bob) = (add_key(&data, "alice"), add_key(&data, "bob"));
    let server = guarded(&data).with("--workers", "0").start();
    let send = async |key: &str| {
        let put = put(&server, 1).bearer_auth(key).header("Idempotency-Key", "the-hash-of-a-known-file");
        json(put.send().await.unwrap()).await["uploads"][0].take()
    };
    let (first, second) = (send(&alice).await, send(&bob).await);
    assert_ne!(id(&first), id(&second));
    assert_ne!(token(&first), token(&second));
    assert_eq!(id(&send(&alice).await), id(&first), "her own repetition");
}

#[tokio::test]
async fn clients_without_a_key_take_no_place_of_those_with_one() {
    let data = Data::new();
    let alice = add_key(&data, "alice");
    let server = guarded(&data).with("--workers", "0").start();
    // A field before the key may not be long.
    let long = multipart::Form::new()
        .text("note", "x".repeat(100_000))
        .part("file", multipart::Part::bytes(pictures::tiny(1)).file_name("a.png"));
    let answer = server.client.post(server.at("/uploads")).multipart(long).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    let short = multipart::Form::new()
        .text("note", "hello")
        .text("key", alice)
        .part("file", multipart::Part::bytes(pictures::tiny(1)).file_name("a.png"));
    let answer = server.client.post(server.at("/uploads")).multipart(short).send().await.unwrap();
    assert_eq!(answer.status(), 202);
}

#[tokio::test]
async fn a_file_of_keys_that_cannot_be_read_stops_the_start_in_words() {
    let data = Data::new();
    let error = run(data.path(), &["--listen", "127.0.0.1:0"]).unwrap_err();
    assert!(error.contains("could not read the upload keys in") && error.contains("keys"), "{error}");
    let checked = run(data.path(), &["check"]);
    assert!(checked.is_err(), "the check says so too");
    fs::write(data.path().join("keys"), "alice and bob\n").unwrap();
    let error = run(data.path(), &["--listen", "127.0.0.1:0"]).unwrap_err();
    assert!(error.contains("line 1"), "{error}");
}

/// A process that ends with the test, also if it fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Answers every question of a proxy with a user, unless the cookie is missing.
async fn sign_in_service() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 16 * 1024];
                let length = stream.read(&mut request).await.unwrap_or(0);
                let is_known =
                    String::from_utf8_lossy(&request[..length]).to_lowercase().contains("cookie: signed-in");
                let head =
                    if is_known { "202 Accepted\r\nX-Auth-Request-User: carol" } else { "401 Unauthorized" };
                let answer = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    port
}

/// A proxy with one of our recipes in front of a server.
struct SignIn {
    server: Server,
    port: u16,
    directory: TempDir,
}

impl SignIn {
    fn new() -> Self {
        let server = Start::new()
            .with("--workers", "0")
            .with("--trusted-proxies", "127.0.0.1")
            .with("--trusted-user-header", "X-Forwarded-User")
            .start();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { server, port, directory: TempDir::with_prefix("up-sign-in-").unwrap() }
    }

    /// The recipe, with the addresses of this test.
    async fn recipe(&self, name: &str) -> String {
        let own = self.server.url.rsplit(':').next().unwrap();
        repository::text_of(&format!("server/deploy/{name}"))
            .replace("listen 8081", &format!("listen 127.0.0.1:{}", self.port))
            .replace("up.example.org", &format!("http://127.0.0.1:{}", self.port))
            .replace("127.0.0.1:8080", &format!("127.0.0.1:{own}"))
            .replace("127.0.0.1:4180", &format!("127.0.0.1:{}", sign_in_service().await))
    }

    fn at(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Only users send, and no client names itself.
    async fn assert_holds(&self) {
        let client = &self.server.client;
        eventually("the proxy listens", SOON, async || client.get(self.at("/limits")).send().await.ok())
            .await;
        let put = |path: &str| client.put(self.at(path)).body(pictures::tiny(1));
        for path in ["/uploads", "/uploads/", "/uploads/cat.png"] {
            let upload = put(path).header("Cookie", "signed-in").header("X-Forwarded-User", "mallory");
            let upload = upload.send().await.unwrap();
            assert_eq!(upload.status(), 202, "{path}");
            let upload = id(&json(upload).await["uploads"][0]);
            let record = fs::read_to_string(self.server.data.path().join("pending").join(&upload)).unwrap();
            assert!(record.contains(r#""sender":"user:carol""#), "{path}: {record}");
            let shown = client.get(self.at(&format!("/uploads/{upload}"))).send().await.unwrap();
            assert_eq!(shown.status(), 200, "everybody sees it");
            let delete = client.delete(self.at(&format!("/uploads/{upload}"))).bearer_auth("wrong");
            assert_eq!(delete.send().await.unwrap().status(), 403, "the token decides");
            for name in [None, Some("mallory")] {
                let stranger =
                    name.into_iter().fold(put(path), |put, name| put.header("X-Forwarded-User", name));
                assert_eq!(stranger.send().await.unwrap().status(), 401, "{path}");
            }
        }
        let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        // The page has nothing to ask for.
        let limits = json(client.get(self.at("/limits")).send().await.unwrap()).await;
        assert_eq!(limits["key_required"], false);
        let page = browser.get(self.at("/")).header("Accept", "text/html").send().await.unwrap();
        assert_eq!(page.status(), 302);
        assert!(page.headers()["location"].to_str().unwrap().ends_with("/oauth2/start?rd=/"));
        let form =
            multipart::Form::new().part("file", multipart::Part::bytes(pictures::tiny(2)).file_name("a.png"));
        let direct = client.post(self.server.at("/uploads")).multipart(form).send().await.unwrap();
        assert_eq!(refused(direct).await, (401, "/problems/key-needed".into()));
    }
}

#[tokio::test]
async fn behind_nginx_with_a_sign_in_only_users_send() {
    let sign_in = SignIn::new();
    let directory = sign_in.directory.path();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};", directory.display()))
        .concat();
    let recipe = sign_in.recipe("nginx-sign-in.conf").await;
    let config = format!("events {{}}\nhttp {{ access_log off; {temporary}\n{recipe}\n}}\n");
    fs::write(directory.join("nginx.conf"), config).unwrap();
    let settings = "daemon off; master_process off; error_log stderr; pid nginx.pid;";
    let nginx = Command::new("/usr/sbin/nginx")
        .args(["-e", "stderr", "-g", settings, "-c", "nginx.conf", "-p"])
        .arg(directory)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let _nginx = Killed(nginx);
    sign_in.assert_holds().await;
}

#[tokio::test]
async fn behind_caddy_with_a_sign_in_only_users_send() {
    let sign_in = SignIn::new();
    let directory = sign_in.directory.path();
    let recipe = sign_in.recipe("Caddyfile-sign-in").await;
    fs::write(directory.join("Caddyfile"), format!("{{\n\tadmin off\n}}\n{recipe}")).unwrap();
    let caddy = Command::new("/usr/bin/caddy")
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(directory.join("Caddyfile"))
        .env("HOME", directory)
        .env("XDG_DATA_HOME", directory)
        .env("XDG_CONFIG_HOME", directory)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let _caddy = Killed(caddy);
    sign_in.assert_holds().await;
}
