//! The reasons of failed uploads, for people.

use crate::{contract::failure::Failure, thumbnail::ThumbnailError, transport::DeathReason};

/// The kinds of [`Failure`] that this build writes: the last part of their `type`.
pub const FAILURE_KINDS: [&str; 9] = [
    "too-many-pixels",
    "cannot-be-decoded",
    "took-too-long",
    "too-much-memory",
    "original-gone",
    "exhausted",
    "killed-its-workers",
    "unreadable",
    "forgotten",
];

pub(super) fn failure(error: &ThumbnailError) -> Failure {
    because(error.code(), error.to_string())
}

pub(super) fn death(reason: DeathReason) -> Failure {
    let title = match reason {
        DeathReason::Exhausted | DeathReason::Expired => {
            return because("exhausted", "It failed again and again, so we stopped. Try again later.");
        }
        DeathReason::KilledItsWorkers => "It crashed our worker every time, so we stopped.",
        DeathReason::Unreadable => "Its job could not be read. Try again.",
    };
    because(reason.name(), title)
}

pub(super) fn because(kind: &str, title: impl Into<String>) -> Failure {
    debug_assert!(FAILURE_KINDS.contains(&kind), "{kind} is listed");
    Failure { kind: format!("/problems/{kind}"), title: title.into() }
}
