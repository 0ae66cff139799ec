//! Open connections, and the eviction of one when there are too many.
//!
//! A connection is idle between two requests. It is busy from a request until the kernel has the whole answer. At the
//! limit, one connection is evicted for the next; [`fair_share`](crate::fair_share) selects it. A client with thousands
//! of connections that are half open, or that do not read their answers, displaces only its own.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::sync::Notify;
use tracing::debug;

use crate::{
    client::Client,
    fair_share::{Activity, Entry, Handle, Holder, OwnEntries, Table},
};

/// All connections.
pub(crate) struct Connections {
    most: usize,
    opened: Mutex<OpenConnections>,
    /// A connection was closed, or became idle.
    changed: Notify,
}

#[derive(Default)]
struct OpenConnections {
    /// Open connections. An evicted one counts until it is closed.
    connections: usize,
    table: Table,
}

impl Connections {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, opened: Mutex::default(), changed: Notify::new() })
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.opened().connections
    }

    /// Waits until there is room for another connection of this client; evicts one if the policy allows it.
    pub(crate) async fn wait_for_room(&self, newcomer: Client) {
        let mut has_evicted = false;
        loop {
            // Registered before the check, so that no change is lost between the two.
            let changed = self.changed.notified();
            {
                let mut opened = self.opened();
                if opened.connections < self.most {
                    return;
                }
                if !has_evicted && let Some(entry) = opened.table.evict_for(newcomer, OwnEntries::Evictable) {
                    has_evicted = true;
                    debug!(?entry, "evicted a connection to make room for a new one");
                    crate::telemetry::connection_evicted();
                }
            }
            changed.await;
        }
    }

    /// Adds a connection, which is idle until its first request.
    pub(crate) fn add(self: &Arc<Self>, holder: Holder) -> Arc<Connection> {
        let handle = Handle::default();
        let mut opened = self.opened();
        opened.connections += 1;
        let entry = opened.table.add(holder, Activity::Idle, handle.clone());
        drop(opened);
        Arc::new(Connection { all: Arc::clone(self), holder, handle, entry: Mutex::new(entry) })
    }

    fn opened(&self) -> MutexGuard<'_, OpenConnections> {
        // No code that can panic runs under the lock.
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open connection.
pub(crate) struct Connection {
    all: Arc<Connections>,
    holder: Holder,
    handle: Handle,
    entry: Mutex<Entry>,
}

impl Connection {
    /// Resolves when the connection is evicted.
    pub(crate) async fn evicted(&self) {
        self.handle.evicted().await;
    }

    /// Makes the connection busy until the guard is dropped.
    pub(crate) fn begin_request(self: &Arc<Self>) -> BusyConnection {
        self.set(Activity::Busy);
        BusyConnection { connection: Arc::clone(self) }
    }

    fn set(&self, activity: Activity) {
        let mut opened = self.all.opened();
        let mut entry = self.entry.lock().unwrap_or_else(PoisonError::into_inner);
        opened.table.remove(*entry);
        *entry = opened.table.add(self.holder, activity, self.handle.clone());
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut opened = self.all.opened();
        opened.connections -= 1;
        opened.table.remove(*self.entry.lock().unwrap_or_else(PoisonError::into_inner));
        drop(opened);
        self.all.changed.notify_waiters();
    }
}

/// A guard: the connection is busy as long as it lives.
pub(crate) struct BusyConnection {
    connection: Arc<Connection>,
}

impl BusyConnection {
    /// Moves the guard into the body of the answer: the connection is idle again when the body ends.
    pub(crate) fn until_end_of(self, body: Body) -> Body {
        Body::new(CountedBody { body, _busy: self })
    }
}

impl Drop for BusyConnection {
    fn drop(&mut self) {
        self.connection.set(Activity::Idle);
        self.connection.all.changed.notify_waiters();
    }
}

struct CountedBody {
    body: Body,
    _busy: BusyConnection,
}

impl http_body::Body for CountedBody {
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
    use crate::fair_share::FAIR_SHARE;

    fn client(last: u8) -> Client {
        Client::at([192, 0, 2, last].into())
    }

    fn newcomer() -> Client {
        client(1)
    }

    fn busy_client() -> Client {
        client(2)
    }

    fn add(all: &Arc<Connections>, client: Client) -> Arc<Connection> {
        all.add(Holder { client, is_proxy: false })
    }

    fn is_evicted(connection: &Connection) -> bool {
        connection.evicted().now_or_never().is_some()
    }

    /// The numbers of busy connections that are evicted for a newcomer.
    fn evicted(all: &Arc<Connections>, connections: &[Arc<Connection>], newcomer: Client) -> Vec<usize> {
        let _busy: Vec<_> = connections.iter().map(Connection::begin_request).collect();
        assert!(
            all.wait_for_room(newcomer).now_or_never().is_none(),
            "there is room only once one is closed"
        );
        (0..connections.len()).filter(|number| is_evicted(&connections[*number])).collect()
    }

    #[tokio::test]
    async fn the_client_with_most_connections_loses_the_one_that_has_been_idle_longest() {
        let all = Connections::new(4);
        let other = add(&all, newcomer());
        let held = [(); 3].map(|()| add(&all, busy_client()));
        let busy = held[0].begin_request();
        assert!(
            all.wait_for_room(newcomer()).now_or_never().is_none(),
            "there is room only once one is closed"
        );
        assert_eq!(held.each_ref().map(|connection| is_evicted(connection)), [false, true, false]);
        assert!(!is_evicted(&other));
        let [first, second, third] = held;
        drop(second);
        all.wait_for_room(newcomer()).await;
        drop((busy, first, third, other));
        assert_eq!(all.open(), 0);
        assert!(all.opened().table.is_empty());
    }

    #[tokio::test]
    async fn a_busy_connection_stays_while_its_client_is_within_its_fair_share() {
        let all = Connections::new(1);
        let only = add(&all, busy_client());
        let busy = only.begin_request();
        let mut room = pin!(all.wait_for_room(newcomer()));
        assert!(room.as_mut().now_or_never().is_none());
        assert!(!is_evicted(&only));
        // `wait_for_room` is woken when the connection becomes idle, and when it is closed.
        drop(busy);
        assert!(room.as_mut().now_or_never().is_none());
        assert!(is_evicted(&only));
        drop(only);
        room.await;
    }

    #[tokio::test]
    async fn a_client_whose_requests_fill_the_server_loses_the_oldest_of_them() {
        let all = Connections::new(FAIR_SHARE + 2);
        // A client with a single idle connection.
        let other = add(&all, newcomer());
        let held: Vec<_> = (0..=FAIR_SHARE).map(|_| add(&all, busy_client())).collect();
        assert_eq!(evicted(&all, &held, client(3)), [0]);
        assert!(!is_evicted(&other));
    }

    #[tokio::test]
    async fn a_busy_client_evicts_its_own_connections_and_not_those_of_another() {
        let all = Connections::new(2 * (FAIR_SHARE + 1));
        let both: Vec<_> =
            (0..=FAIR_SHARE).flat_map(|_| [add(&all, busy_client()), add(&all, client(3))]).collect();
        assert_eq!(evicted(&all, &both, client(3)), [1]);
    }

    #[tokio::test]
    async fn requests_of_a_proxy_do_not_count_against_it() {
        let all = Connections::new(FAIR_SHARE + 1);
        let proxy = Holder { client: busy_client(), is_proxy: true };
        let brought: Vec<_> = (0..=FAIR_SHARE).map(|_| all.add(proxy)).collect();
        assert!(evicted(&all, &brought, newcomer()).is_empty());
    }
}
