//! `GET /live`: one socket per page for all its uploads.

use std::{collections::HashSet, ops::ControlFlow, sync::Arc, time::Duration};

use axum::{
    extract::{
        State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use futures::{SinkExt, StreamExt, future::join_all};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::debug;
use worker::UploadId;

use super::protocol::{self, ClientMessage, Close, ServerMessage};
use crate::{app::App, client::Client, hub::Subscriber, origin, problem::Problem, telemetry};

/// How long a write may take: a client that reads nothing for longer is disconnected.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// How long the closing handshake may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// The read buffer of a socket, in bytes: frames are small, and there may be thousands of sockets.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// The largest write buffer of a socket, in bytes: room for a snapshot of [`protocol::MAX_IDS`] uploads.
const MAX_WRITE_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// How often a delayed snapshot checks whether the budget of its client allows reads again.
const SLOWED_FOR: Duration = Duration::from_millis(200);

/// Concurrent reads of uploads for one snapshot.
const READS_AT_ONCE: usize = 16;

/// The range of the random delay before clients reconnect, so that they do not all reconnect at once.
const RETRY_MS: std::ops::Range<u64> = 200..2000;

/// Upgrades a request whose origin is allowed.
pub(crate) async fn live(
    State(app): State<Arc<App>>,
    client: Client,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if !origin::is_allowed(&headers, &app.config) {
        return Problem::cross_site().into_response();
    }
    if app.draining.is_cancelled() {
        return Problem::draining().into_response();
    }
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return upgrade_problem(&rejection),
    };
    let mut upgrade = upgrade
        .protocols([protocol::NAME])
        .max_message_size(protocol::MAX_CLIENT_BYTES)
        .max_frame_size(protocol::MAX_CLIENT_BYTES)
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES);
    let is_supported = upgrade.selected_protocol().is_some();
    let offered = upgrade.requested_protocols().next().cloned();
    if let (false, Some(offered)) = (is_supported, offered) {
        // A browser that gets no sub-protocol fails before it can read the close code.
        upgrade.set_selected_protocol(offered);
    }
    // A browser cannot read the status of a refused upgrade. It can read the close code of a socket.
    let permit = app.watching.acquire(client);
    upgrade.on_upgrade(move |socket| {
        let tracked = app.in_flight.clone();
        tracked.track_future(async move {
            let mut session = SocketSession { subscriber: app.hub.open(), socket, client, app };
            let close = match permit {
                _ if !is_supported => Some(Close::Protocol),
                Ok(_) => session.run().await,
                Err(_) => Some(Close::TooManySockets),
            };
            if let Some(close) = close {
                telemetry::socket_closed(close.name());
                session.close(close).await;
            }
        })
    })
}

/// The answer to a request that cannot be upgraded.
fn upgrade_problem(rejection: &WebSocketUpgradeRejection) -> Response {
    match rejection {
        WebSocketUpgradeRejection::InvalidWebSocketVersionHeader(_) => {
            ([(header::SEC_WEBSOCKET_VERSION, "13")], Problem::upgrade_required()).into_response()
        }
        WebSocketUpgradeRejection::WebSocketKeyHeaderMissing(_) => {
            Problem::malformed(rejection.body_text()).into_response()
        }
        _ => ([(header::UPGRADE, "websocket"), (header::CONNECTION, "upgrade")], Problem::upgrade_required())
            .into_response(),
    }
}

/// One open socket and its subscriptions.
struct SocketSession {
    client: Client,
    app: Arc<App>,
    subscriber: Subscriber,
    socket: WebSocket,
}

/// The reason for which a session ends: `None` when the client has disconnected.
type Ended = ControlFlow<Option<Close>>;

impl SocketSession {
    async fn run(&mut self) -> Option<Close> {
        match self.serve().await {
            ControlFlow::Break(close) => close,
            ControlFlow::Continue(()) => None,
        }
    }

    async fn serve(&mut self) -> Ended {
        self.send(&ServerMessage::welcome()).await?;
        let opened = Instant::now();
        let mut next_ping = opened + protocol::PING_EVERY;
        let mut pong_by = None;
        loop {
            let far = Instant::now() + protocol::PING_EVERY;
            tokio::select! {
                () = self.app.draining.cancelled() => {
                    let retry_ms = rand::random_range(RETRY_MS);
                    self.send(&ServerMessage::Bye { reason: "restart", retry_ms }).await?;
                    return ControlFlow::Break(Some(Close::Restart));
                }
                news = self.subscriber.changes() => {
                    for upload in &news {
                        self.send(&ServerMessage::news(upload)).await?;
                        telemetry::pushed(upload);
                    }
                }
                frame = self.socket.recv() => {
                    if let Some(ClientMessage::Pong { .. }) = self.receive(frame).await? {
                        pong_by = None;
                    }
                }
                () = sleep_until(next_ping) => {
                    next_ping += protocol::PING_EVERY;
                    let t = u64::try_from(opened.elapsed().as_millis()).unwrap_or(u64::MAX);
                    self.send(&ServerMessage::Ping { t }).await?;
                    pong_by = pong_by.or(Some(Instant::now() + protocol::PONG_WITHIN));
                }
                () = sleep_until(pong_by.unwrap_or(far)), if pong_by.is_some() => {
                    return ControlFlow::Break(Some(Close::Silent));
                }
            }
        }
    }

