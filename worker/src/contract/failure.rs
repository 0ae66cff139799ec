//! The stored form of a failed upload, and the reason that clients receive.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::UploadRecord;

/// Why an upload failed: the RFC 9457 members that travel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// A path under `/problems/` that names the kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// The reason in plain words, for people.
    pub title: String,
}

/// The kinds of failures that a retry would repeat: the picture is at fault.
const FINAL: [&str; 6] = [
    "cannot-be-decoded",
    "unsupported-kind",
    "took-too-long",
    "too-much-memory",
    "too-many-pixels",
    "original-gone",
];

impl Failure {
    /// Whether a retry would fail as well.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.kind.rsplit('/').next().is_some_and(|kind| FINAL.contains(&kind))
    }
}

/// `failure.<gen>.json`: one generation failed. Created once per generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadFailure {
    /// The record of the generation that failed.
    pub record: UploadRecord,
    /// When the failure was stored.
    pub ended_at: Timestamp,
    /// The reason.
    pub problem: Failure,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_that_a_retry_repeats_are_those_of_the_protocol() {
        let protocol = include_str!("../../../server/PROTOCOL.md");
        let rows = protocol.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" | no |"));
        let kinds: Vec<_> = rows.filter_map(|row| row.split_once('`')).map(|(kind, _)| kind).collect();
        assert_eq!(kinds, FINAL);
        let failure = |kind: &str| Failure { kind: kind.to_owned(), title: String::new() };
        assert!(
            failure("/up/problems/original-gone").is_final() && !failure("/problems/exhausted").is_final()
        );
    }
}
