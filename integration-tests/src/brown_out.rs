//! A proxy in front of an S3-compatible store that can make the store unreliable.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// How late a late reply is.
const LATE: Duration = Duration::from_secs(2);

const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// What happens to a request of an unreliable store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It is answered with 503 and never reaches the store.
    Unavailable,
    /// The connection is reset before the request reaches the store.
    LostRequest,
    /// The connection is reset after the store has done what was asked.
    LostReply,
    /// The reply to a read ends in the middle of its body.
    CutRead,
    /// The reply comes late.
    Late,
}

/// How the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It does what it is asked.
    Reliable,
    /// Every second request has a fault.
    Unreliable,
    /// Every request is answered with 503.
    Unavailable,
    /// Every reply is two seconds late.
    Late,
    /// Every request is refused, because the clocks differ.
    Skewed,
    /// A missing object is answered with 403, since the client may not list.
    HidesMissing,
    /// There is no bucket of this name.
    NoBucket,
    /// No object may be deleted: the answer is 200, and has an error for each object.
    KeepsAll,
    /// Requests are read and never answered.
    Silent,
}

/// The answers of S3 to a request whose time is wrong, for a bucket that is missing, and for an object that may not be
/// known to be missing.
const SKEWED: &str = "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the \
                      current time is too large.</Message></Error>";
const NO_BUCKET: &str =
    "<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>";
const DENIED: &str = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";

/// The proxy. Ends with the test.
pub struct BrownOut {
    /// Where it listens.
    pub port: u16,
    state: Arc<Mutex<State>>,
}

struct State {
    mood: Mood,
    random: StdRng,
    faults: BTreeMap<Fault, u32>,
    /// The requests so far: a method and a path each.
    requests: Vec<String>,
}

impl BrownOut {
    /// Begins to pass requests on to the store on a port of this host. The seed decides on the faults.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn before(port: u16, seed: u64) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("there is a free port");
        let at = listener.local_addr().expect("it is bound");
        let random = StdRng::seed_from_u64(seed);
        let state = Arc::new(Mutex::new(State {
            mood: Mood::Reliable,
            random,
            faults: BTreeMap::new(),
            requests: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                // An error ends a connection, as it does on a network.
                tokio::spawn(async move { pass(client, port, &state).await });
            }
        });
        Self { port: at.port(), state }
    }

    /// Changes the store, for requests from now on.
    pub fn set(&self, mood: Mood) {
        lock(&self.state).mood = mood;
    }

    /// The requests so far: a method and a path each.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        lock(&self.state).requests.clone()
    }

    /// How often each fault happened so far.
    #[must_use]
    pub fn faults(&self) -> BTreeMap<Fault, u32> {
        lock(&self.state).faults.clone()
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// The fault of a request: every second one has none.
    fn draw(&mut self, is_read: bool) -> Option<Fault> {
        let fault = match self.random.random_range(0..100) {
            0..20 => Fault::Unavailable,
            20..27 => Fault::LostRequest,
            27..34 => Fault::LostReply,
            34..38 => Fault::Late,
            38..58 if is_read => Fault::CutRead,
            _ => return None,
        };
        *self.faults.entry(fault).or_default() += 1;
        Some(fault)
    }
}

/// Passes one request on; both connections end with it, so that the end of the reply needs no parsing.
async fn pass(mut client: TcpStream, port: u16, state: &Mutex<State>) -> io::Result<()> {
    let Some(request) = read_request(&mut client).await? else { return Ok(()) };
    let (mood, fault) = {
        let mut state = lock(state);
        state.requests.push(method_and_path(&request));
        let mood = state.mood;
        (mood, if mood == Mood::Unreliable { state.draw(request.starts_with(b"GET ")) } else { None })
    };
    match (mood, fault) {
        (Mood::Unavailable, _) | (_, Some(Fault::Unavailable)) => return client.write_all(UNAVAILABLE).await,
        (Mood::Skewed, _) => return client.write_all(&refusal("403 Forbidden", SKEWED)).await,
        (Mood::NoBucket, _) => return client.write_all(&refusal("404 Not Found", NO_BUCKET)).await,
        (Mood::KeepsAll, _) if method_and_path(&request).ends_with("?delete") => {
            return client.write_all(&refusal("200 OK", &not_deleted(&request))).await;
        }
        (Mood::Silent, _) => {
            // Until the client gives up.
            let _ = client.read_to_end(&mut Vec::new()).await;
            return Ok(());
        }
        (_, Some(Fault::LostRequest)) => return client.set_zero_linger(),
        _ => {}
    }
    let mut store = TcpStream::connect(("127.0.0.1", port)).await?;
    store.write_all(&request).await?;
    let mut reply = Vec::new();
    store.read_to_end(&mut reply).await?;
    match (mood, fault) {
        (Mood::Late, _) | (_, Some(Fault::Late)) => sleep(LATE).await,
        (Mood::HidesMissing, _) if reply.starts_with(b"HTTP/1.1 404 ") => {
            let body = if request.starts_with(b"HEAD ") { "" } else { DENIED };
            reply = refusal("403 Forbidden", body);
        }
        (_, Some(Fault::LostReply)) => return client.set_zero_linger(),
        (_, Some(Fault::CutRead)) => {
            let body = head_length(&reply).unwrap_or(reply.len());
            reply.truncate(body + (reply.len() - body) / 2);
        }
        _ => {}
    }
    client.write_all(&reply).await
}

/// The reply to a deletion of objects, none of which may be deleted.
fn not_deleted(request: &[u8]) -> String {
    let request = String::from_utf8_lossy(request);
    let keys = request.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
    let errors: String = keys
        .map(|key| {
            format!(
                "<Error><Key>{key}</Key><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            )
        })
        .collect();
    format!("<DeleteResult>{errors}</DeleteResult>")
}

fn refusal(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").into_bytes()
}

fn method_and_path(request: &[u8]) -> String {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    line.rsplit_once(' ').map_or_else(|| line.to_string(), |(asked, _version)| asked.to_owned())
}

/// Reads a whole request, and has it ask the store to close the connection after the reply.
async fn read_request(client: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut request = Vec::new();
    let head = loop {
        if client.read_buf(&mut request).await? == 0 {
            return Ok(None);
        }
        if let Some(head) = head_length(&request) {
            break head;
        }
    };
    let length = content_length(&request[..head]).unwrap_or(0);
    while request.len() < head + length {
        if client.read_buf(&mut request).await? == 0 {
            return Ok(None);
        }
    }
    let at = head - b"\r\n".len();
    request.splice(at..at, *b"Connection: close\r\n");
    Ok(Some(request))
}

/// The length of the head of a message, the empty line included, once the head is whole.
fn head_length(message: &[u8]) -> Option<usize> {
    let end = b"\r\n\r\n";
    Some(message.windows(end.len()).position(|window| window == end)? + end.len())
}

fn content_length(head: &[u8]) -> Option<usize> {
    let head = str::from_utf8(head).ok()?.to_ascii_lowercase();
    head.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse().ok()
}
