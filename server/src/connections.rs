//! Open connections, and which of them makes room when there are too many.
//!
//! A connection either has a request, until its answer is in the system's hands, or waits for one. Once there are as
//! many as there may be, the next one costs the client that has most of them its oldest: one that waits for a request,
//! or, of a greedy client, one that has one. A stranger with thousands of connections that are half open, that wait for
//! an answer or do not read theirs displaces nobody but itself.

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

use crate::client::{Client, MODEST};

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
    /// Only clients that have one.
    by_client: HashMap<Client, Own>,
}

/// The connections of one client.
#[derive(Default)]
struct Own {
    /// Those that wait for a request, the one that has waited longest first.
    waiting: BTreeMap<u64, CancellationToken>,
    /// Those that have one, the one that has had its longest first.
    busy: BTreeMap<u64, CancellationToken>,
    /// One of them is a trusted proxy's.
    is_proxy: bool,
}

impl Own {
    fn len(&self) -> usize {
        self.waiting.len() + self.busy.len()
    }

    const fn of(&mut self, state: State) -> &mut BTreeMap<u64, CancellationToken> {
        match state {
            State::Waiting => &mut self.waiting,
            State::Busy => &mut self.busy,
        }
    }
}

/// Who opened a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opener {
    /// Whoever is at its other end.
    pub(crate) client: Client,
    /// A trusted proxy, which brings requests of others.
    pub(crate) is_proxy: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Waiting,
    Busy,
}

impl Table {
    /// Takes a connection down as the youngest of those in this state.
    fn put(&mut self, from: Opener, state: State, end: CancellationToken) -> u64 {
        self.next += 1;
        let own = self.by_client.entry(from.client).or_default();
        own.is_proxy |= from.is_proxy;
        own.of(state).insert(self.next, end);
        self.next
    }

    fn take(&mut self, client: Client, state: State, number: u64) {
        if let Some(own) = self.by_client.get_mut(&client) {
            own.of(state).remove(&number);
            if own.len() == 0 {
                self.by_client.remove(&client);
            }
        }
    }

    /// Ends the connection that is the least loss when this client opens one.
    fn let_one_go(&mut self, newcomer: Client) -> Option<(Client, State)> {
        let of_newcomer = self.by_client.get(&newcomer).map_or(0, Own::len);
        let with_waiting = self.by_client.iter().filter(|(_, own)| !own.waiting.is_empty());
        // Those of others are not held against a proxy.
        let waiting = most(
            with_waiting
                .map(|(client, own)| (if own.is_proxy { own.waiting.len() } else { own.len() }, *client)),
        );
        // A greedy client that opens one more loses one of its own, and two that are as greedy do not take from each
        // other in turn.
        let is_greedy = |client: Client, own: &Own| {
            let is_in_the_way = client == newcomer || own.len() > of_newcomer + 1;
            !own.is_proxy && own.len() > MODEST && is_in_the_way
        };
        let greedy = self.by_client.iter().filter(|(client, own)| is_greedy(**client, own));
        let greedy = most(greedy.map(|(client, own)| (own.len(), *client)));
        let (client, state) = match (waiting, greedy) {
            (Some((number, client)), greedy) if greedy.is_none_or(|(most, _)| number >= most) => {
                (client, State::Waiting)
            }
            (_, Some((_, client))) => (client, State::Busy),
            (_, None) => return None,
        };
        let own = self.by_client.get_mut(&client)?;
        let (number, end) = own.of(state).pop_first()?;
        end.cancel();
        self.take(client, state, number);
        Some((client, state))
    }
}

fn most(candidates: impl Iterator<Item = (usize, Client)>) -> Option<(usize, Client)> {
    candidates.max_by_key(|(number, _)| *number)
}

