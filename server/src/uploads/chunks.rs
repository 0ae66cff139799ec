//! A body in chunks of memory that is reserved before the body is read on.
//!
//! Pieces of a body are copied into chunks: a client may send one byte at a time, and each of its pieces would keep a whole
//! buffer of its connection alive.

use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, StreamExt};

use super::incoming::Refusal;
use crate::{
    memory::{Account, Reserved},
    quota::Permit,
};

/// A chunk, in bytes: a read of a connection, and small enough that thousands of slow uploads fit in the budget.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;

/// A body as it comes in, for one upload.
pub(crate) struct Chunks<'body, S> {
    body: &'body mut S,
    permit: &'body Permit,
    account: Account,
    /// The rest of a piece that did not fit in the last chunk.
    rest: Bytes,
}

/// Bytes in memory, and the reservation of that memory.
#[derive(Default)]
pub(crate) struct Chunk {
    bytes: BytesMut,
    reserved: Vec<Reserved>,
}

impl Chunk {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn into_parts(self) -> (Bytes, Vec<Reserved>) {
        (self.bytes.freeze(), self.reserved)
    }
}

impl<'body, S, E> Chunks<'body, S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    Refusal: From<E>,
{
    pub(crate) fn new(body: &'body mut S, permit: &'body Permit, account: Account) -> Self {
        Self { body, permit, account, rest: Bytes::new() }
    }

    /// Fills a chunk up to a length in bytes. Answers whether the body goes on after it.
    pub(crate) async fn fill(&mut self, chunk: &mut Chunk, length: usize) -> Result<bool, Refusal> {
        while chunk.bytes.len() < length {
            let room = chunk.reserved.len() * CHUNK_BYTES - chunk.bytes.len();
            if room == 0 {
                let reserved = tokio::select! {
                    biased;
                    reserved = self.account.reserve(CHUNK_BYTES) => reserved?,
                    () = self.permit.evicted() => return Err(Refusal::Evicted),
                };
                chunk.reserved.push(reserved);
                chunk.bytes.reserve(CHUNK_BYTES);
                continue;
            }
            if self.rest.is_empty() {
                match self.next().await? {
                    Some(piece) => self.rest = piece,
                    None => return Ok(false),
                }
            }
            let fits = self.rest.len().min(room).min(length - chunk.bytes.len());
            chunk.bytes.extend_from_slice(&self.rest[..fits]);
            self.rest.advance(fits);
        }
        Ok(true)
    }

    /// The next piece; an error once the upload is evicted. A body that was read to its end is evicted no more.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        tokio::select! {
            biased;
            piece = self.body.next() => Ok(piece.transpose()?),
            () = self.permit.evicted() => Err(Refusal::Evicted),
        }
    }
}
