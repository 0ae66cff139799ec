//! Makes the record of an upload again from its original, where the stored one cannot be read.

use std::io::Cursor;

use jiff::Timestamp;

use super::{Storage, StorageError};
use crate::{
    contract::record::{JobName, UploadRecord},
    probe::{self, Sniff},
};

/// The name of an upload whose record is lost.
const NAME: &str = "picture";

/// The record of an upload, as far as its original and its id tell. `None` if there is no original, or it is not a
/// picture that is taken.
pub(super) async fn record(storage: &Storage, job: JobName) -> Result<Option<UploadRecord>, StorageError> {
    let original = match storage.original(job.id).await {
        Ok(original) => original,
        Err(StorageError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Sniff::Format(format) = probe::sniff(&original) else { return Ok(None) };
    let Ok(header) = probe::probe(Cursor::new(&original), format) else { return Ok(None) };
    let accepted = i64::try_from(job.id.unix_ms()).unwrap_or(0);
    Ok(Some(UploadRecord {
        id: job.id,
        generation: job.generation,
        name: NAME.to_owned(),
        bytes: original.len() as u64,
        format,
        width: header.width,
        height: header.height,
        frames: header.frames,
        created_at: Timestamp::from_millisecond(accepted).unwrap_or(Timestamp::UNIX_EPOCH),
        traceparent: None,
        bulk: false,
    }))
}
