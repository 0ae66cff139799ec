//! The kinds of problems: a status for programs, a title and advice for people.

use std::borrow::Cow;

use axum::http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{RETRY_LATER, RETRY_SOON};

/// A kind of problem. Its name is the variant in kebab case and the last part of `type`; no later kind may reuse it. A
/// new kind is a variant here and a row in [`Kind::about`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Kind {
    Malformed,
    Empty,
    NoFile,
    TooManyParts,
    BadKey,
    TokenNeeded,
    KeyNeeded,
    WrongKey,
    TicketLate,
    TicketUsedUp,
    CrossSite,
    WrongToken,
    NotFound,
    UnknownUpload,
    NotYet,
    MethodNotAllowed,
    TooSlow,
    NotFailed,
    KeyInUse,
    Failed,
    Gone,
    TooLarge,
    Unsupported,
    #[strum(serialize = "unsupported-kind")]
    UnsupportedPicture,
    Damaged,
    OutsideRange,
    TooManyPixels,
    KeyReused,
    UpgradeRequired,
    TooManyAtOnce,
    TooManyUnended,
    TooManyWrongKeys,
    DayUsedUp,
    RoomUsedUp,
    SlowDown,
    Busy,
    Draining,
    NotReady,
    Unavailable,
    DiskFull,
    Internal,
}

/// The status, texts and retry delay of a kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    pub(crate) status: StatusCode,
    /// The error in one sentence. An answer may be more precise.
    pub(crate) title: &'static str,
    /// The next step for the client or the operator.
    pub(crate) advice: &'static str,
    /// Seconds to wait before a retry; `None` if a retry cannot help.
    pub(crate) retry_after: Option<u32>,
}

const fn about(status: StatusCode, title: &'static str, advice: &'static str) -> About {
    About { status, title, advice, retry_after: None }
}

