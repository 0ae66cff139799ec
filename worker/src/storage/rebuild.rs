//! Makes the record of an upload again from its original, where the stored one cannot be read.

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

/// The record of an upload, as far as its original and its id tell. `None` if there is no original.
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
    // A header that cannot be read makes a job that fails, and so an end.
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
        traceparent: None,
        bulk: false,
    }))
}
