//! Rebuilds the record of an upload from its original when the stored one is unreadable.

use std::io::Cursor;

use jiff::Timestamp;

use super::{Storage, StorageError};
use crate::{
    contract::{
        format::Format,
        record::{JobName, UploadRecord},
    },
    probe::{self, Sniff},
};

/// The name of an upload whose record is lost.
const NAME: &str = "picture";

/// The record of an upload, from its original and its id. `None` if there is no original.
pub(super) async fn record(storage: &Storage, job: JobName) -> Result<Option<UploadRecord>, StorageError> {
    let original = match storage.original(job.id).await {
        Ok(original) => original,
        Err(StorageError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let format = match probe::sniff(&original) {
        Sniff::Format(format) => format,
        _ => Format::Unknown,
    };
    // With an unreadable header the job fails, so the upload still ends.
    let header = probe::probe(Cursor::new(&original), format).ok();
    let sides = header.as_ref().map_or((1, 1), |header| (header.width, header.height));
    let accepted = i64::try_from(job.id.unix_ms()).unwrap_or(0);
    Ok(Some(UploadRecord {
        id: job.id,
        generation: job.generation,
        name: NAME.to_owned(),
        bytes: original.len() as u64,
        format,
        width: sides.0,
        height: sides.1,
        frames: header.and_then(|header| header.frames),
        created_at: Timestamp::from_millisecond(accepted).unwrap_or(Timestamp::UNIX_EPOCH),
        // The expiry index still holds its time.
        expires_at: None,
        traceparent: None,
        sender: None,
        bulk: false,
    }))
}