impl About {
    const fn after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl Kind {
    /// The kind of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// The last part of `type`.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    /// The value of `type`: the path of the page that explains the kind.
    pub(crate) fn path(self) -> String {
        format!("/problems/{}", self.name())
    }

    /// The table of all kinds.
    #[rustfmt::skip]
    pub(crate) const fn about(self) -> About {
        match self {
            Self::Malformed => about(StatusCode::BAD_REQUEST,
                "The request is malformed.",
                "The detail of the answer names the error. Correct the request before you send it again."),
            Self::Empty => about(StatusCode::BAD_REQUEST,
                "The file is empty.",
                "Choose the file again: it may have been incomplete when it was sent."),
            Self::NoFile => about(StatusCode::BAD_REQUEST,
                "The form contains no file.",
                "Send at least one part with a file name, for example with curl -F file=@cat.jpg."),
            Self::TooManyParts => about(StatusCode::BAD_REQUEST,
                "The form has too many parts.",
                "Send the files in several requests."),
            Self::BadKey => about(StatusCode::BAD_REQUEST,
                "Invalid Idempotency-Key.",
                "Send one Idempotency-Key header of visible ASCII characters, for example a UUID."),
            Self::TokenNeeded => about(StatusCode::UNAUTHORIZED,
                "The request has no delete token.",
                "Send the token from the answer to the upload, as Authorization: Bearer or as the form field token."),
            Self::KeyNeeded => about(StatusCode::UNAUTHORIZED,
                "Uploads need a key, a ticket or a sign-in.",
                "Send it as Authorization: Bearer, with curl -u :KEY, or as the form field key before the files."),
            Self::WrongKey => about(StatusCode::UNAUTHORIZED,
                "This key is not valid here.",
                "Check it for typos, or ask the operator for another one."),
            Self::TicketLate => about(StatusCode::FORBIDDEN,
                "This ticket has expired.",
                "Ask for another ticket."),
            Self::TicketUsedUp => about(StatusCode::FORBIDDEN,
                "This ticket allows no more pictures, or none of this size.",
                "Ask for another ticket."),
            Self::CrossSite => about(StatusCode::FORBIDDEN,
                "Requests from other sites aren't allowed.",
                "The operator can allow the site with --allowed-origins."),
            Self::WrongToken => about(StatusCode::FORBIDDEN,
                "This token does not permit deleting this upload.",
                "Only the answer to an upload has its token. Old tokens lose their effect when the operator rotates secrets."),
            Self::NotFound => about(StatusCode::NOT_FOUND,
                "There is nothing at this address.",
                "Check the address for typos."),
            Self::UnknownUpload => about(StatusCode::NOT_FOUND,
                "There is no such upload.",
                "Check the id for typos. If it is correct, send the picture again."),
            Self::NotYet => about(StatusCode::NOT_FOUND,
                "The thumbnail is not ready yet.",
                "Request it again after Retry-After seconds, or wait with Prefer: wait=20 or the events of the upload.")
                .after(RETRY_SOON),
            Self::MethodNotAllowed => about(StatusCode::METHOD_NOT_ALLOWED,
                "This method is not allowed here.",
                "The Allow header lists the allowed methods."),
            Self::TooSlow => about(StatusCode::REQUEST_TIMEOUT,
                "The file arrived too slowly.",
                "Try again over a faster network."),
            Self::NotFailed => about(StatusCode::CONFLICT,
                "Only a failed upload can be retried.",
                "Wait until the upload ends. If it is ready, there is nothing to retry."),
            Self::KeyInUse => about(StatusCode::CONFLICT,
                "Another request with this idempotency key is still in progress.",
                "Send the same request again after Retry-After seconds. It gets the answer of the first request.")
                .after(RETRY_SOON),
            Self::Failed => about(StatusCode::GONE,
                "There will be no thumbnail.",
                "The upload's error gives the reason. If the picture is intact, POST to its /retry to requeue it."),
            Self::Gone => about(StatusCode::GONE,
                "The upload was deleted.",
                "Send the picture again if you still need it."),
            Self::TooLarge => about(StatusCode::PAYLOAD_TOO_LARGE,
                "The file is too large.",
                "Reduce it below the limit in bytes, which the answer and /limits give."),
            Self::Unsupported => about(StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "This is not a picture.",
                "Save it in one of the formats that /limits lists. The bytes decide the format, not the file name."),
            Self::UnsupportedPicture => about(StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "A picture of this kind is not supported.",
                "The file is intact. Save it as an ordinary JPEG or PNG with the program that wrote it."),
            Self::Damaged => about(StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The file is damaged.",
                "Its header is incomplete or inconsistent. Save it again with another program, or copy it again."),
            Self::OutsideRange => about(StatusCode::RANGE_NOT_SATISFIABLE,
                "The requested range is outside the file.",
                "Content-Range and the total of the answer give the length of the file in bytes."),
            Self::TooManyPixels => about(StatusCode::UNPROCESSABLE_ENTITY,
                "The picture has too many pixels.",
                "Scale it down below the limit in pixels, which the answer and /limits give."),
            Self::KeyReused => about(StatusCode::UNPROCESSABLE_ENTITY,
                "This idempotency key was used for another file.",
                "Use a new key for each file. Use the same key only to repeat the same request."),
            Self::UpgradeRequired => about(StatusCode::UPGRADE_REQUIRED,
                "This address needs a WebSocket.",
                "Connect with the sub-protocol up.v1. /asyncapi.json describes its messages."),
            Self::TooManyAtOnce => about(StatusCode::TOO_MANY_REQUESTS,
                "This client has too many uploads or streams open. Try again in a moment.",
                "Wait until an upload ends, or close an event stream or a socket. Then try again.")
                .after(RETRY_SOON),
            Self::TooManyUnended => about(StatusCode::TOO_MANY_REQUESTS,
                "This client has too many uploads that have not ended.",
                "Send the same request again after Retry-After seconds: the workers need time for the others.")
                .after(RETRY_LATER),
            Self::TooManyWrongKeys => about(StatusCode::TOO_MANY_REQUESTS,
                "This client has sent too many wrong keys.",
                "Wait a minute before you try another key.")
                .after(RETRY_LATER),
            Self::DayUsedUp => about(StatusCode::TOO_MANY_REQUESTS,
                "This key has reached its limit of bytes for today.",
                "Send the rest after Retry-After seconds, when the next day begins (UTC)."),
            Self::RoomUsedUp => about(StatusCode::INSUFFICIENT_STORAGE,
                "The stored pictures of this key have reached its limit of bytes.",
                "Delete uploads of this key, or wait until some expire. Then send the picture again."),
            Self::SlowDown => about(StatusCode::TOO_MANY_REQUESTS,
                "This client asks for too many unknown uploads.",
                "Repeat the request after Retry-After seconds, and ask for ids of uploads only.")
                .after(RETRY_SOON),
            Self::Busy => about(StatusCode::SERVICE_UNAVAILABLE,
                "The server is full. Try again later.",
                "Send the same request again after Retry-After seconds.")
                .after(RETRY_LATER),
            Self::Draining => about(StatusCode::SERVICE_UNAVAILABLE,
                "The server is shutting down. Try again in a moment.",
                "Send the same request again after Retry-After seconds, to this server or another one.")
                .after(RETRY_SOON),
            Self::NotReady => about(StatusCode::SERVICE_UNAVAILABLE,
                "The server cannot accept uploads now.",
                "Try again later. The operator finds the reasons at /readyz of --admin-listen, or with up-server check.")
                .after(RETRY_LATER),
            Self::Unavailable => about(StatusCode::SERVICE_UNAVAILABLE,
                "The storage or the queue is unavailable. Try again later.",
                "Send the same request again after Retry-After seconds.")
                .after(RETRY_LATER),
            Self::DiskFull => about(StatusCode::INSUFFICIENT_STORAGE,
                "The server has no storage space left.",
                "Try again later. The operator must free storage space.")
                .after(RETRY_LATER),
            Self::Internal => about(StatusCode::INTERNAL_SERVER_ERROR,
                "An internal error occurred.",
                "Report the X-Request-Id of the answer to the operator: it identifies the request in the log."),
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.path())
    }
}

impl JsonSchema for Kind {
    fn schema_name() -> Cow<'static, str> {
        "ProblemType".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "uri-reference",
            "enum": Self::VARIANTS.iter().map(|kind| kind.path()).collect::<Vec<_>>(),
            "description": "The kind of problem: the path of its page. Treat an unknown type by its status.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_by_its_name() {
        for kind in Kind::VARIANTS {
            assert_eq!(Kind::named(kind.name()), Some(*kind));
        }
        assert_eq!(Kind::TooManyAtOnce.path(), "/problems/too-many-at-once");
        assert_eq!(Kind::named("nonsense"), None);
    }
}
