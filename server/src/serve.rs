//! The accept loop. It replaces `axum::serve`, which installs no timer: without one, hyper waits for headers for ever.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use tracing::{debug, info, warn};

use crate::{
    app::App,
    client::{Client, Peer},
    connections::Connection,
    fair_share::Holder,
    http2,
};

/// How long the headers of a request may take, and how long a connection may be idle between two requests.
const HEADERS_WITHIN: Duration = Duration::from_secs(15);

/// Buffer of a connection, in bytes: hyper keeps headers in it, and passes a body on in pieces of at most this size.
const CONNECTION_BUFFER_BYTES: usize = 64 * 1024;

/// How long a client may read nothing while an answer is sent to it.
const UNREAD_WITHIN: Duration = Duration::from_secs(30);

/// How long uploads in flight may take to finish once the server drains. Clients repeat those that are cut.
pub(crate) const FINISH_WITHIN: Duration = Duration::from_secs(8);

/// How long connections may take to close after that.
pub(crate) const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// The pause after a failed accept, for instance at the open-file limit.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// Serves until the server drains and all uploads in flight have finished. New connections are accepted meanwhile, so
/// that a load balancer receives 503 from `/readyz`.
pub(crate) async fn serve(listener: TcpListener, router: Router, app: Arc<App>) {
    let (connections, closing) = (TaskTracker::new(), CancellationToken::new());
    let finished = finished(&app);
    tokio::pin!(finished);
    loop {
        let accepted: io::Result<(TcpStream, SocketAddr)> = tokio::select! {
            () = &mut finished => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok((stream, peer)) => (stream, Peer(peer.ip())),
            Err(error) => {
                warn!(%error, "could not accept a connection");
                sleep(AFTER_ERROR).await;
                continue;
            }
        };
        let holder =
            Holder { client: Client::at(peer.0), is_proxy: peer.is_trusted(&app.config.trusted_proxies) };
        // Small answers and frames are sent at once. An error here means that the connection is gone.
        let _ = stream.set_nodelay(true);
        let _ = set_tcp_user_timeout(&stream, u32::try_from(UNREAD_WITHIN.as_millis()).unwrap_or(u32::MAX));
        tokio::select! {
            () = &mut finished => break,
            () = app.connections.wait_for_room(holder.client) => {}
        }
        let connection = app.connections.add(holder);
        connections.spawn(serve_connection(stream, peer, connection, router.clone(), closing.clone()));
    }
    drop(listener);
    closing.cancel();
    connections.close();
    if timeout(CLOSE_WITHIN, connections.wait()).await.is_err() {
        info!("some connections did not close in time and are cut");
    }
}

/// Resolves once the server drains and nothing is in flight any more, or after [`FINISH_WITHIN`].
async fn finished(app: &App) {
    app.draining.cancelled().await;
    app.in_flight.close();
    if timeout(FINISH_WITHIN, app.in_flight.wait()).await.is_err() {
        warn!("some uploads in flight did not finish in time and are cut");
    }
}

/// Serves one connection until it ends or is evicted. Once `closing`, it ends after its current request.
async fn serve_connection(
    stream: TcpStream,
    peer: Peer,
    slot: Arc<Connection>,
    router: Router,
    closing: CancellationToken,
) {
    let first = async {
        match timeout(HEADERS_WITHIN, http2::is_spoken_on(&stream)).await {
            Ok(Ok(is_http2)) => Some(is_http2),
            Ok(Err(_)) | Err(_) => None,
        }
    };
    let is_http2 = tokio::select! {
        biased;
        first = first => first,
        () = slot.evicted() => None,
        () = closing.cancelled() => None,
    };
    match is_http2 {
        Some(false) => {}
        Some(true) => {
            let _ = timeout(HEADERS_WITHIN, http2::refuse(stream)).await;
            return;
        }
        None => return,
    }
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        let busy = slot.begin_request();
        request.extensions_mut().insert(peer);
        let answering = router.clone().oneshot(request.map(Body::new));
        async move { Ok::<_, Infallible>(answering.await?.map(|body| busy.until_end_of(body))) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(CONNECTION_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = slot.evicted() => return,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(error = &error as &dyn std::error::Error, "a connection ended with an error");
    }
}
