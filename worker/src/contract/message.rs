//! The messages between server and worker, and their wire form: JSON with a version.
//!
//! Messages carry ids and facts, never picture bytes. A reader ignores unknown fields and refuses unknown versions.
//! `golden/` holds the wire form of every version that may still lie in a queue; it must always decode.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    id::UploadId,
    record::{JobName, Lane, UploadRecord, VERSION},
    upload::Upload,
};

/// The longest message that is decoded, in bytes. The longest that is written (a job or a change whose name is all
/// escapes) stays below 16 KiB.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// A request: make the thumbnails of this upload. Its message id is the upload id. The job carries the record, so that
/// a first delivery reads only the original.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResizeJob {
    /// The version of the message: 2 is the only one that is written and read.
    #[schemars(extend("const" = VERSION))]
    pub v: u32,
    /// The upload. A job has no id of its own: doing it twice does no harm.
    pub id: UploadId,
    /// The generation that the job is for.
    #[serde(rename = "gen")]
    pub generation: u32,
    /// The record of the accepted upload.
    pub record: UploadRecord,
    /// Whether the job is posted again because it may be lost. Then the upload may have ended, and a worker looks first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

impl ResizeJob {
    /// The AMQP `type` of the message.
    pub const TYPE: &'static str = "up.resize-job.v2";

    /// The job of a record.
    #[must_use]
    pub const fn new(record: UploadRecord) -> Self {
        Self { v: VERSION, id: record.id, generation: record.generation, record, again: false }
    }

    /// The same job, posted again because it may be lost.
    #[must_use]
    pub fn again(record: UploadRecord) -> Self {
        Self { again: true, ..Self::new(record) }
    }

    /// The name of the job.
    #[must_use]
    pub const fn name(&self) -> JobName {
        JobName { id: self.id, generation: self.generation }
    }

    /// The lane that the job goes by.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        self.record.lane()
    }

    /// The wire form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a job has only string keys and finite numbers")
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// When the bytes are not a job of a known version, or carry the record of another upload or generation.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        check_version(bytes)?;
        let job: Self = serde_json::from_slice(bytes).map_err(WireError::Malformed)?;
        if job.name() == job.record.job() && job.generation > 0 {
            Ok(job)
        } else {
            Err(WireError::ForeignRecord)
        }
    }
}

/// A fact: the state of an upload changed. Carries the whole state, so loss, repetition and reordering are harmless.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Changed {
    /// The version of the message: 2 is the only one that is written and read.
    #[schemars(extend("const" = VERSION))]
    pub v: u32,
    /// The upload in its new state; its links are paths from the root.
    pub upload: Upload,
    /// Whether its job goes by the bulk lane. Servers judge by it how far a lane has come.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bulk: bool,
}

impl Changed {
    /// The AMQP `type` of the message.
    pub const TYPE: &'static str = "up.changed.v2";

    /// The message that reports this state of an upload of a lane.
    #[must_use]
    pub fn new(upload: Upload, lane: Lane) -> Self {
        Self { v: VERSION, upload, bulk: lane == Lane::Bulk }
    }

    /// The lane of its job.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        if self.bulk { Lane::Bulk } else { Lane::Interactive }
    }

    /// The wire form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a change has only string keys and finite numbers")
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// When the bytes are not a change of a known version.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        check_version(bytes)?;
        serde_json::from_slice(bytes).map_err(WireError::Malformed)
    }
}

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Longer than [`MAX_MESSAGE_BYTES`].
    #[error("the message has {0} bytes; the limit is {MAX_MESSAGE_BYTES}")]
    TooLong(usize),
    /// Not JSON, or not of the message's shape.
    #[error("the message is malformed")]
    Malformed(#[source] serde_json::Error),
    /// The version is unknown to this build.
    #[error("the message has version {0}; this build reads version {VERSION}")]
    UnknownVersion(u32),
    /// The record is that of another upload or generation.
    #[error("the record in the message belongs to another upload or generation")]
    ForeignRecord,
}

