//! A request's body as it arrives: never buffered whole, and read within time limits.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use headers::{ContentLength, HeaderMapExt};
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::problem::Problem;

/// How long a body may pause: longer than a phone in a tunnel has no network.
const MAX_PAUSE: Duration = Duration::from_secs(15);

/// The minimum average rate of a body since its start, in bytes per second. It is enforced after [`MAX_PAUSE`]. At this
/// rate a picture of one megabyte takes half an hour.
const MIN_RATE: u64 = 512;

/// How long a body may last. The audit removes only objects older than a day, so never one that is still being written.
const MAX_TIME: Duration = Duration::from_secs(4 * 60 * 60);

/// The limits of reading a refused body to its end, so that the client receives the answer and not a reset connection.
const DRAIN_BYTES: u64 = 256 * 1024 * 1024;
const DRAIN_WITHIN: Duration = Duration::from_secs(10);

/// The reason for which a body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The body paused too long, or its rate was too low.
    #[error("the body arrived too slowly")]
    TooSlow,
    /// The client disconnected, or sent invalid framing.
    #[error("the body broke off")]
    BrokenOff(#[source] axum::Error),
    /// Too many bytes came before the next part of a form.
    #[error("too many bytes before the next part of the form")]
    Overlong,
}

/// The answer to a body that ended early.
pub(super) fn body_problem(error: &BodyError) -> Problem {
    match error {
        BodyError::TooSlow => Problem::too_slow(),
        BodyError::BrokenOff(_) => Problem::malformed("The body broke off."),
        BodyError::Overlong => {
            Problem::malformed("There are too many bytes before the next part of the form.")
        }
    }
}

/// The body of a refused request, if its client is sending one: a client that waits for `100 Continue` sends none after a
/// refusal.
pub(crate) fn unread(headers: &HeaderMap, body: Body) -> Option<PacedBody> {
    let is_sending = !body.is_end_stream() && !headers.contains_key(header::EXPECT);
    is_sending.then(|| PacedBody::new(body))
}

/// A refusal of a request whose body was not read to its end. The connection cannot be reused, because its next bytes are
/// the rest of the body; that is drained, so that a client that sends first can read the answer.
pub(crate) fn closing(refusal: impl IntoResponse, rest: Option<PacedBody>) -> Response {
    if let Some(rest) = rest {
        rest.drain();
    }
    ([(header::CONNECTION, "close")], refusal).into_response()
}

/// Drains what a handler left of a body when it refused the request, so that every refusal can be read. A handler that
/// has drained its body closes the connection itself.
pub(crate) async fn drain_refused(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() || parts.headers.contains_key(header::EXPECT) {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let lent = LentBody(Arc::new(Mutex::new(body)));
    let response = next.run(Request::from_parts(parts, Body::new(lent.clone()))).await;
    let is_refused = response.status().is_client_error() || response.status().is_server_error();
    if !is_refused || response.headers().contains_key(header::CONNECTION) || lent.is_end_stream() {
        return response;
    }
    let rest = std::mem::take(&mut *lent.body());
    closing(response, Some(PacedBody::new(rest)))
}

/// A body that is lent to a handler.
#[derive(Clone)]
struct LentBody(Arc<Mutex<Body>>);

impl LentBody {
    fn body(&self) -> MutexGuard<'_, Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl http_body::Body for LentBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.body()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body().size_hint()
    }
}

/// A body that fails when it arrives too slowly.
pub(crate) struct PacedBody {
    body: axum::body::BodyDataStream,
    started_at: Instant,
    received: u64,
    pause: Pin<Box<Sleep>>,
}

impl PacedBody {
    pub(crate) fn new(body: Body) -> Self {
        Self {
            body: body.into_data_stream(),
            started_at: Instant::now(),
            received: 0,
            pause: Box::pin(sleep(MAX_PAUSE)),
        }
    }

    fn is_too_slow(&self) -> bool {
        let elapsed = self.started_at.elapsed();
        elapsed > MAX_TIME || (elapsed > MAX_PAUSE && self.received < elapsed.as_secs() * MIN_RATE)
    }

    /// Reads and discards the rest in the background, within limits, while the answer is written.
    pub(crate) fn drain(mut self) {
        tokio::spawn(timeout(DRAIN_WITHIN, async move {
            let mut drained = 0;
            while let Some(Ok(bytes)) = self.body.next().await {
                drained += bytes.len() as u64;
                if drained > DRAIN_BYTES {
                    return;
                }
            }
        }));
    }
}

impl Stream for PacedBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(next) = self.body.poll_next_unpin(context) {
            let Some(next) = next else {
                return Poll::Ready(None);
            };
            self.pause.as_mut().reset(Instant::now() + MAX_PAUSE);
            let next = next.map_err(BodyError::BrokenOff);
            self.received += next.as_ref().map_or(0, |bytes| bytes.len() as u64);
            let too_slow = next.is_ok() && self.is_too_slow();
            return Poll::Ready(Some(if too_slow { Err(BodyError::TooSlow) } else { next }));
        }
        ready!(self.pause.as_mut().poll(context));
        Poll::Ready(Some(Err(BodyError::TooSlow)))
    }
}

/// The value of `Content-Length`.
pub(crate) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.typed_get::<ContentLength>().map(|length| length.0)
}