impl Connections {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, table: Mutex::default(), changed: Notify::new() })
    }

    /// How many there are.
    pub(crate) fn open(&self) -> usize {
        self.table().open
    }

    /// Waits until there is room for another one, of this client; makes room if one can be let go.
    pub(crate) async fn room(&self, newcomer: Client) {
        let mut asked = false;
        loop {
            // Hears of everything that happens from here on.
            let changed = self.changed.notified();
            {
                let mut table = self.table();
                if table.open < self.most {
                    return;
                }
                if !asked && let Some((client, state)) = table.let_one_go(newcomer) {
                    asked = true;
                    debug!(?client, ?state, "a connection makes room");
                    metrics::counter!(crate::telemetry::LET_GO).increment(1);
                }
            }
            changed.await;
        }
    }

    /// Enters a new one, which waits for its first request.
    pub(crate) fn enter(self: &Arc<Self>, from: Opener) -> Arc<Connection> {
        let end = CancellationToken::new();
        let mut table = self.table();
        table.open += 1;
        let number = table.put(from, State::Waiting, end.clone());
        drop(table);
        let place = Mutex::new((State::Waiting, number));
        Arc::new(Connection { all: Arc::clone(self), from, end, place })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // No code that can panic runs under the lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them.
pub(crate) struct Connection {
    all: Arc<Connections>,
    from: Opener,
    end: CancellationToken,
    /// Where it stands in the table.
    place: Mutex<(State, u64)>,
}

impl Connection {
    /// Resolves when it has to make room.
    pub(crate) async fn must_go(&self) {
        self.end.cancelled().await;
    }

    /// It has a request, until what is answered is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.turn(State::Busy);
        Busy { connection: Arc::clone(self) }
    }

    fn turn(&self, state: State) {
        let mut table = self.all.table();
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        table.take(self.from.client, place.0, place.1);
        *place = (state, table.put(self.from, state, self.end.clone()));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut table = self.all.table();
        table.open -= 1;
        let (state, number) = *self.place.lock().unwrap_or_else(PoisonError::into_inner);
        table.take(self.from.client, state, number);
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
        self.connection.turn(State::Waiting);
        self.connection.all.changed.notify_waiters();
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

    fn modest_client() -> Client {
        client(1)
    }

    fn greedy_client() -> Client {
        client(2)
    }

    fn enter(all: &Arc<Connections>, client: Client) -> Arc<Connection> {
        all.enter(Opener { client, is_proxy: false })
    }

    fn must_go(connection: &Connection) -> bool {
        connection.must_go().now_or_never().is_some()
    }

    /// Of connections that have each begun a request, which have to go when somebody else comes.
    fn gone(all: &Arc<Connections>, connections: &[Arc<Connection>], newcomer: Client) -> Vec<usize> {
        let _busy: Vec<_> = connections.iter().map(Connection::begin).collect();
        assert!(all.room(newcomer).now_or_never().is_none(), "there is room only once one is closed");
        (0..connections.len()).filter(|number| must_go(&connections[*number])).collect()
    }

    #[tokio::test]
    async fn whoever_has_most_makes_room_with_the_one_that_has_waited_longest() {
        let all = Connections::new(4);
        let guest = enter(&all, modest_client());
        let greedy = [(); 3].map(|()| enter(&all, greedy_client()));
        let busy = greedy[0].begin();
        assert!(all.room(modest_client()).now_or_never().is_none(), "there is room only once one is closed");
        assert_eq!(greedy.each_ref().map(|connection| must_go(connection)), [false, true, false]);
        assert!(!must_go(&guest));
        let [first, second, third] = greedy;
        drop(second);
        all.room(modest_client()).await;
        drop((busy, first, third, guest));
        assert_eq!(all.open(), 0);
        assert!(all.table().by_client.is_empty());
    }

    #[tokio::test]
    async fn one_that_has_a_request_is_not_let_go_while_its_client_is_modest() {
        let all = Connections::new(1);
        let only = enter(&all, greedy_client());
        let busy = only.begin();
        let mut room = pin!(all.room(modest_client()));
        assert!(room.as_mut().now_or_never().is_none());
        assert!(!must_go(&only));
        // Whoever is waiting for room hears that it waits for a request now, and that it is gone.
        drop(busy);
        assert!(room.as_mut().now_or_never().is_none());
        assert!(must_go(&only));
        drop(only);
        room.await;
    }

    #[tokio::test]
    async fn a_client_whose_requests_fill_the_house_makes_room_with_the_oldest_of_them() {
        let all = Connections::new(MODEST + 2);
        // It has said nothing yet, and is not the one in the way.
        let guest = enter(&all, modest_client());
        let greedy: Vec<_> = (0..=MODEST).map(|_| enter(&all, greedy_client())).collect();
        assert_eq!(gone(&all, &greedy, client(3)), [0]);
        assert!(!must_go(&guest));
    }

    #[tokio::test]
    async fn greedy_clients_take_from_themselves_and_not_from_each_other() {
        let all = Connections::new(2 * (MODEST + 1));
        let both: Vec<_> =
            (0..=MODEST).flat_map(|_| [enter(&all, greedy_client()), enter(&all, client(3))]).collect();
        assert_eq!(gone(&all, &both, client(3)), [1]);
    }

    #[tokio::test]
    async fn requests_that_a_proxy_brings_are_not_held_against_it() {
        let all = Connections::new(MODEST + 1);
        let proxy = Opener { client: greedy_client(), is_proxy: true };
        let brought: Vec<_> = (0..=MODEST).map(|_| all.enter(proxy)).collect();
        assert!(gone(&all, &brought, modest_client()).is_empty());
    }
}
