//! A request's body as it comes in: never buffered whole, never waited for without end.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{body::Body, http::HeaderMap};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use headers::{ContentLength, HeaderMapExt};
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::problem::Problem;

/// How long a body may pause: longer than a phone is without network in a tunnel.
const MAX_PAUSE: Duration = Duration::from_secs(15);

/// The least rate of a body in bytes per second, on the average since its start, once [`MAX_PAUSE`] is over: a
/// picture of a megabyte would take half an hour.
const MIN_RATE: u64 = 512;

/// How long a body may last. The audit removes nothing that is younger than a day, so it never meets a body.
const MAX_TIME: Duration = Duration::from_secs(4 * 60 * 60);

/// What is read of a body after its answer is certain, so that the client sees the answer and not a reset connection.
const DRAIN_BYTES: u64 = 256 * 1024 * 1024;
const DRAIN_WITHIN: Duration = Duration::from_secs(10);

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// It paused, or trickled.
    #[error("the body came too slowly")]
    TooSlow,
    /// The client left, or broke the framing.
    #[error("the body broke off")]
    BrokenOff(#[source] axum::Error),
    /// Too much came before the next part of a form began.
    #[error("too much came before the next part of the form")]
    Overlong,
}

/// The answer to a body that ended early.
pub(super) fn body_problem(error: &BodyError) -> Problem {
    match error {
        BodyError::TooSlow => Problem::too_slow(),
        BodyError::BrokenOff(_) => Problem::malformed("The body broke off."),
        BodyError::Overlong => Problem::malformed("Too much came before the next part of the form began."),
    }
}

/// A body that fails when it comes too slowly.
pub(crate) struct PacedBody {
    body: axum::body::BodyDataStream,
    begun: Instant,
    received: u64,
    pause: Pin<Box<Sleep>>,
}

impl PacedBody {
    pub(crate) fn new(body: Body) -> Self {
        Self {
            body: body.into_data_stream(),
            begun: Instant::now(),
            received: 0,
            pause: Box::pin(sleep(MAX_PAUSE)),
        }
    }

    fn trickles(&self) -> bool {
        let elapsed = self.begun.elapsed();
        elapsed > MAX_TIME || (elapsed > MAX_PAUSE && self.received < elapsed.as_secs() * MIN_RATE)
    }

    /// Reads on in the background, within bounds, and forgets what comes. The answer is written meanwhile.
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
            let too_slow = next.is_ok() && self.trickles();
            return Poll::Ready(Some(if too_slow { Err(BodyError::TooSlow) } else { next }));
        }
        ready!(self.pause.as_mut().poll(context));
        Poll::Ready(Some(Err(BodyError::TooSlow)))
    }
}

/// The length that a request declares.
pub(crate) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.typed_get::<ContentLength>().map(|length| length.0)
}
