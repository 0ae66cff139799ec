//! Errors as answers: problem details of RFC 9457. The one place where an error becomes a status.

pub(crate) mod help_page;
mod kind;

use std::borrow::Cow;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;
use tracing::{error, warn};
use worker::{
    Format,
    probe::UnsupportedKind,
    storage::{SecretError, StorageError},
    transport::TransportError,
};

pub(crate) use self::kind::Kind;
use crate::{
    answer::json, memory::OutOfMemory, quota::QuotaError, tokens::AcceptedUpload, unended::TooManyUnended,
};

/// Seconds after which a client may poll again while an upload is pending.
pub(crate) const RETRY_SOON: u32 = 2;

/// Seconds after which a client may retry when the server is at capacity, or storage or broker is unavailable.
const RETRY_LATER: u32 = 5;

/// The media type of problems.
pub(crate) const CONTENT_TYPE: &str = "application/problem+json";

/// An error, as clients receive it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: Kind,
    /// The error in one sentence, for people.
    title: Cow<'static, str>,
    /// The HTTP status of the answer.
    #[schemars(range(min = 400, max = 599))]
    status: u16,
    /// More about this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The limit that was exceeded: bytes, pixels or parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    /// The apparent type of a file that is no picture, with its article.
    #[serde(skip_serializing_if = "Option::is_none")]
    looks_like: Option<&'static str>,
    /// The size of the file in bytes, if a range lies outside of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    /// The files of a form that were accepted before the error.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    uploads: Box<[AcceptedUpload]>,
    /// Seconds to wait before a retry, if the kind has no fixed number.
    #[serde(skip)]
    retry_after: Option<u32>,
}

impl From<Kind> for Problem {
    fn from(kind: Kind) -> Self {
        let about = kind.about();
        Self {
            kind,
            title: about.title.into(),
            status: about.status.as_u16(),
            detail: None,
            limit: None,
            looks_like: None,
            total: None,
            uploads: Box::default(),
            retry_after: about.retry_after,
        }
    }
}

impl Problem {
    fn titled(kind: Kind, title: impl Into<Cow<'static, str>>) -> Self {
        Self { title: title.into(), ..kind.into() }
    }

    fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    fn limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Adds the files that were accepted before the error.
    pub(crate) fn with_uploads(self, uploads: Vec<AcceptedUpload>) -> Self {
        Self { uploads: uploads.into(), ..self }
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::from(Kind::Malformed).detail(detail)
    }

    pub(crate) fn empty() -> Self {
        Kind::Empty.into()
    }

    pub(crate) fn no_file() -> Self {
        Self::from(Kind::NoFile).detail(Kind::NoFile.about().advice)
    }

    pub(crate) fn too_many_parts(limit: usize) -> Self {
        Self::from(Kind::TooManyParts).limit(limit as u64)
    }

    pub(crate) fn bad_key(limit: usize) -> Self {
        Self::from(Kind::BadKey).detail(Kind::BadKey.about().advice).limit(limit as u64)
    }

    pub(crate) fn key_in_use() -> Self {
        Kind::KeyInUse.into()
    }

    pub(crate) fn key_reused() -> Self {
        Kind::KeyReused.into()
    }

    pub(crate) fn cross_site() -> Self {
        Self::from(Kind::CrossSite).detail(
            "The Origin header names another site than the Host header. Behind a proxy that rewrites Host, the operator \
             sets --public-url.",
        )
    }

    pub(crate) fn slow_down() -> Self {
        Kind::SlowDown.into()
    }

    pub(crate) fn unknown_upload() -> Self {
        Kind::UnknownUpload.into()
    }

    pub(crate) fn token_needed() -> Self {
        Kind::TokenNeeded.into()
    }

    pub(crate) fn key_needed() -> Self {
        Kind::KeyNeeded.into()
    }

    pub(crate) fn wrong_key() -> Self {
        Kind::WrongKey.into()
    }

    pub(crate) fn too_many_wrong_keys() -> Self {
        Kind::TooManyWrongKeys.into()
    }

    pub(crate) fn ticket_late() -> Self {
        Kind::TicketLate.into()
    }

