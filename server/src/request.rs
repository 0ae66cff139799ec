//! The context of every request: its id, its step of a trace, and the timings of its stages.

use std::{
    collections::BTreeMap,
    fmt::Write,
    num::NonZero,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use tracing::{Instrument, info_span};
use worker::trace::TraceParent;

use crate::telemetry;

/// The header of the request id.
pub(crate) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header of the timings of a request's stages.
pub(crate) static SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// W3C Trace Context.
pub(crate) static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The longest request id of a client that is used, in bytes: a UUID takes 36. It is in every log record of the
/// request.
const MAX_ID_BYTES: usize = 64;

/// Data for handlers beside the request itself.
#[derive(Clone)]
pub(crate) struct Context {
    /// This server's step of the trace that the request belongs to.
    pub(crate) trace: TraceParent,
    /// The timings of its stages.
    pub(crate) timing: Timing,
}

/// Middleware: adds the context to a request, a span to its log records, and id and timings to its answer.
pub(crate) async fn identify(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (method, route) = (request.method().clone(), request.extensions().get::<MatchedPath>().cloned());
    let id = request_id(request.headers());
    let context = Context { trace: trace(request.headers()), timing: Timing::default() };
    request.extensions_mut().insert(context.clone());
    let shown = id.to_str().unwrap_or_default();
    let span = info_span!("request", request_id = shown, trace_id = %context.trace.trace_id());
    let mut response = next.run(request).instrument(span).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    telemetry::answered(&method, route, response.status(), started.elapsed());
    response.headers_mut().insert(REQUEST_ID.clone(), id);
    if let Some(timing) = context.timing.header() {
        response.headers_mut().insert(SERVER_TIMING.clone(), timing);
    }
    response
}

/// The client's own id if it is a valid token, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_valid = |id: &&HeaderValue| {
        let bytes = id.as_bytes();
        let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        (1..=MAX_ID_BYTES).contains(&bytes.len()) && bytes.iter().all(token)
    };
    headers.get(&REQUEST_ID).filter(is_valid).cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&format!("{:032x}", rand::random::<u128>())).expect("digits are a header value")
    })
}

/// A step of the client's trace if the request names exactly one trace, else the first step of a new trace.
fn trace(headers: &HeaderMap) -> TraceParent {
    let step = rand::random::<NonZero<u64>>();
    let mut named = headers.get_all(&TRACEPARENT).iter();
    let asked = match (named.next(), named.next()) {
        (Some(one), None) => one.to_str().ok().and_then(|text| text.parse::<TraceParent>().ok()),
        _ => None,
    };
    asked.map_or_else(|| TraceParent::begin(rand::random(), step), |asked| asked.step(step))
}

/// How long the stages of a request took, for `Server-Timing`. Clones share it; stages of one name add up.
#[derive(Clone, Default)]
pub(crate) struct Timing(Arc<Mutex<BTreeMap<&'static str, Duration>>>);

impl Timing {
    /// Times a stage.
    pub(crate) async fn of<T>(&self, stage: &'static str, work: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let done = work.await;
        // No code that can panic runs under the lock.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(stage).or_default() += started.elapsed();
        done
    }

    /// `store;dur=1.2, commit;dur=3.4`, in milliseconds; none if nothing was timed.
    fn header(&self) -> Option<HeaderValue> {
        let mut text = String::new();
        for (stage, took) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let comma = if text.is_empty() { "" } else { ", " };
            write!(text, "{comma}{stage};dur={:.1}", took.as_secs_f64() * 1000.0)
                .expect("a string can be written to");
        }
        if text.is_empty() { None } else { HeaderValue::from_str(&text).ok() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        values
            .iter()
            .map(|value| (name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap()))
            .collect()
    }

    #[test]
    fn only_a_valid_id_of_a_client_is_used() {
        let long = "x".repeat(MAX_ID_BYTES);
        for kept in ["a", "5f0c2d2e-77aa_B.1", &long] {
            assert_eq!(request_id(&headers(&REQUEST_ID, &[kept])), kept);
        }
        for replaced in ["", "two words", "a\tb", "é", "<script>", &format!("{long}x")] {
            let id = request_id(&headers(&REQUEST_ID, &[replaced]));
            assert_ne!(id, replaced);
            assert_eq!(id.len(), 32);
        }
    }

    #[test]
    fn a_trace_of_the_client_is_continued_and_else_a_new_one_begins() {
        let asked = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let step = trace(&headers(&TRACEPARENT, &[asked]));
        assert_eq!(step.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_ne!(step.to_string(), asked, "this server is another step");
        for unclear in [&[][..], &["00-nonsense"], &[asked, asked]] {
            let new = trace(&headers(&TRACEPARENT, unclear));
            assert_ne!(new.trace_id(), step.trace_id());
        }
    }

    #[tokio::test]
    async fn stages_of_one_name_add_up() {
        let timing = Timing::default();
        assert_eq!(timing.header(), None);
        for stage in ["store", "commit", "store"] {
            timing.of(stage, async {}).await;
        }
        let header = timing.header().unwrap();
        assert_eq!(header.to_str().unwrap().matches("dur=").count(), 2, "{header:?}");
    }
}
