//! The reasons of failed uploads, for people.

use crate::{contract::failure::Failure, thumbnail::ThumbnailError, transport::DeathReason};

/// The kinds of [`Failure`] that this build writes: the last part of their `type`.
pub const FAILURE_KINDS: [&str; 10] = [
    "too-many-pixels",
    "cannot-be-decoded",
    "unsupported-kind",
    "took-too-long",
    "too-much-memory",
    "original-gone",
    "exhausted",
    "killed-its-workers",
    "unreadable",
    "forgotten",
];

pub(super) fn failure_of_picture(error: &ThumbnailError) -> Failure {
    failure_of_kind(error.code(), error.to_string())
}

pub(super) fn failure_of_death(reason: DeathReason) -> Failure {
    let title = match reason {
        DeathReason::Exhausted | DeathReason::Expired => {
            return failure_of_kind(
                "exhausted",
                "It failed again and again, so we stopped. Try again later.",
            );
        }
        DeathReason::KilledItsWorkers => "It crashed our worker every time, so we stopped.",
        DeathReason::Unreadable => "Its job could not be read. Try again.",
    };
    failure_of_kind(reason.name(), title)
}

pub(super) fn failure_of_kind(kind: &str, title: impl Into<String>) -> Failure {
    debug_assert!(FAILURE_KINDS.contains(&kind), "{kind} is listed");
    Failure { kind: format!("/problems/{kind}"), title: title.into() }
}