/// Reads the version before the rest: a future shape is reported as a future version and not as malformed.
fn check_version(bytes: &[u8]) -> Result<(), WireError> {
    #[derive(Deserialize)]
    struct MessageVersion {
        v: u32,
    }
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(WireError::TooLong(bytes.len()));
    }
    let MessageVersion { v } = serde_json::from_slice(bytes).map_err(WireError::Malformed)?;
    if v == VERSION { Ok(()) } else { Err(WireError::UnknownVersion(v)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const JOB: &str = include_str!("../../golden/resize-job.v2.json");

    fn changes() -> [(&'static [u8], Changed); 5] {
        let interactive = |upload| Changed::new(upload, Lane::Interactive);
        [
            (include_bytes!("../../golden/changed-queued.v2.json"), interactive(testing::upload())),
            (
                include_bytes!("../../golden/changed-processing.v2.json"),
                Changed::new(testing::upload().processing(), Lane::Bulk),
            ),
            (include_bytes!("../../golden/changed-ready.v2.json"), interactive(testing::ready_upload())),
            (include_bytes!("../../golden/changed-failed.v2.json"), interactive(testing::failed_upload())),
            (
                include_bytes!("../../golden/changed-gone.v2.json"),
                interactive(Upload::gone(testing::id(), 1)),
            ),
        ]
    }

    fn json(bytes: &[u8]) -> serde_json::Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn every_golden_message_decodes() {
        assert_eq!(ResizeJob::decode(JOB.as_bytes()).unwrap(), ResizeJob::new(testing::record()));
        for (golden, changed) in changes() {
            assert_eq!(Changed::decode(golden).unwrap(), changed);
        }
    }

    #[test]
    fn the_written_form_is_golden() {
        assert_eq!(json(&ResizeJob::new(testing::record()).encode()), json(JOB.as_bytes()));
        for (golden, changed) in changes() {
            assert_eq!(json(&changed.encode()), json(golden));
        }
    }

    #[test]
    fn an_unknown_field_is_ignored_and_an_unknown_version_is_not() {
        let wider = JOB.replacen('{', r#"{"colour":"blue","#, 1);
        assert!(ResizeJob::decode(wider.as_bytes()).is_ok());
        for other in [1, 3] {
            let of_other = JOB.replace(r#""v": 2"#, &format!(r#""v": {other}"#));
            assert!(
                matches!(ResizeJob::decode(of_other.as_bytes()), Err(WireError::UnknownVersion(v)) if v == other)
            );
        }
        let newer = br#"{"v":3,"something":"else"}"#;
        assert!(matches!(ResizeJob::decode(newer), Err(WireError::UnknownVersion(3))));
        assert!(matches!(Changed::decode(newer), Err(WireError::UnknownVersion(3))));
    }

    #[test]
    fn a_format_of_a_newer_build_is_read_as_unknown() {
        let newer = JOB.replace(r#""jpeg""#, r#""jxl""#);
        let job = ResizeJob::decode(newer.as_bytes()).unwrap();
        assert_eq!(job.record.format, crate::Format::Unknown);
    }

    #[test]
    fn hostile_bytes_are_refused_by_name() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let foreign = JOB.replacen("0199f3c2", "0199f3c3", 1);
        let generation = JOB.replacen(r#""gen": 1"#, r#""gen": 2"#, 1);
        for (bytes, malformed) in [
            ("", true),
            ("\u{fffd}", true),
            (deep.as_str(), true),
            (r#"{"v":2,"id":"../../etc/passwd","gen":1}"#, true),
            (foreign.as_str(), false),
            (generation.as_str(), false),
        ] {
            match ResizeJob::decode(bytes.as_bytes()) {
                Err(WireError::Malformed(_)) => assert!(malformed, "{bytes}"),
                Err(WireError::ForeignRecord) => assert!(!malformed, "{bytes}"),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(ResizeJob::decode(b"\xff\xfe"), Err(WireError::Malformed(_))));
        let long = vec![b' '; MAX_MESSAGE_BYTES + 1];
        assert!(matches!(ResizeJob::decode(&long), Err(WireError::TooLong(_))));
    }
}
