//! One connection to the broker, which reconnects by itself.
//!
//! lapin's own recovery is not used: it gives up after a while and leaves confirms pending meanwhile. A failed session
//! is dropped as a whole, and the next one starts fresh.

use std::{error::Error, io, sync::Arc, time::Duration};

use futures::StreamExt;
use lapin::{Connection, Event};
use tokio::{
    sync::watch,
    time::{Instant, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    connecting::{Socket, connect},
    nodes::BrokerNodes,
    sessions::{Backoff, Pause, Sessions},
    silent_queues::SilentQueues,
};
use crate::telemetry;

/// The longest pause after a failed connection: a broker that returns is found soon, and an unavailable one is not
/// flooded.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The time limit of opening a session in a cluster, which takes some tens of milliseconds. A node answers a request that
/// it sent to a lost leader only after many seconds, but a new request reaches the new leader. Increased by a quarter
/// each time, up to the longest, because a slow cluster must be waited for.
const OPEN_WITHIN_CLUSTER: Duration = Duration::from_secs(2);
const LONGEST_OPEN_WITHIN: Duration = Duration::from_secs(30);

/// The time limit of a clean close: a broker that is short of memory does not read the request.
pub(super) const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// How often the status is polled for the broker's close confirmation, which has no event.
const CLOSE_POLL: Duration = Duration::from_millis(5);

/// "Nothing is wrong" (AMQP 0-9-1, reply codes).
const REPLY_SUCCESS: u16 = 200;

/// How often the status is polled, in case the event of its end was missed.
const STATUS_POLL: Duration = Duration::from_secs(1);

/// A handle on the connection in its current state.
#[derive(Clone)]
pub(super) struct BrokerConnection {
    state: watch::Receiver<BrokerState>,
    nodes: Arc<BrokerNodes>,
    sessions: Arc<Sessions>,
    closing: CancellationToken,
}

#[derive(Clone, Default)]
struct BrokerState {
    open: Option<OpenConnection>,
    blocked: bool,
    /// The last error of connecting, while there is no connection.
    failure: Option<Arc<dyn Error + Send + Sync>>,
}

/// An open connection. Dropping the last clone closes it.
#[derive(Clone)]
pub(super) struct OpenConnection {
    pub(super) connection: Arc<Connection>,
    number: u64,
    /// The turn of its node.
    turn: usize,
    socket: Arc<Socket>,
    /// Whether the broker has other nodes.
    pub(super) is_cluster: bool,
    pub(super) silent: Arc<SilentQueues>,
}

impl BrokerConnection {
    /// Starts to connect. Reconnects until it is closed or the last clone is dropped.
    pub(super) fn new(
        nodes: Arc<BrokerNodes>,
        (sessions, silent): (Arc<Sessions>, Arc<SilentQueues>),
        name: &'static str,
    ) -> Self {
        let (sender, state) = watch::channel(BrokerState::default());
        let closing = CancellationToken::new();
        let (closed, connected_to) = (closing.clone(), Arc::clone(&nodes));
        tokio::spawn(async move {
            closed.run_until_cancelled(keep_connected(&connected_to, name, &silent, &sender)).await;
            // The state is reset after the close: handles then drop their channels, and a channel must not be closed on
            // a closing connection.
            let last = sender.borrow().open.clone();
            if let Some(open) = last {
                let _ = timeout(CLOSE_WITHIN, close_connection(&open.connection)).await;
            }
            sender.send_replace(BrokerState::default());
        });
        Self { state, nodes, sessions, closing }
    }

    /// Whether there is another node to go to.
    pub(super) fn is_cluster(&self) -> bool {
        self.nodes.is_cluster()
    }

    /// The number of nodes.
    pub(super) fn nodes(&self) -> usize {
        self.nodes.count()
    }

    /// The sessions of this process, on all its connections.
    pub(super) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Leaves the node of an open connection, which does not do its work. Both connections go to the next node.
    pub(super) fn abandon(&self, open: &OpenConnection) {
        self.nodes.leave(open.turn);
        open.socket.shut_down();
    }

    /// Closes the connection cleanly; otherwise the broker logs an abnormal disconnect.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        let mut state = self.state.clone();
        while state.changed().await.is_ok() {}
    }

    /// Waits until the connection is open, and returns it.
    pub(super) async fn wait_open(&self) -> OpenConnection {
        let mut state = self.state.clone();
        loop {
            if let Some(open) = state.borrow_and_update().open.clone() {
                return open;
            }
            if state.changed().await.is_err() {
                // The connection was closed for good: it never opens again.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Opens a session on the connection. Retries until it succeeds.
    pub(super) async fn open_session<S, F: Future<Output = lapin::Result<S>>>(
        &self,
        attempted: &'static str,
        session: impl Fn(OpenConnection) -> F,
    ) -> S {
        let mut within = if self.is_cluster() { OPEN_WITHIN_CLUSTER } else { Duration::MAX };
        loop {
            let open = self.wait_open().await;
            match timeout(within, session(open.clone())).await {
                Ok(Ok(session)) => {
                    self.sessions.opened(attempted);
                    return session;
                }
                Ok(Err(error)) => self.pause(&open, self.sessions.failed(attempted, &error)).await,
                Err(_) => {
                    // It has waited already.
                    self.sessions.failed(attempted, &late());
                    within = (within + within / 4).min(LONGEST_OPEN_WITHIN);
                }
            }
        }
    }

    /// Waits before the next session. When the connection was lost, the next connection has waited already.
    pub(super) async fn pause(&self, open: &OpenConnection, wait: Duration) {
        tokio::select! {
            () = self.lost(open) => {}
            () = sleep(wait) => {}
        }
    }

    /// Waits until the connection is open, or an attempt has failed.
    pub(super) async fn wait_connected(&self) -> Result<(), Arc<dyn Error + Send + Sync>> {
        let mut broker = self.clone();
        loop {
            let state = broker.state.borrow_and_update().clone();
            match (state.open, state.failure) {
                (Some(_), _) => return Ok(()),
                (None, Some(failure)) => return Err(failure),
                (None, None) => broker.changed().await,
            }
        }
    }

    /// The last error of connecting, while there is no connection.
    pub(super) fn failure(&self) -> Option<Arc<dyn Error + Send + Sync>> {
        self.state.borrow().failure.clone()
    }

    /// Whether the connection is open.
    pub(super) fn is_open(&self) -> bool {
        self.state.borrow().open.is_some()
    }

    /// Whether the broker blocks publications because its memory or disk is short.
    pub(super) fn is_blocked(&self) -> bool {
        self.state.borrow().blocked
    }

    /// Waits for the next change of state.
    pub(super) async fn changed(&mut self) {
        if self.state.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until this open connection is lost.
    pub(super) async fn lost(&self, open: &OpenConnection) {
        let mut state = self.state.clone();
        while state.borrow_and_update().open.as_ref().is_some_and(|now| now.number == open.number) {
            if state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// The error of a node that does not open a session in time.
pub(super) fn late() -> lapin::Error {
    let late = "the node does not respond; a queue may have no leader";
    io::Error::new(io::ErrorKind::TimedOut, late).into()
}

/// Closes a connection and waits for the broker's confirmation. lapin only waits until the request is sent; the broker
/// logs an error if the socket closes before its confirmation.
async fn close_connection(connection: &Connection) -> lapin::Result<()> {
    connection.close(REPLY_SUCCESS, "finished".into()).await?;
    while !(connection.status().closed() || connection.status().errored()) {
        sleep(CLOSE_POLL).await;
    }
    Ok(())
}

/// Reconnects until the last handle is dropped.
async fn keep_connected(
    nodes: &BrokerNodes,
    name: &'static str,
    silent: &Arc<SilentQueues>,
    sender: &watch::Sender<BrokerState>,
) {
    let mut backoff = Backoff::new(LONGEST_PAUSE);
    for number in 0u64.. {
        let socket = Arc::<Socket>::default();
        let connecting = async {
            let (turn, uri) = nodes.current().await;
            (turn, connect(uri, name, nodes.connect_within(), &socket).await)
        };
        let (turn, connected) = tokio::select! {
            () = sender.closed() => return,
            connected = connecting => connected,
        };
        let pause = match connected {
            Ok(connection) => {
                telemetry::connected(name);
                info!(connection = name, "connected to the broker");
                backoff.opened(Instant::now());
                let (connection, is_cluster) = (Arc::new(connection), nodes.is_cluster());
                let silent = Arc::clone(silent);
                let open = OpenConnection { connection, number, turn, socket, is_cluster, silent };
                if hold(open, nodes, sender).await.is_break() {
                    return;
                }
                warn!(connection = name, "lost the connection to the broker");
                backoff.failed(Instant::now())
            }
            Err(error) => {
                let pause = backoff.failed(Instant::now());
                log_failure(name, &pause, &*error);
                sender.send_modify(|state| state.failure = Some(error.into()));
                pause
            }
        };
        nodes.leave(turn);
        tokio::select! {
            () = sender.closed() => return,
            () = sleep(pause.wait) => {}
        }
    }
}

fn log_failure(connection: &'static str, pause: &Pause, error: &(dyn Error + Send + Sync)) {
    let tries = pause.tries;
    if pause.is_logged() {
        warn!(connection, tries, %error, "could not connect to the broker");
    } else {
        debug!(connection, tries, %error, "could not connect to the broker again");
    }
}

/// Publishes an open connection to all handles until it ends. Breaks when the last handle is dropped.
async fn hold(
    open: OpenConnection,
    nodes: &BrokerNodes,
    sender: &watch::Sender<BrokerState>,
) -> std::ops::ControlFlow<()> {
    let connection = Arc::clone(&open.connection);
    let (socket, turn) = (Arc::clone(&open.socket), open.turn);
    let mut left = std::pin::pin!(nodes.left(turn));
    let mut events = std::pin::pin!(connection.events_listener());
    sender.send_replace(BrokerState { open: Some(open), ..BrokerState::default() });
    let mut poll = interval(STATUS_POLL);
    loop {
        tokio::select! {
            () = sender.closed() => return std::ops::ControlFlow::Break(()),
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(reason)) => {
                    warn!(reason, "the broker blocks publications: it is short of memory or disk");
                    sender.send_modify(|state| state.blocked = true);
                }
                Some(Event::ConnectionUnblocked) => {
                    info!("the broker accepts publications again");
                    sender.send_modify(|state| state.blocked = false);
                }
                Some(Event::Error(error)) if !connection.status().connected() => {
                    warn!(%error, "the connection to the broker failed");
                    break;
                }
                Some(_) => {}
                None => break,
            },
            () = &mut left => {
                info!("this process goes on to another node of the broker");
                socket.shut_down();
                break;
            }
            _ = poll.tick() => if !connection.status().connected() {
                break;
            },
        }
    }
    sender.send_replace(BrokerState::default());
    std::ops::ControlFlow::Continue(())
}
