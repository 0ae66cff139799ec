//! Opens one connection to a node.

use std::{
    error::Error,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lapin::{
    AsyncTcpStream, Connection, ConnectionProperties,
    tcp::{OwnedTLSConfig, TLSConfig},
    uri::{AMQPScheme, AMQPUri},
};
use rustix::net::{Shutdown, shutdown};
use tokio::time::timeout;

/// A silent connection is closed after twice this time. The broker's default of a minute detects a broken network too
/// late.
const HEARTBEAT_SECONDS: u16 = 10;

/// The socket of a connection, to be shut down when its node no longer responds. Filled while lapin connects.
#[derive(Default)]
pub(super) struct Socket(Mutex<Option<OwnedFd>>);

impl Socket {
    pub(super) fn set(&self, socket: OwnedFd) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
    }

    /// Ends the connection at once: everything that waits for it fails.
    pub(super) fn shut_down(&self) {
        if let Some(socket) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = shutdown(socket, Shutdown::Both);
        }
    }
}

/// Connects within a time limit, handshake included: lapin has none.
pub(super) async fn connect(
    uri: &AMQPUri,
    name: &str,
    within: Duration,
    socket: &Arc<Socket>,
) -> Result<Connection, Box<dyn Error + Send + Sync>> {
    let mut uri = uri.clone();
    uri.query.heartbeat = Some(HEARTBEAT_SECONDS);
    let properties = ConnectionProperties::default().with_connection_name(format!("up! {name}").into());
    let opened = Arc::clone(socket);
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
                opened.set(plain.get_ref().as_fd().try_clone_to_owned().map_err(io)?);
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
    match timeout(within, connecting).await {
        Ok(connected) => Ok(connected?),
        Err(_) => {
            // Otherwise lapin's thread would wait in the handshake for ever.
            socket.shut_down();
            Err(format!("the broker did not respond within {within:?}").into())
        }
    }
}