    /// Handles one frame and answers it.
    async fn receive(
        &mut self,
        frame: Option<Result<Message, axum::Error>>,
    ) -> ControlFlow<Option<Close>, Option<ClientMessage>> {
        let text = match frame {
            Some(Ok(Message::Text(text))) => text,
            // The library answers pings of the WebSocket protocol.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return ControlFlow::Continue(None),
            Some(Ok(Message::Binary(_))) => return ControlFlow::Break(Some(Close::Malformed)),
            Some(Ok(Message::Close(_))) | None => return ControlFlow::Break(None),
            Some(Err(error)) => {
                debug!(%error, "socket failed");
                return ControlFlow::Break(Some(Close::Malformed));
            }
        };
        let Ok(message) = serde_json::from_str(&text) else {
            return ControlFlow::Break(Some(Close::Malformed));
        };
        match &message {
            ClientMessage::Subscribe { reference, ids } => self.subscribe(*reference, ids).await?,
            ClientMessage::Unsubscribe { ids } => {
                ids.iter().filter_map(|id| id.parse().ok()).for_each(|id| self.subscriber.unsubscribe(id));
            }
            ClientMessage::Ping { t } => self.send(&ServerMessage::Pong { t: *t }).await?,
            ClientMessage::Pong { .. } | ClientMessage::Unknown => {}
        }
        ControlFlow::Continue(Some(message))
    }

    /// Subscribes first, then reads storage, then sends the snapshot: so no completion is missed.
    async fn subscribe(&mut self, reference: Option<u64>, texts: &[String]) -> Ended {
        let (mut ids, mut unknown) = (Vec::new(), Vec::new());
        // An id that is named twice is read and sent once: a snapshot is held in memory whole.
        let mut named = HashSet::new();
        for text in texts.iter().filter(|text| named.insert(text.as_str())) {
            match text.parse::<UploadId>() {
                Ok(id) => ids.push(id),
                Err(_) => unknown.push(text.clone()),
            }
        }
        let new: HashSet<_> = ids.iter().copied().filter(|id| !self.subscriber.is_subscribed(*id)).collect();
        let fits = texts.len().max(new.len() + self.subscriber.len()) <= protocol::MAX_IDS;
        // New ids come first: subscribing again needs no room, and a refusal must not drop undelivered states.
        let mut all = new.iter().chain(&ids);
        if !fits || all.any(|id| self.subscriber.subscribe(*id).is_err()) {
            new.iter().for_each(|id| self.subscriber.unsubscribe(*id));
            let title = "This socket has too many subscriptions.";
            return self.send(&ServerMessage::Error { reference, code: "too-many-ids", title }).await;
        }
        let mut read = Vec::new();
        let mut is_slowed = false;
        for ids in ids.chunks(READS_AT_ONCE) {
            while !self.app.unknown_reads.allows(self.client) {
                if !std::mem::replace(&mut is_slowed, true) {
                    let title = "This client asks for too many unknown uploads. The snapshot follows.";
                    self.send(&ServerMessage::Error { reference, code: "slow-down", title }).await?;
                }
                tokio::select! {
                    // The session says goodbye next.
                    () = self.app.draining.cancelled() => return ControlFlow::Continue(()),
                    () = sleep(SLOWED_FOR) => {}
                }
            }
            let app = &self.app;
            for (id, upload) in join_all(ids.iter().map(async |id| (*id, app.upload(*id).await))).await {
                if matches!(upload, Ok(None)) {
                    app.unknown_reads.charge(self.client);
                }
                read.push((id, upload));
            }
        }
        let mut uploads = Vec::new();
        let mut unreadable = false;
        for (id, upload) in read {
            match upload {
                Ok(Some(upload)) => uploads.push(upload),
                Ok(None) => {
                    self.subscriber.unsubscribe(id);
                    unknown.push(id.to_string());
                }
                Err(error) => {
                    // The subscription stays: the periodic re-check reads the upload again.
                    debug!(%id, error = &error as &dyn std::error::Error, "could not read an upload for a snapshot");
                    unreadable = true;
                }
            }
        }
        self.send(&ServerMessage::Snapshot { reference, uploads: &uploads, unknown: &unknown }).await?;
        uploads.iter().for_each(|upload| self.subscriber.mark_seen(upload));
        if unreadable {
            let title = "Some uploads could not be read. Their states follow later.";
            self.send(&ServerMessage::Error { reference, code: "unavailable", title }).await?;
        }
        ControlFlow::Continue(())
    }

    async fn send(&mut self, message: &ServerMessage<'_>) -> Ended {
        match timeout(WRITE_WITHIN, self.socket.send(Message::text(message.encode()))).await {
            Ok(Ok(())) => ControlFlow::Continue(()),
            Ok(Err(_)) => ControlFlow::Break(None),
            Err(_) => ControlFlow::Break(Some(Close::Slow)),
        }
    }

    /// Sends the close code and waits for the client's close frame, so that the code is not lost.
    async fn close(mut self, close: Close) {
        let frame = CloseFrame { code: close as u16, reason: "".into() };
        let handshake = async {
            self.socket.send(Message::Close(Some(frame))).await?;
            while let Some(Ok(_)) = self.socket.next().await {}
            self.socket.close().await
        };
        let _ = timeout(CLOSE_WITHIN, handshake).await;
    }
}
