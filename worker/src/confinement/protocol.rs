//! The protocol of worker and decoder: a length, JSON of that length, then as many bytes as the JSON announces. Both
//! sides are the same executable, so the protocol may change with any version.

use std::{
    io::{self, Read, Write},
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::status::SandboxStatus;
use crate::{Encoding, Format, Warning, thumbnail::ThumbnailError};

/// The longest JSON that is read, in bytes.
pub(super) const MAX_JSON_BYTES: u32 = 16 * 1024;

/// The first message of a decoder.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ready {
    pub(super) status: SandboxStatus,
}

/// A job. The original follows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DecodeRequest {
    pub(super) format: Format,
    /// As on a command line.
    pub(super) sizes: String,
    /// As on a command line.
    pub(super) webp: String,
    pub(super) max_pixels: u64,
    pub(super) timeout: Duration,
    pub(super) original_bytes: u64,
}

/// The outcome of a job.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum DecodeReply {
    /// The three files follow, smallest first, each with its WebP behind it. `took`: decoding, scaling and encoding.
    Made {
        width: u32,
        height: u32,
        thumbhash: Vec<u8>,
        warnings: Vec<Warning>,
        files: [FileHeader; 3],
        took: [Duration; 3],
    },
    /// Nothing follows.
    Failed(ThumbnailError),
}

/// The header of a thumbnail, before its bytes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct FileHeader {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) encoding: Encoding,
    pub(super) bytes: u64,
    /// The size of the same thumbnail as WebP, if there is one.
    pub(super) webp_bytes: Option<u64>,
}

/// A length and JSON.
pub(super) fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = u32::try_from(bytes.len() - 4).ok().filter(|length| *length <= MAX_JSON_BYTES);
    let length = length.ok_or_else(|| io::Error::other("a message is too long"))?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// Reads a message; `None` at the end of the pipe.
pub(super) fn read<T: DeserializeOwned>(reader: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match reader.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u32::from_le_bytes(length);
    if length > MAX_JSON_BYTES {
        return Err(io::Error::other("a message is too long"));
    }
    let mut json = vec![0; length as usize];
    reader.read_exact(&mut json)?;
    Ok(Some(serde_json::from_slice(&json)?))
}

/// Writes a message and the files after it.
pub(super) fn write(writer: &mut impl Write, message: &impl Serialize, files: &[&[u8]]) -> io::Result<()> {
    writer.write_all(&encode(message)?)?;
    files.iter().try_for_each(|file| writer.write_all(file))?;
    writer.flush()
}
