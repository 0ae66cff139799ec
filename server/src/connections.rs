//! Open connections, and which of them makes room when there are too many.
//!
//! A connection either has a request, until its answer is in the system's hands, or waits for one. Once there are as many as there may be, the next one costs the
//! client that has most connections waiting its oldest: a stranger with thousands of half-open connections displaces
//! nobody but itself.

use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::client::Client;

/// Files that are not connections: storage, the queue, pipes of workers, and some to spare.
const OTHER_FILES: u64 = 1024;

/// Lets this process open as many files as it may at all, and answers how many connections and sockets fit.
pub(crate) fn that_fit(wanted: usize, sockets: usize) -> (usize, usize) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        warn!(%error, "could not raise the limit of open files");
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // A connection, the file of its upload, and a socket.
    let fit = usize::try_from(files.saturating_sub(OTHER_FILES) / 3).unwrap_or(usize::MAX).max(1);
    if fit < wanted.max(sockets) {
        warn!(files, "so few files may be open that only {fit} connections and as many sockets fit");
    }
    (wanted.min(fit), sockets.min(fit))
}

/// All of them.
pub(crate) struct Connections {
    most: usize,
    table: Mutex<Table>,
    /// One was closed, or waits for a request now.
    changed: Notify,
}

#[derive(Default)]
struct Table {
    open: usize,
    next: u64,
    /// By client those that wait for a request, the one that has waited longest first.
    waiting: HashMap<Client, BTreeMap<u64, CancellationToken>>,
}

impl Table {
    fn wait(&mut self, client: Client, end: CancellationToken) -> u64 {
        self.next += 1;
        self.waiting.entry(client).or_default().insert(self.next, end);
        self.next
    }

    fn no_longer_waits(&mut self, client: Client, number: u64) {
        if let Some(own) = self.waiting.get_mut(&client) {
            own.remove(&number);
            if own.is_empty() {
                self.waiting.remove(&client);
            }
        }
    }

    /// Ends the connection that is the least loss.
    fn let_one_go(&mut self) -> Option<Client> {
        let (&client, own) = self.waiting.iter_mut().max_by_key(|(_, own)| own.len())?;
        let (number, end) = own.pop_first()?;
        end.cancel();
        self.no_longer_waits(client, number);
        Some(client)
    }
}

impl Connections {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, table: Mutex::default(), changed: Notify::new() })
    }

    /// How many there are.
    pub(crate) fn open(&self) -> usize {
        self.table().open
    }

    /// Waits until there is room for another one; makes room if one can be let go.
    pub(crate) async fn room(&self) {
        let mut asked = false;
        loop {
            // Hears of everything that happens from here on.
            let changed = self.changed.notified();
            {
                let mut table = self.table();
                if table.open < self.most {
                    return;
                }
                if !asked && let Some(client) = table.let_one_go() {
                    asked = true;
                    debug!(?client, "a connection that waits for a request makes room");
                    metrics::counter!(crate::telemetry::LET_GO).increment(1);
                }
            }
            changed.await;
        }
    }

    /// Enters a new one, which waits for its first request.
    pub(crate) fn enter(self: &Arc<Self>, client: Client) -> Arc<Connection> {
        let end = CancellationToken::new();
        let mut table = self.table();
        table.open += 1;
        let waits = Some(table.wait(client, end.clone()));
        drop(table);
        Arc::new(Connection { all: Arc::clone(self), client, end, waits: Mutex::new(waits) })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // No code that can panic runs under the lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them.
pub(crate) struct Connection {
    all: Arc<Connections>,
    client: Client,
    end: CancellationToken,
    /// Its number among those that wait.
    waits: Mutex<Option<u64>>,
}

impl Connection {
    /// Resolves when it has to make room.
    pub(crate) async fn must_go(&self) {
        self.end.cancelled().await;
    }

    /// It has a request, until what is answered is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        let number = self.waits().take();
        if let Some(number) = number {
            self.all.table().no_longer_waits(self.client, number);
        }
        Busy { connection: Arc::clone(self) }
    }

    fn waits(&self) -> MutexGuard<'_, Option<u64>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut table = self.all.table();
        table.open -= 1;
        if let Some(number) = self.waits().take() {
            table.no_longer_waits(self.client, number);
        }
        drop(table);
        self.all.changed.notify_waiters();
    }
}

/// A connection has a request for as long as this lives.
pub(crate) struct Busy {
    connection: Arc<Connection>,
}

impl Busy {
    /// The body of the answer, which ends the request with its own end.
    pub(crate) fn until_the_end_of(self, body: Body) -> Body {
        Body::new(Answer { body, _busy: self })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let connection = &self.connection;
        let number = connection.all.table().wait(connection.client, connection.end.clone());
        *connection.waits() = Some(number);
        connection.all.changed.notify_waiters();
    }
}

struct Answer {
    body: Body,
    _busy: Busy,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt;

    use super::*;

    fn client(last: u8) -> Client {
        Client::at([192, 0, 2, last].into())
    }

    fn must_go(connection: &Connection) -> bool {
        connection.must_go().now_or_never().is_some()
    }

    #[tokio::test]
    async fn whoever_has_most_waiting_makes_room_with_the_oldest() {
        let all = Connections::new(4);
        let guest = all.enter(client(1));
        let greedy = [2, 2, 2].map(|last| all.enter(client(last)));
        let busy = greedy[0].begin();
        assert!(all.room().now_or_never().is_none(), "there is room only once one is closed");
        assert_eq!(greedy.each_ref().map(|connection| must_go(connection)), [false, true, false]);
        assert!(!must_go(&guest));
        let [first, second, third] = greedy;
        drop(second);
        all.room().await;
        drop((busy, first, third, guest));
        assert_eq!(all.open(), 0);
        assert!(all.table().waiting.is_empty());
    }

    #[tokio::test]
    async fn one_that_has_a_request_is_never_let_go() {
        let all = Connections::new(1);
        let only = all.enter(client(1));
        let busy = only.begin();
        let mut room = pin!(all.room());
        assert!(room.as_mut().now_or_never().is_none());
        assert!(!must_go(&only));
        // Whoever is waiting for room hears that it waits for a request now, and that it is gone.
        drop(busy);
        assert!(room.as_mut().now_or_never().is_none());
        assert!(must_go(&only));
        drop(only);
        room.await;
    }
}
