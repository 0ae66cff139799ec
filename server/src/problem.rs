//! RFC 9457: the one place where an error becomes a status.

use std::borrow::Cow;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use tracing::{error, warn};
use worker::{storage::StorageError, transport::TransportError};

use crate::admission::Refused;

/// Seconds after which a client may look again while something is on its way.
pub(crate) const RETRY_SOON: u32 = 2;

/// Seconds after which a client may try again when the service is full or something behind it is away.
const RETRY_LATER: u32 = 5;

/// An answer that is not what was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    /// The last part of `type`.
    kind: &'static str,
    title: Cow<'static, str>,
    detail: Option<String>,
    /// Further members, for programs.
    more: Map<String, Value>,
    retry_after: Option<u32>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: impl Into<Cow<'static, str>>) -> Self {
        Self { status, kind, title: title.into(), detail: None, more: Map::new(), retry_after: None }
    }

    fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "The request could not be understood.").detail(detail)
    }

    pub(crate) fn empty() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "empty", "The file is empty.")
    }

    pub(crate) fn no_file() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "no-file", "The form has no file in it.")
            .detail("Send at least one part with a file name, for instance with curl -F file=@cat.jpg.")
    }

    pub(crate) fn too_many_parts(limit: usize) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "too-many-parts", "The form has too many parts.")
            .with("limit", limit)
    }

    pub(crate) fn bad_key(limit: usize) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-key", "The idempotency key is not one.")
            .detail("It is one header with visible ASCII characters, such as a UUID.")
            .with("limit", limit)
    }

    pub(crate) fn key_in_use() -> Self {
        let title = "A request with this idempotency key is still on its way.";
        Self::new(StatusCode::CONFLICT, "key-in-use", title).retry_after(RETRY_SOON)
    }

    pub(crate) fn key_reused() -> Self {
        let title = "This idempotency key was used for another file.";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "key-reused", title)
    }

    pub(crate) fn cross_site() -> Self {
        Self::new(StatusCode::FORBIDDEN, "cross-site", "A page of another site may not do this.")
    }

    pub(crate) fn unknown_upload() -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown-upload", "There is no such upload.")
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here.")
    }

    pub(crate) fn not_yet() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-yet", "The thumbnail is not there yet.").retry_after(RETRY_SOON)
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "That cannot be done here.")
    }

    pub(crate) fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "The file came too slowly.")
    }

    pub(crate) fn not_failed() -> Self {
        Self::new(StatusCode::CONFLICT, "not-failed", "Only an upload that failed can be retried.")
    }

    pub(crate) fn failed(failure: &worker::upload::Failure) -> Self {
        Self::new(StatusCode::GONE, "failed", "There will be no thumbnail.").detail(failure.title.clone())
    }

    pub(crate) fn too_large(limit: u64) -> Self {
        let title = format!("The file is too large. The limit is {limit} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", title).with("limit", limit)
    }

    pub(crate) fn unsupported(looks_like: Option<&str>) -> Self {
        let title = match looks_like {
            Some(what) => format!("This is {what}, not a picture that we take."),
            None => "This is not a picture that we take.".to_owned(),
        };
        let problem = Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported", title)
            .detail("JPEG, PNG, GIF, WebP, BMP and TIFF are taken.");
        match looks_like {
            Some(what) => problem.with("looks_like", what),
            None => problem,
        }
    }

    pub(crate) fn damaged() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "damaged", "The file is damaged.")
            .detail("Its header says that it is a picture, and then breaks off or contradicts itself.")
    }

    pub(crate) fn too_many_pixels(why: String, limit: u64) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "too-many-pixels", why).with("limit", limit)
    }

    pub(crate) fn outside_range(total: u64) -> Self {
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "outside-range", "The file has no such part.")
            .with("total", total)
    }

    pub(crate) fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "The server is full. Try again later.")
            .retry_after(RETRY_LATER)
    }

    pub(crate) fn too_many_at_once() -> Self {
        let title = "That is more at once than one client may have. Try again in a moment.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-at-once", title).retry_after(RETRY_SOON)
    }

    pub(crate) fn draining() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "draining",
            "The server is about to stop. Try again in a moment.",
        )
        .retry_after(RETRY_SOON)
    }

    pub(crate) fn not_ready(reasons: &[String]) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "The server cannot take uploads now.")
            .with("reasons", json!(reasons))
            .retry_after(RETRY_LATER)
    }

    fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Something behind the server is away. Try again later.",
        )
        .retry_after(RETRY_LATER)
    }

    fn disk_full() -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk-full", "The server has no room left.")
            .retry_after(RETRY_LATER)
    }

    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The server made a mistake.")
    }

    /// The last part of `type`.
    pub(crate) const fn kind(&self) -> &'static str {
        self.kind
    }

    /// The members as JSON.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("type".into(), format!("/problems/{}", self.kind).into());
        members.insert("title".into(), self.title.as_ref().into());
        members.insert("status".into(), self.status.as_u16().into());
        if let Some(detail) = &self.detail {
            members.insert("detail".into(), detail.as_str().into());
        }
        members.extend(self.more.clone());
        members
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::busy(),
            Refused::Greedy => Self::too_many_at_once(),
        }
    }
}

/// What went wrong inside goes to the log only.
impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Full(_) => {
                error!(%error, "storage is full");
                Self::disk_full()
            }
            StorageError::NotFound(_) => {
                warn!(%error, "storage lacks what it should have");
                Self::internal()
            }
            StorageError::Damaged(..) => {
                error!(error = &error as &dyn std::error::Error, "storage is damaged");
                Self::internal()
            }
            StorageError::Unavailable { .. } => {
                error!(error = &error as &dyn std::error::Error, "storage is away");
                Self::unavailable()
            }
        }
    }
}

impl From<TransportError> for Problem {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Full => Self::busy(),
            TransportError::DiskFull => {
                error!(%error, "the outbox is full");
                Self::disk_full()
            }
            TransportError::Closed => Self::draining(),
            TransportError::Unavailable { .. } | TransportError::Blocked => {
                error!(error = &error as &dyn std::error::Error, "the outbox is away");
                Self::unavailable()
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = Value::Object(self.to_json()).to_string();
        body.push('\n');
        let mut response = (
            self.status,
            [
                (header::CONTENT_TYPE, "application/problem+json"),
                (header::CACHE_CONTROL, "no-store"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ],
            body,
        )
            .into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
