//! `GET /uploads/{id}/events`: the messages of the socket as server-sent events, for `curl -N`. The stream ends
//! when the upload ends.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::stream;
use worker::Upload;

use super::protocol::ServerMessage;
use crate::{
    answer::NO_STORE, app::App, client::Client, extract::Id, hub::Subscriber, problem::Problem,
    quota::Permit, telemetry,
};

/// How long a client waits before it reconnects after the stream broke.
const RETRY: Duration = Duration::from_millis(1000);

/// Sent by a client that reconnects: the id of the last event that it received.
const LAST_EVENT_ID: &str = "last-event-id";

/// How often a comment is sent, so that proxies do not close an idle stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Streams the states of one upload, the current one first.
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    client: Client,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let permit = app.watching.acquire(client)?;
    let subscriber = app.hub.open();
    subscriber.subscribe(id).map_err(|_| Problem::busy())?;
    let upload = app.upload_or_problem(client, id).await?;
    // An EventSource reconnects after the end of a stream, unless the answer is 204.
    if upload.state.is_final()
        && headers.get(LAST_EVENT_ID).is_some_and(|last| last == event_id(&upload).as_str())
    {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    subscriber.mark_seen(&upload);
    let events = Sse::new(states(EventStream { app, subscriber, _permit: permit }, upload));
    let events = events.keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // Otherwise nginx buffers the events.
    let head = [(header::CACHE_CONTROL, NO_STORE), (HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((head, events).into_response())
}

/// The id of the event of a state: the generation and the state.
fn event_id(upload: &Upload) -> String {
    format!("{}-{}", upload.generation, ServerMessage::news(upload).kind())
}

/// The resources that an event stream holds until it ends.
struct EventStream {
    app: Arc<App>,
    subscriber: Subscriber,
    _permit: Permit,
}

impl EventStream {
    /// The next state; `None` when the server drains.
    async fn changes(&self) -> Option<Upload> {
        tokio::select! {
            () = self.app.draining.cancelled() => None,
            // The stream subscribes to one upload, so it receives one state at a time.
            news = self.subscriber.changes() => news.into_iter().next().inspect(telemetry::pushed),
        }
    }
}

/// The first state of an upload and the later ones, until its end.
fn states(stream: EventStream, first: Upload) -> impl futures::Stream<Item = Result<Event, Infallible>> {
    stream::unfold(Some((stream, Some(first))), |state| async move {
        let (stream, next) = state?;
        let upload = match next {
            Some(upload) => upload,
            None => stream.changes().await?,
        };
        let message = ServerMessage::news(&upload);
        let event =
            Event::default().id(event_id(&upload)).event(message.kind()).retry(RETRY).data(message.encode());
        let has_more = !upload.state.is_final();
        Some((Ok(event), has_more.then_some((stream, None))))
    })
}
