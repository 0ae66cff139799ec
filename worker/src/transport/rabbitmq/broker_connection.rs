//! One connection to the broker, which reconnects by itself.
//!
//! lapin's own recovery is not used: it gives up after a while and leaves confirms pending meanwhile. A failed session
//! is dropped as a whole, and the next one starts fresh.

use std::{
    error::Error,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::StreamExt;
use lapin::{
    AsyncTcpStream, Connection, ConnectionProperties, Event,
    tcp::{OwnedTLSConfig, TLSConfig},
    uri::{AMQPScheme, AMQPUri},
};
use rustix::net::{Shutdown, shutdown};
use tokio::{
    sync::watch,
    time::{Instant, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::telemetry;

/// The time limit of connecting, handshake included. lapin has none.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// A silent connection is closed after twice this time. The broker's default of a minute detects a broken network too
/// late.
const HEARTBEAT_SECONDS: u16 = 10;

/// The backoff after a failed connection doubles from the first to the longest pause: a starting broker is found soon,
/// and an unavailable one is not flooded.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// After a connection of at least this length the backoff is reset.
const STEADY: Duration = Duration::from_secs(10);

/// The time limit of a clean close: a broker that is short of memory does not read the request.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// How often the status is polled for the broker's close confirmation, which has no event.
const CLOSE_POLL: Duration = Duration::from_millis(5);

/// "Nothing is wrong" (AMQP 0-9-1, reply codes).
const REPLY_SUCCESS: u16 = 200;

/// How often the status is polled, in case the event of its end was missed.
const STATUS_POLL: Duration = Duration::from_secs(1);

/// The pause before a channel is reopened on an open connection.
pub(super) const AFTER_ERROR: Duration = Duration::from_millis(200);

/// A handle on the connection in its current state.
#[derive(Clone)]
pub(super) struct BrokerConnection {
    state: watch::Receiver<BrokerState>,
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
}

impl BrokerConnection {
    /// Starts to connect. Reconnects until it is closed or the last clone is dropped.
    pub(super) fn new(uri: AMQPUri, name: &'static str) -> Self {
        let (sender, state) = watch::channel(BrokerState::default());
        let closing = CancellationToken::new();
        let closed = closing.clone();
        tokio::spawn(async move {
            closed.run_until_cancelled(keep_connected(uri, name, &sender)).await;
            // The state is reset after the close: handles then drop their channels, and a channel must not be closed on
            // a closing connection.
            let last = sender.borrow().open.clone();
            if let Some(open) = last {
                let _ = timeout(CLOSE_WITHIN, close_connection(&open.connection)).await;
            }
            sender.send_replace(BrokerState::default());
        });
        Self { state, closing }
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
        loop {
            match session(self.wait_open().await).await {
                Ok(session) => return session,
                Err(error) => warn!(%error, "could not {attempted}"),
            }
            sleep(AFTER_ERROR).await;
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
async fn keep_connected(uri: AMQPUri, name: &'static str, sender: &watch::Sender<BrokerState>) {
    let policy = ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times();
    let mut pauses = policy.build();
    for number in 0u64.. {
        let connected = tokio::select! {
            () = sender.closed() => return,
            connected = connect(&uri, name) => connected,
        };
        match connected {
            Ok(connection) => {
                telemetry::connected(name);
                info!(connection = name, "connected to the broker");
                let since = Instant::now();
                let open = OpenConnection { connection: Arc::new(connection), number };
                if hold(open, sender).await.is_break() {
                    return;
                }
                warn!(connection = name, "lost the connection to the broker");
                if since.elapsed() >= STEADY {
                    pauses = policy.build();
                }
            }
            Err(error) => {
                warn!(connection = name, %error, "could not connect to the broker");
                sender.send_modify(|state| state.failure = Some(error.into()));
            }
        }
        tokio::select! {
            () = sender.closed() => return,
            () = sleep(pauses.next().unwrap_or(LONGEST_PAUSE)) => {}
        }
    }
}

/// Publishes an open connection to all handles until it ends. Breaks when the last handle is dropped.
async fn hold(open: OpenConnection, sender: &watch::Sender<BrokerState>) -> std::ops::ControlFlow<()> {
    let connection = Arc::clone(&open.connection);
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
            _ = poll.tick() => if !connection.status().connected() {
                break;
            },
        }
    }
    sender.send_replace(BrokerState::default());
    std::ops::ControlFlow::Continue(())
}

async fn connect(uri: &AMQPUri, name: &'static str) -> Result<Connection, Box<dyn Error + Send + Sync>> {
    let mut uri = uri.clone();
    uri.query.heartbeat = Some(HEARTBEAT_SECONDS);
    let socket: Arc<Mutex<Option<OwnedFd>>> = Arc::default();
    let properties = ConnectionProperties::default().with_connection_name(format!("up! {name}").into());
    let opened = Arc::clone(&socket);
    let runtime = lapin::runtime::default_runtime()?;
    let connecting = Connection::connector(
        uri,
        runtime,
        async move |uri: AMQPUri, runtime| {
            let io = |error: io::Error| lapin::Error::from(error);
            let address = (uri.authority.host.clone(), uri.authority.port);
            let stream =
                AsyncTcpStream::connect(&runtime, runtime.to_socket_addrs(address)).await.map_err(io)?;
            if let AsyncTcpStream::Plain(plain) = &stream {
                let copy = plain.get_ref().as_fd().try_clone_to_owned().map_err(io)?;
                *opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(copy);
            }
            match uri.scheme {
                AMQPScheme::AMQP => Ok(stream),
                AMQPScheme::AMQPS => {
                    let config = OwnedTLSConfig::default();
                    let config: TLSConfig<'_, '_, '_> = config.as_ref();
                    stream.into_tls(&uri.authority.host, config).await.map_err(io)
                }
            }
        },
        properties,
    );
    let connected = timeout(CONNECT_WITHIN, connecting).await;
    let socket = socket.lock().unwrap_or_else(PoisonError::into_inner).take();
    match connected {
        Ok(connected) => Ok(connected?),
        Err(_) => {
            // Otherwise lapin's thread would wait in the handshake for ever.
            if let Some(socket) = socket {
                let _ = shutdown(socket, Shutdown::Both);
            }
            Err(format!("the broker did not respond within {CONNECT_WITHIN:?}").into())
        }
    }
}
