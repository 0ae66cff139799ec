//! What can go wrong, by name: the status that tells programs, and the words that tell people what to do.

use std::borrow::Cow;

use axum::http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::{RETRY_LATER, RETRY_SOON};

/// A kind of problem. Its name is the last part of `type`, and is never given to another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Stays the last: [`Kind::ALL`] is counted by it, so that none is forgotten there.
    Internal,
}

/// What is known of a kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    /// The last part of `type`.
    pub(crate) name: &'static str,
    pub(crate) status: StatusCode,
    /// What is wrong, in a sentence. An answer may be more precise.
    pub(crate) title: &'static str,
    /// What to do about it.
    pub(crate) advice: &'static str,
    /// Seconds after which another try may go better.
    pub(crate) retry_after: Option<u32>,
}

const fn about(status: StatusCode, name: &'static str, title: &'static str, advice: &'static str) -> About {
    About { name, status, title, advice, retry_after: None }
}

impl About {
    const fn after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; Self::Internal as usize + 1] = [
        Self::Malformed,
        Self::Empty,
        Self::NoFile,
        Self::TooManyParts,
        Self::BadKey,
        Self::CrossSite,
        Self::NotFound,
        Self::UnknownUpload,
        Self::NotYet,
        Self::MethodNotAllowed,
        Self::TooSlow,
        Self::NotFailed,
        Self::KeyInUse,
        Self::Failed,
        Self::Gone,
        Self::TooLarge,
        Self::Unsupported,
        Self::Damaged,
        Self::OutsideRange,
        Self::TooManyPixels,
        Self::KeyReused,
        Self::UpgradeRequired,
        Self::TooManyAtOnce,
        Self::Busy,
        Self::Draining,
        Self::NotReady,
        Self::Unavailable,
        Self::DiskFull,
        Self::Internal,
    ];

    /// The kind of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.about().name == name)
    }

    /// The value of `type`: where people read what to do.
    pub(crate) fn path(self) -> String {
        format!("/problems/{}", self.about().name)
    }

    /// The table.
    #[rustfmt::skip]
    pub(crate) const fn about(self) -> About {
        match self {
            Self::Malformed => about(StatusCode::BAD_REQUEST, "malformed",
                "The request could not be understood.",
                "The answer says where it breaks off or contradicts itself. Send it in another form."),
            Self::Empty => about(StatusCode::BAD_REQUEST, "empty",
                "The file is empty.",
                "Choose the file again: perhaps it was still being written."),
            Self::NoFile => about(StatusCode::BAD_REQUEST, "no-file",
                "The form has no file in it.",
                "Send at least one part with a file name, for instance with curl -F file=@cat.jpg."),
            Self::TooManyParts => about(StatusCode::BAD_REQUEST, "too-many-parts",
                "The form has too many parts.",
                "Send the files in several requests."),
            Self::BadKey => about(StatusCode::BAD_REQUEST, "bad-key",
                "The idempotency key is not one.",
                "Send one Idempotency-Key header with visible ASCII characters, such as a UUID."),
            Self::CrossSite => about(StatusCode::FORBIDDEN, "cross-site",
                "A page of another site may not do this.",
                "Whoever runs the server can allow that site's pages with --allowed-origins."),
            Self::NotFound => about(StatusCode::NOT_FOUND, "not-found",
                "There is nothing here.",
                "Look for a letter too few or too many in the address."),
            Self::UnknownUpload => about(StatusCode::NOT_FOUND, "unknown-upload",
                "There is no such upload.",
                "Look for a letter too few or too many in its id. If it is right, send the picture again."),
            Self::NotYet => about(StatusCode::NOT_FOUND, "not-yet",
                "The thumbnail is not there yet.",
                "Ask again after Retry-After seconds, wait with Prefer: wait=20 on the upload, or listen to its events.")
                .after(RETRY_SOON),
            Self::MethodNotAllowed => about(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed",
                "That cannot be done here.",
                "The Allow header names what can."),
            Self::TooSlow => about(StatusCode::REQUEST_TIMEOUT, "too-slow",
                "The file came too slowly.",
                "Try again where the network is better."),
            Self::NotFailed => about(StatusCode::CONFLICT, "not-failed",
                "Only an upload that failed can be retried.",
                "Wait for its end; if it is ready there is nothing to retry."),
            Self::KeyInUse => about(StatusCode::CONFLICT, "key-in-use",
                "A request with this idempotency key is still on its way.",
                "Send the same again after Retry-After seconds: the answer will be that of the first.")
                .after(RETRY_SOON),
            Self::Failed => about(StatusCode::GONE, "failed",
                "There will be no thumbnail.",
                "The upload says why. If its picture is whole, POST to its /retry to requeue it."),
            Self::Gone => about(StatusCode::GONE, "gone",
                "The upload was deleted.",
                "Send the picture again if you still need it."),
            Self::TooLarge => about(StatusCode::PAYLOAD_TOO_LARGE, "too-large",
                "The file is too large.",
                "Make it smaller than the limit, in bytes, that the answer and /limits name."),
            Self::Unsupported => about(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported",
                "This is not a picture that we take.",
                "Save it as one of the formats that /limits names. The bytes decide, never the name."),
            Self::Damaged => about(StatusCode::UNSUPPORTED_MEDIA_TYPE, "damaged",
                "The file is damaged.",
                "Its header breaks off or contradicts itself. Open it elsewhere and save it anew, or copy it again."),
            Self::OutsideRange => about(StatusCode::RANGE_NOT_SATISFIABLE, "outside-range",
                "The file has no such part.",
                "Content-Range and the answer say how long it is."),
            Self::TooManyPixels => about(StatusCode::UNPROCESSABLE_ENTITY, "too-many-pixels",
                "The picture has too many pixels.",
                "Scale it down below the limit that the answer and /limits name."),
            Self::KeyReused => about(StatusCode::UNPROCESSABLE_ENTITY, "key-reused",
                "This idempotency key was used for another file.",
                "Take a new key for every file; the same only to send the same again."),
            Self::UpgradeRequired => about(StatusCode::UPGRADE_REQUIRED, "upgrade-required",
                "Only a WebSocket is spoken here.",
                "Open it with the sub-protocol up.v1; /asyncapi.json describes what is said on it."),
            Self::TooManyAtOnce => about(StatusCode::TOO_MANY_REQUESTS, "too-many-at-once",
                "That is more at once than one client may have. Try again in a moment.",
                "Wait for the end of an upload, or close a stream of events, before the next.")
                .after(RETRY_SOON),
            Self::Busy => about(StatusCode::SERVICE_UNAVAILABLE, "busy",
                "The server is full. Try again later.",
                "Send the same again after Retry-After seconds.")
                .after(RETRY_LATER),
            Self::Draining => about(StatusCode::SERVICE_UNAVAILABLE, "draining",
                "The server is about to stop. Try again in a moment.",
                "Send the same again after Retry-After seconds: another server, or this one anew, takes it.")
                .after(RETRY_SOON),
            Self::NotReady => about(StatusCode::SERVICE_UNAVAILABLE, "not-ready",
                "The server cannot take uploads now.",
                "The answer gives the reasons; up-server check says more to whoever runs the server.")
                .after(RETRY_LATER),
            Self::Unavailable => about(StatusCode::SERVICE_UNAVAILABLE, "unavailable",
                "Something behind the server is away. Try again later.",
                "Send the same again after Retry-After seconds.")
                .after(RETRY_LATER),
            Self::DiskFull => about(StatusCode::INSUFFICIENT_STORAGE, "disk-full",
                "The server has no room left.",
                "Try again later; whoever runs the server must make room.")
                .after(RETRY_LATER),
            Self::Internal => about(StatusCode::INTERNAL_SERVER_ERROR, "internal",
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
            "enum": Self::ALL.map(Self::path),
            "description": "What is wrong: a page for people. Take a type that is not listed by its status.",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_kind_is_listed_once_and_found_by_its_name() {
        let names: HashSet<_> = Kind::ALL.map(|kind| kind.about().name).into();
        assert_eq!(names.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.about().name), Some(kind));
        }
        assert_eq!(Kind::named("nonsense"), None);
    }
}