    pub(crate) fn day_used_up(limit: u64, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..Self::from(Kind::DayUsedUp).limit(limit) }
    }

    pub(crate) fn room_used_up(limit: u64) -> Self {
        Self::from(Kind::RoomUsedUp).limit(limit)
    }

    pub(crate) fn ticket_used_up() -> Self {
        Kind::TicketUsedUp.into()
    }

    pub(crate) fn wrong_token() -> Self {
        Kind::WrongToken.into()
    }

    pub(crate) fn gone() -> Self {
        Kind::Gone.into()
    }

    pub(crate) fn not_found() -> Self {
        Kind::NotFound.into()
    }

    pub(crate) fn not_yet() -> Self {
        Kind::NotYet.into()
    }

    pub(crate) fn method_not_allowed() -> Self {
        Kind::MethodNotAllowed.into()
    }

    pub(crate) fn upgrade_required() -> Self {
        Kind::UpgradeRequired.into()
    }

    pub(crate) fn too_slow() -> Self {
        Kind::TooSlow.into()
    }

    pub(crate) fn not_failed() -> Self {
        Kind::NotFailed.into()
    }

    pub(crate) fn failed(failure: &worker::Failure) -> Self {
        Self::from(Kind::Failed).detail(failure.title.clone())
    }

    pub(crate) fn too_large(limit: u64) -> Self {
        let title = format!("The file is too large. The limit is {limit} bytes.");
        Self::titled(Kind::TooLarge, title).limit(limit)
    }

    /// A file of an unknown kind, or of a known one that is not accepted; `accepted` are the formats that are.
    pub(crate) fn unsupported(looks_like: Option<&'static str>, accepted: &[Format]) -> Self {
        let problem = match looks_like {
            Some(kind) if kind.ends_with("picture") => {
                Self::titled(Kind::Unsupported, format!("This is {kind}, which is not accepted here."))
            }
            Some(kind) => Self::titled(Kind::Unsupported, format!("This is {kind}, not a picture.")),
            None => Kind::Unsupported.into(),
        };
        let names: Vec<_> = accepted.iter().map(Format::to_string).collect();
        let detail = match names.split_last() {
            Some((last, [])) => format!("The accepted format is {last}."),
            Some((last, others)) => format!("Accepted formats are {} and {last}.", others.join(", ")),
            None => String::new(),
        };
        Self { looks_like, ..problem.detail(detail) }
    }

    /// A picture of an accepted format that is intact, and of a kind that no decoder here reads.
    pub(crate) fn unsupported_kind(kind: UnsupportedKind) -> Self {
        Self::titled(Kind::UnsupportedPicture, kind.to_string())
    }

    pub(crate) fn damaged() -> Self {
        Self::from(Kind::Damaged).detail("The header of the picture is incomplete or contradicts itself.")
    }

    pub(crate) fn too_many_pixels(why: String, limit: u64) -> Self {
        Self::titled(Kind::TooManyPixels, why).limit(limit)
    }

    pub(crate) fn outside_range(total: u64) -> Self {
        Self { total: Some(total), ..Kind::OutsideRange.into() }
    }

    pub(crate) fn busy() -> Self {
        Kind::Busy.into()
    }

    pub(crate) fn too_many_at_once() -> Self {
        Kind::TooManyAtOnce.into()
    }

    pub(crate) fn draining() -> Self {
        Kind::Draining.into()
    }

    pub(crate) fn not_ready() -> Self {
        Kind::NotReady.into()
    }

    pub(crate) fn unavailable() -> Self {
        Kind::Unavailable.into()
    }

    pub(crate) fn disk_full() -> Self {
        Kind::DiskFull.into()
    }

    pub(crate) fn internal() -> Self {
        Kind::Internal.into()
    }

    /// The error in one sentence, for people.
    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    /// The last part of `type`.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind.name()
    }
}

impl From<QuotaError> for Problem {
    fn from(error: QuotaError) -> Self {
        match error {
            QuotaError::AtCapacity => Self::busy(),
            QuotaError::OverQuota => Self::too_many_at_once(),
        }
    }
}

impl From<TooManyUnended> for Problem {
    fn from(_: TooManyUnended) -> Self {
        Kind::TooManyUnended.into()
    }
}

impl From<OutOfMemory> for Problem {
    fn from(_: OutOfMemory) -> Self {
        Self::busy()
    }
}

/// The cause of an internal error goes to the log only.
impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Full(_) => {
                error!(%error, "storage is full");
                Self::disk_full()
            }
            StorageError::NotFound(_) => {
                warn!(%error, "an object that should be in storage is missing");
                Self::internal()
            }
            StorageError::Unavailable { .. } => {
                let mistake = error.misconfiguration().map(tracing::field::display);
                error!(error = &error as &dyn std::error::Error, mistake, "storage is unavailable");
                Self::unavailable()
            }
        }
    }
}

impl From<SecretError> for Problem {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::Storage(error) => error.into(),
            SecretError::Unreadable { .. } => {
                error!(
                    error = &error as &dyn std::error::Error,
                    "the secrets of delete tokens are not available"
                );
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
                error!(%error, "the disk of the outbox is full");
                Self::disk_full()
            }
            TransportError::Closed => Self::draining(),
            TransportError::Unavailable { .. } | TransportError::Blocked | TransportError::Nacked => {
                error!(error = &error as &dyn std::error::Error, "the outbox is unavailable");
                Self::unavailable()
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let about = self.kind.about();
        let mut response = json(&self);
        *response.status_mut() = about.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Not Basic: browsers would ask for a name and a password.
        if about.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // For the page that a browser gets.
        response.extensions_mut().insert(self);
        response
    }
}
