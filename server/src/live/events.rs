//! `GET /uploads/{id}/events`: the messages of the socket as server-sent events, for `curl -N`. The stream ends with
//! the upload.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::header,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{Stream, stream};
use worker::Upload;

use super::{hub::Waiter, protocol::ServerMessage};
use crate::{app::App, problem::Problem, uploads::Id};

/// How long a client waits before it comes back, should the stream break.
const RETRY: Duration = Duration::from_millis(1000);

/// How often a comment is sent, so that proxies do not cut a silent stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Streams the states of one upload, the present one first.
pub(crate) async fn events(State(app): State<Arc<App>>, Id(id): Id) -> Result<Response, Problem> {
    let waiter = app.hub.open();
    waiter.subscribe(id).map_err(|_| Problem::busy())?;
    let upload = app.upload(id).await?.ok_or_else(Problem::unknown_upload)?;
    waiter.tell(&upload);
    let events = Sse::new(states(app, waiter, upload)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok(([(header::CACHE_CONTROL, "no-store")], events).into_response())
}

fn states(app: Arc<App>, waiter: Waiter, first: Upload) -> impl Stream<Item = Result<Event, Infallible>> {
    let begin = (app, waiter, Some(first), false);
    stream::unfold(begin, |(app, waiter, next, ended)| async move {
        if ended {
            return None;
        }
        let upload = match next {
            Some(upload) => upload,
            None => tokio::select! {
                () = app.draining.cancelled() => return None,
                // One upload is waited for, so there is one piece of news.
                news = waiter.news() => news.into_iter().next()?,
            },
        };
        let message = ServerMessage::news(&upload);
        let event = Event::default().event(message.kind()).retry(RETRY).data(message.encode());
        Some((Ok(event), (app, waiter, None, upload.state.is_final())))
    })
}
