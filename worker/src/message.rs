//! The messages between server and worker, and their wire form: JSON with a version.
//!
//! Ids and facts travel, never picture bytes. A reader ignores fields that it does not know and refuses versions that
//! it does not know. `golden/` holds the wire form of every version that may still lie in a queue; it must always
//! decode.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Format, StorageKey, Upload, UploadId};

/// The version that this build writes, and the only one that it reads.
pub const MESSAGE_VERSION: u32 = 1;

/// The longest message that is decoded, in bytes. The longest that is written (a completion whose name is all
/// escapes) stays below 16 KiB; what is far over that is nobody's message.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// A request: make the thumbnails of this upload. Travels on the queue `resize`; its message id is the upload id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResizeJob {
    /// The version of the message: the only one that is written and read, 1.
    #[schemars(extend("const" = MESSAGE_VERSION))]
    pub v: u32,
    /// Which upload. A job has no id of its own: doing it twice does no harm.
    pub id: UploadId,
    /// Where the original is: always the key that follows from the id.
    pub original: String,
    /// What the bytes are.
    pub format: Format,
}

impl ResizeJob {
    /// The job of an upload.
    #[must_use]
    pub fn new(id: UploadId, format: Format) -> Self {
        Self { v: MESSAGE_VERSION, id, original: StorageKey::original(id).to_string(), format }
    }

    /// The wire form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a job has only string keys and finite numbers")
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// When the bytes are no job of a version that is known here, or name a key that is not the upload's own.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        check_version(bytes)?;
        let job: Self = serde_json::from_slice(bytes).map_err(WireError::Malformed)?;
        if job.original != StorageKey::original(job.id).to_string() {
            return Err(WireError::ForeignKey);
        }
        Ok(job)
    }
}

/// A fact: a worker has begun with this upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Started {
    /// The version of the message: the only one that is written and read, 1.
    #[schemars(extend("const" = MESSAGE_VERSION))]
    pub v: u32,
    /// Which upload.
    pub id: UploadId,
}

/// A fact: this upload has ended. Carries the whole state again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Completion {
    /// The version of the message: the only one that is written and read, 1.
    #[schemars(extend("const" = MESSAGE_VERSION))]
    pub v: u32,
    /// Which upload.
    pub id: UploadId,
    /// How it stands now; its links are paths from the root.
    pub upload: Upload,
}

/// What travels over the reply exchange `up.done`.
#[derive(Debug, Clone, PartialEq)]
pub enum Announcement {
    /// A worker has begun.
    Started(Started),
    /// It has ended.
    Completion(Box<Completion>),
}

impl Announcement {
    /// A worker has begun with this upload.
    #[must_use]
    pub const fn started(id: UploadId) -> Self {
        Self::Started(Started { v: MESSAGE_VERSION, id })
    }

    /// This upload has ended.
    #[must_use]
    pub fn completion(upload: Upload) -> Self {
        Self::Completion(Box::new(Completion { v: MESSAGE_VERSION, id: upload.id, upload }))
    }

    /// Which upload it speaks of.
    #[must_use]
    pub fn id(&self) -> UploadId {
        match self {
            Announcement::Started(started) => started.id,
            Announcement::Completion(completion) => completion.id,
        }
    }

    /// The wire form: the message itself. A completion is told from a `Started` by its `upload`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Announcement::Started(started) => serde_json::to_vec(started),
            Announcement::Completion(completion) => serde_json::to_vec(completion),
        }
        .expect("an announcement has only string keys and finite numbers")
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// When the bytes are no announcement of a version that is known here, or speak of two uploads at once.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        #[derive(Deserialize)]
        struct Either {
            v: u32,
            id: UploadId,
            upload: Option<Upload>,
        }
        check_version(bytes)?;
        let Either { v, id, upload } = serde_json::from_slice(bytes).map_err(WireError::Malformed)?;
        match upload {
            None => Ok(Self::Started(Started { v, id })),
            Some(upload) if upload.id == id => Ok(Self::Completion(Box::new(Completion { v, id, upload }))),
            Some(_) => Err(WireError::ForeignKey),
        }
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
    /// From a newer build than this one.
    #[error("the message has version {0}; this build reads version {MESSAGE_VERSION}")]
    UnknownVersion(u32),
    /// The parts of the message speak of different uploads.
    #[error("the message names something that is not its upload's own")]
    ForeignKey,
}

/// The version is read before the rest: a future shape must be called a future version and not malformed.
fn check_version(bytes: &[u8]) -> Result<(), WireError> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u32,
    }
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(WireError::TooLong(bytes.len()));
    }
    let Versioned { v } = serde_json::from_slice(bytes).map_err(WireError::Malformed)?;
    if v == MESSAGE_VERSION { Ok(()) } else { Err(WireError::UnknownVersion(v)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn every_golden_job_decodes() {
        let job = ResizeJob::decode(include_bytes!("../golden/resize-job.v1.json")).unwrap();
        assert_eq!(job, ResizeJob::new(testing::id(), Format::Jpeg));
    }

    #[test]
    fn every_golden_announcement_decodes() {
        let started = Announcement::decode(include_bytes!("../golden/started.v1.json")).unwrap();
        assert_eq!(started, Announcement::started(testing::id()));
        for (golden, upload) in [
            (&include_bytes!("../golden/completion-ready.v1.json")[..], testing::ready_upload()),
            (include_bytes!("../golden/completion-failed.v1.json"), testing::failed_upload()),
        ] {
            assert_eq!(Announcement::decode(golden).unwrap(), Announcement::completion(upload));
        }
    }

    #[test]
    fn what_is_written_today_is_golden() {
        let golden = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
        let job = ResizeJob::new(testing::id(), Format::Jpeg).encode();
        assert_eq!(golden(&job), golden(include_bytes!("../golden/resize-job.v1.json")));
        let ready = Announcement::completion(testing::ready_upload()).encode();
        assert_eq!(golden(&ready), golden(include_bytes!("../golden/completion-ready.v1.json")));
    }

    #[test]
    fn a_field_from_the_future_is_ignored_and_a_version_from_the_future_is_not() {
        let golden = include_str!("../golden/resize-job.v1.json");
        let wider = golden.replacen('{', r#"{"colour":"blue","#, 1);
        assert!(ResizeJob::decode(wider.as_bytes()).is_ok());
        let later = golden.replace(r#""v": 1"#, r#""v": 2"#);
        assert!(matches!(ResizeJob::decode(later.as_bytes()), Err(WireError::UnknownVersion(2))));
        assert!(matches!(
            ResizeJob::decode(br#"{"v":2,"something":"else"}"#),
            Err(WireError::UnknownVersion(2))
        ));
    }

    #[test]
    fn hostile_bytes_are_refused_by_name() {
        let id = testing::id();
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let foreign = format!(r#"{{"v":1,"id":"{id}","original":"uploads/../secret","format":"jpeg"}}"#);
        for (bytes, malformed) in [
            (&b""[..], true),
            (b"\xff\xfe", true),
            (deep.as_bytes(), true),
            (br#"{"v":1,"id":"../../etc/passwd","original":"x","format":"jpeg"}"#, true),
            (foreign.as_bytes(), false),
        ] {
            match ResizeJob::decode(bytes) {
                Err(WireError::Malformed(_)) => assert!(malformed),
                Err(WireError::ForeignKey) => assert!(!malformed),
                other => panic!("{other:?}"),
            }
        }
        let long = vec![b' '; MAX_MESSAGE_BYTES + 1];
        assert!(matches!(ResizeJob::decode(&long), Err(WireError::TooLong(_))));
    }
}
