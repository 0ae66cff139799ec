//! A TCP proxy that does to a connection what networks do.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// The treatment of connections, old and new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// They work.
    Passes,
    /// They stay open and nothing passes: a network that is gone, or half open.
    BlackHole,
    /// Requests arrive, replies do not.
    LosesReplies,
    /// Old ones are cut, new ones refused.
    Refuses,
    /// Old ones are cut, new ones accepted and dropped.
    AcceptsThenDrops,
}

/// A proxy on a port of its own. Ends with the test.
pub struct Proxy {
    /// Its port.
    pub port: u16,
    network: watch::Sender<Network>,
}

impl Proxy {
    /// Begins to pass connections on to a port of this host.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("there is a free port");
        let at = listener.local_addr().expect("it is bound");
        let (network, seen) = watch::channel(Network::Passes);
        tokio::spawn(accept(listener, at, port, seen));
        Self { port: at.port(), network }
    }

    /// Changes the network.
    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }

    /// The network as it is now.
    #[must_use]
    pub fn network(&self) -> Network {
        *self.network.borrow()
    }

    /// Cuts every connection; new ones work.
    pub async fn cut(&self) {
        self.set(Network::AcceptsThenDrops);
        // Every pump is awake on the change before the network works again.
        tokio::task::yield_now().await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        self.set(Network::Passes);
    }
}

async fn accept(listener: TcpListener, at: SocketAddr, port: u16, mut network: watch::Receiver<Network>) {
    let mut listener = Some(listener);
    loop {
        let now = *network.borrow_and_update();
        if now == Network::Refuses {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(at).await.ok();
        }
        let client = match &listener {
            None => {
                if network.changed().await.is_err() {
                    return;
                }
                continue;
            }
            Some(listener) => tokio::select! {
                changed = network.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    continue;
                }
                accepted = listener.accept() => accepted,
            },
        };
        if let (Ok((client, _)), true) = (client, now != Network::AcceptsThenDrops) {
            tokio::spawn(pass(client, port, network.clone()));
        }
    }
}

async fn pass(client: TcpStream, port: u16, network: watch::Receiver<Network>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let requests = pump(from_client, to_server, network.clone(), |network| network == Network::BlackHole);
    let replies = pump(from_server, to_client, network, |network| {
        matches!(network, Network::BlackHole | Network::LosesReplies)
    });
    // When one side ends, both do.
    tokio::select! {
        () = requests => {}
        () = replies => {}
    }
}

/// Copies until an end, or until connections are cut; drops what comes while `swallows`.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut network: watch::Receiver<Network>,
    swallows: impl Fn(Network) -> bool,
) {
    let mut buffer = vec![0; 16 * 1024];
    let mut lost = false;
    loop {
        let now = *network.borrow_and_update();
        if matches!(now, Network::Refuses | Network::AcceptsThenDrops) {
            return;
        }
        tokio::select! {
            changed = network.changed() => if changed.is_err() { return },
            // A stalled connection does not tell that the other side has gone, and what it lost stays lost.
            read = from.read(&mut buffer) => match read {
                Ok(read) if read > 0 => {
                    lost |= swallows(*network.borrow());
                    if !lost && to.write_all(&buffer[..read]).await.is_err() {
                        return;
                    }
                }
                _ if swallows(now) => {
                    if network.changed().await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
        }
    }
}
