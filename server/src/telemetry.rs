//! Metrics of a server: counters and histograms, beside those of its own workers.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use jiff::Timestamp;
use metrics::{counter, describe_counter, describe_histogram, histogram};
use worker::Upload;

/// Answers, by `method`, `route` and `status`.
const REQUESTS: &str = "up_http_requests_total";
/// From the head of a request to the head of its answer, in seconds, by `method` and `route`.
const REQUEST_SECONDS: &str = "up_http_request_seconds";
/// Received pictures, by `outcome`: accepted, or the last part of the problem's type.
const UPLOADS: &str = "up_uploads_total";
const SENDER_UPLOADS: &str = "up_sender_uploads_total";
const SENDER_BYTES: &str = "up_sender_bytes_total";
/// From the end of an upload to the push to a subscriber, in seconds.
const PUSH_SECONDS: &str = "up_ended_to_push_seconds";
/// Sockets that the server closed, by `reason`.
const SOCKETS_CLOSED: &str = "up_sockets_closed_total";
/// Connections that were evicted for new ones.
const CONNECTIONS_EVICTED: &str = "up_connections_let_go_total";

/// Deleted uploads, by `reason`: `client`, `expired`, or `finished` for a deletion that another process began.
const DELETES: &str = "up_deletes_total";

/// Lost jobs that the sweeper posted again.
const SWEEPER_POSTS: &str = "up_sweeper_posts_total";
/// Audits of storage, by `outcome`.
const AUDITS: &str = "up_audits_total";

/// The known reasons of deletes, and outcomes of audits. Their counters exist from the start.
const DELETE_REASONS: [&str; 3] = ["client", "expired", "finished"];
const AUDIT_OUTCOMES: [&str; 2] = ["finished", "failed"];

/// Methods that have their own label. Any other, which a client may invent, is counted as `other`.
const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS];

/// Registers the metrics. Counters whose labels are known begin at zero; `problems` are the kinds of problems, and
/// `closes` the reasons for which sockets are closed.
pub(crate) fn describe(
    problems: impl Iterator<Item = &'static str>,
    closes: impl Iterator<Item = &'static str>,
) {
    describe_counter!(REQUESTS, "Answers to HTTP requests.");
    describe_histogram!(
        REQUEST_SECONDS,
        "Time from the head of a request to the head of its answer, in seconds."
    );
    describe_counter!(UPLOADS, "Received pictures, by outcome.");
    describe_counter!(SENDER_UPLOADS, "Accepted pictures, by key.");
    describe_counter!(SENDER_BYTES, "Bytes of accepted pictures, by key.");
    describe_histogram!(
        PUSH_SECONDS,
        "Time from the end of an upload to the push to a subscriber, in seconds."
    );
    describe_counter!(SOCKETS_CLOSED, "Sockets that the server closed, by reason.");
    describe_counter!(DELETES, "Deleted uploads, by reason.");
    describe_counter!(CONNECTIONS_EVICTED, "Connections that were evicted to make room for new ones.");
    describe_counter!(SWEEPER_POSTS, "Lost jobs that the sweeper posted again.");
    describe_counter!(AUDITS, "Audits of storage, by outcome.");
    problems.chain(["accepted"]).for_each(|outcome| counter!(UPLOADS, "outcome" => outcome).increment(0));
    closes.for_each(|reason| counter!(SOCKETS_CLOSED, "reason" => reason).increment(0));
    DELETE_REASONS.into_iter().for_each(|reason| counter!(DELETES, "reason" => reason).increment(0));
    AUDIT_OUTCOMES.into_iter().for_each(|outcome| counter!(AUDITS, "outcome" => outcome).increment(0));
    counter!(CONNECTIONS_EVICTED).increment(0);
    counter!(SWEEPER_POSTS).increment(0);
    let _ = histogram!(PUSH_SECONDS);
}

/// Counts a lost job that the sweeper posted again.
pub(crate) fn swept() {
    counter!(SWEEPER_POSTS).increment(1);
}

/// Counts an audit.
pub(crate) fn audited(is_finished: bool) {
    let [finished, failed] = AUDIT_OUTCOMES;
    counter!(AUDITS, "outcome" => if is_finished { finished } else { failed }).increment(1);
}

/// Counts a connection that was evicted.
pub(crate) fn connection_evicted() {
    counter!(CONNECTIONS_EVICTED).increment(1);
}

/// Counts an answer.
pub(crate) fn answered(method: &Method, route: &str, status: StatusCode, took: Duration) {
    let method = METHODS.iter().find(|known| *known == method).map_or("other", Method::as_str);
    let route = route.to_owned();
    let labels =
        [("method", method.to_owned()), ("route", route.clone()), ("status", status.as_str().to_owned())];
    counter!(REQUESTS, &labels).increment(1);
    histogram!(REQUEST_SECONDS, "method" => method, "route" => route).record(took);
}

/// Counts received pictures.
pub(crate) fn uploads(outcome: &'static str, number: usize) {
    counter!(UPLOADS, "outcome" => outcome).increment(number as u64);
}

/// Counts an accepted picture of a sender.
pub(crate) fn sent(sender: String, bytes: u64) {
    counter!(SENDER_UPLOADS, "sender" => sender.clone()).increment(1);
    counter!(SENDER_BYTES, "sender" => sender).increment(bytes);
}

/// Times the push of an upload, if it has ended.
pub(crate) fn pushed(upload: &Upload) {
    let took = upload.ended_at.map(|ended| Timestamp::now().duration_since(ended));
    // The time is negative if clocks differ; it is recorded as zero then.
    if let Some(took) = took {
        histogram!(PUSH_SECONDS).record(Duration::try_from(took).unwrap_or_default());
    }
}

/// Counts a deletion.
pub(crate) fn deleted(reason: &'static str) {
    debug_assert!(DELETE_REASONS.contains(&reason), "{reason} is listed");
    counter!(DELETES, "reason" => reason).increment(1);
}

/// Counts a socket that the server closed.
pub(crate) fn socket_closed(reason: &'static str) {
    counter!(SOCKETS_CLOSED, "reason" => reason).increment(1);
}
