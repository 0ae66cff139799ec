//! The kinds of problems: the status for programs, and the sentences that tell people what to do.

use std::borrow::Cow;

use axum::http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{RETRY_LATER, RETRY_SOON};

/// A kind of problem. Its name, the variant in kebab case, is the last part of `type`, and is never given to another kind.
/// A new kind is a variant here and a row in [`Kind::about`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Kind {
    Malformed,
    Empty,
    NoFile,
    TooManyParts,
    BadKey,
    CrossSite,
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
    Damaged,
    OutsideRange,
    TooManyPixels,
    KeyReused,
    UpgradeRequired,
    TooManyAtOnce,
    Busy,
    Draining,
    NotReady,
    Unavailable,
    DiskFull,
    Internal,
}

/// What is known of a kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    pub(crate) status: StatusCode,
    /// What is wrong, in a sentence. An answer may be more precise.
    pub(crate) title: &'static str,
    /// What to do about it.
    pub(crate) advice: &'static str,
    /// Seconds after which another try may go better.
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

    /// The value of `type`: where people read what to do.
    pub(crate) fn path(self) -> String {
        format!("/problems/{}", self.name())
    }

    /// The table.
    #[rustfmt::skip]
    pub(crate) const fn about(self) -> About {
        match self {
            Self::Malformed => about(StatusCode::BAD_REQUEST,
                "The request could not be understood.",
                "The answer says where it breaks off or contradicts itself. Send it in another form."),
            Self::Empty => about(StatusCode::BAD_REQUEST,
                "The file is empty.",
                "Choose the file again: perhaps it was still being written."),
            Self::NoFile => about(StatusCode::BAD_REQUEST,
                "The form has no file in it.",
                "Send at least one part with a file name, for instance with curl -F file=@cat.jpg."),
            Self::TooManyParts => about(StatusCode::BAD_REQUEST,
                "The form has too many parts.",
                "Send the files in several requests."),
            Self::BadKey => about(StatusCode::BAD_REQUEST,
                "The idempotency key is not one.",
                "Send one Idempotency-Key header with visible ASCII characters, such as a UUID."),
            Self::CrossSite => about(StatusCode::FORBIDDEN,
                "A page of another site may not do this.",
                "Whoever runs the server can allow that site's pages with --allowed-origins."),
            Self::NotFound => about(StatusCode::NOT_FOUND,
                "There is nothing here.",
                "Look for a letter too few or too many in the address."),
            Self::UnknownUpload => about(StatusCode::NOT_FOUND,
                "There is no such upload.",
                "Look for a letter too few or too many in its id. If it is right, send the picture again."),
            Self::NotYet => about(StatusCode::NOT_FOUND,
                "The thumbnail is not there yet.",
                "Ask again after Retry-After seconds, wait with Prefer: wait=20 on the upload, or listen to its events.")
                .after(RETRY_SOON),
            Self::MethodNotAllowed => about(StatusCode::METHOD_NOT_ALLOWED,
                "That cannot be done here.",
                "The Allow header names what can."),
            Self::TooSlow => about(StatusCode::REQUEST_TIMEOUT,
                "The file came too slowly.",
                "Try again where the network is better."),
            Self::NotFailed => about(StatusCode::CONFLICT,
                "Only an upload that failed can be retried.",
                "Wait for its end; if it is ready there is nothing to retry."),
            Self::KeyInUse => about(StatusCode::CONFLICT,
                "A request with this idempotency key is still on its way.",
                "Send the same again after Retry-After seconds: the answer will be that of the first.")
                .after(RETRY_SOON),
            Self::Failed => about(StatusCode::GONE,
                "There will be no thumbnail.",
                "The upload says why. If its picture is whole, POST to its /retry to requeue it."),
            Self::Gone => about(StatusCode::GONE,
                "The upload was deleted.",
                "Send the picture again if you still need it."),
            Self::TooLarge => about(StatusCode::PAYLOAD_TOO_LARGE,
                "The file is too large.",
                "Make it smaller than the limit, in bytes, that the answer and /limits name."),
            Self::Unsupported => about(StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "This is not a picture that we take.",
                "Save it as one of the formats that /limits names. The bytes decide, never the name."),
            Self::Damaged => about(StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The file is damaged.",
                "Its header breaks off or contradicts itself. Open it elsewhere and save it anew, or copy it again."),
            Self::OutsideRange => about(StatusCode::RANGE_NOT_SATISFIABLE,
                "The file has no such part.",
                "Content-Range and the answer say how long it is."),
            Self::TooManyPixels => about(StatusCode::UNPROCESSABLE_ENTITY,
                "The picture has too many pixels.",
                "Scale it down below the limit that the answer and /limits name."),
            Self::KeyReused => about(StatusCode::UNPROCESSABLE_ENTITY,
                "This idempotency key was used for another file.",
                "Take a new key for every file; the same only to send the same again."),
            Self::UpgradeRequired => about(StatusCode::UPGRADE_REQUIRED,
                "Only a WebSocket is spoken here.",
                "Open it with the sub-protocol up.v1; /asyncapi.json describes what is said on it."),
            Self::TooManyAtOnce => about(StatusCode::TOO_MANY_REQUESTS,
                "That is more at once than one client may have. Try again in a moment.",
                "Wait for the end of an upload, or close a stream of events, before the next.")
                .after(RETRY_SOON),
            Self::Busy => about(StatusCode::SERVICE_UNAVAILABLE,
                "The server is full. Try again later.",
                "Send the same again after Retry-After seconds.")
                .after(RETRY_LATER),
            Self::Draining => about(StatusCode::SERVICE_UNAVAILABLE,
                "The server is about to stop. Try again in a moment.",
                "Send the same again after Retry-After seconds: another server, or this one anew, takes it.")
                .after(RETRY_SOON),
            Self::NotReady => about(StatusCode::SERVICE_UNAVAILABLE,
                "The server cannot take uploads now.",
                "The answer gives the reasons; up-server check says more to whoever runs the server.")
                .after(RETRY_LATER),
            Self::Unavailable => about(StatusCode::SERVICE_UNAVAILABLE,
                "Something behind the server is away. Try again later.",
                "Send the same again after Retry-After seconds.")
                .after(RETRY_LATER),
            Self::DiskFull => about(StatusCode::INSUFFICIENT_STORAGE,
                "The server has no room left.",
                "Try again later; whoever runs the server must make room.")
                .after(RETRY_LATER),
            Self::Internal => about(StatusCode::INTERNAL_SERVER_ERROR,
                "The server made a mistake.",
                "Tell whoever runs it the X-Request-Id of the answer, by which its log finds what happened."),
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
            "description": "What is wrong: a page for people. Take a type that is not listed by its status.",
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
