//! Entry points for the fuzz targets in `server/fuzz`: the parsers of untrusted input. Compiled by `cargo fuzz` only.

use std::{convert::Infallible, sync::LazyLock};

use axum::{body::Body, http::HeaderValue};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::runtime::{Builder, Runtime};
use worker::UploadId;

use crate::{
    live::protocol::{ClientMessage, ServerMessage},
    uploads::{
        form::{self, PartKind},
        name,
    },
};

/// The size limit of a file, in bytes: larger than any form of a fuzz run.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Built once: building it takes longer than reading a form.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_current_thread().enable_time().build().expect("a runtime without I/O needs nothing")
});

/// Parses a message of a socket, and encodes a snapshot of its ids.
///
/// # Panics
/// When an id is accepted that is not in its canonical form, or an answer is not JSON.
pub fn socket(text: &str) {
    let Ok(message) = serde_json::from_str(text) else { return };
    if let ClientMessage::Subscribe { reference, ids } = message {
        let (known, unknown): (Vec<_>, Vec<_>) =
            ids.into_iter().partition(|id| id.parse::<UploadId>().is_ok());
        for id in known {
            assert_eq!(id.parse::<UploadId>().expect("parsed before").to_string(), id);
        }
        let answer = ServerMessage::Snapshot { reference, uploads: &[], unknown: &unknown }.encode();
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("an answer is JSON");
        let listed = answer["unknown"].as_array().expect("a snapshot lists unknown ids");
        assert!(listed.iter().eq(&unknown));
    }
}

/// The parts of a form up to the first error.
#[derive(Debug, PartialEq, Eq)]
struct ParsedForm {
    /// Complete parts: the stored file name, if the part is a file, and the bytes.
    read: Vec<(Option<String>, Vec<u8>)>,
    is_complete: bool,
}

/// Reads a form in pieces of the given size, and in one piece, and cleans the same bytes as a file name.
///
/// # Panics
/// When a name cannot be stored or sent, or when the result depends on the pieces.
pub fn form(boundary: &str, body: &[u8], piece: usize) {
    let (whole, in_pieces) = RUNTIME.block_on(async {
        (read(boundary, body, usize::MAX).await, read(boundary, body, piece.max(1)).await)
    });
    assert_eq!(whole, in_pieces, "the result depends on the pieces");
    whole.read.iter().filter_map(|(name, _)| name.as_ref()).for_each(|name| assert_sendable(name));
    // Names also come from paths, with any bytes.
    let text = String::from_utf8_lossy(body);
    assert_sendable(&name::clean(&text));
    assert_sendable(&name::clean_of_form(&text));
}

/// Asserts that a name can be stored and sent.
fn assert_sendable(name: &str) {
    assert!(!name.is_empty() && name.len() <= 255 && !name.contains(['/', '\\']));
    assert!(!name.chars().any(char::is_control));
    assert_eq!(name::clean(name), name);
    let header = HeaderValue::from_str(&name::as_attachment(name)).expect("a header takes every name");
    assert_eq!(header.to_str().expect("it is ASCII").matches('"').count(), 2);
}

async fn read(boundary: &str, body: &[u8], piece: usize) -> ParsedForm {
    let pieces: Vec<_> = body.chunks(piece).map(Bytes::copy_from_slice).map(Ok::<_, Infallible>).collect();
    let body = Body::from_stream(stream::iter(pieces));
    let mut parts = form::Form::new(body, boundary.to_owned(), MAX_FILE_BYTES);
    let mut read = Vec::new();
    loop {
        let mut part = match parts.next().await {
            Ok(Some(part)) => part,
            ended => return ParsedForm { read, is_complete: ended.is_ok() },
        };
        let name = match part.kind().await {
            Ok(PartKind::File(name)) => Some(name),
            Ok(PartKind::Field(_)) => None,
            Err(_) => return ParsedForm { read, is_complete: false },
        };
        let Ok(pieces) = part.by_ref().try_collect::<Vec<_>>().await else {
            return ParsedForm { read, is_complete: false };
        };
        read.push((name, pieces.concat()));
    }
}
