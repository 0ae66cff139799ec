//! A body in chunks. The memory of a chunk is reserved before the body is read further.
//!
//! Pieces of a body are copied into chunks. Otherwise each piece of a client that sends one byte at a time would keep a
//! whole buffer of its connection alive.

use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, StreamExt};

use super::refusal::Refusal;
use crate::{
    memory::{Account, Reserved},
    quota::Permit,
};

/// The size of a chunk, in bytes: one read of a connection, and small enough that the memory budget holds thousands of
/// slow uploads.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;

/// The body of one upload as it arrives.
pub(crate) struct Chunks<'body, S> {
    body: &'body mut S,
    permit: &'body Permit,
    account: Account,
    /// The rest of a piece that did not fit into the last chunk.
    rest: Bytes,
    /// Bytes that came since the wait for the client began. Before the first wait, as many as end one.
    arrived: usize,
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
        Self { body, permit, account, rest: Bytes::new(), arrived: CHUNK_BYTES }
    }

    /// Fills a chunk up to a length in bytes. Returns whether the body may have more bytes.
    pub(crate) async fn fill(&mut self, chunk: &mut Chunk, length: usize) -> Result<bool, Refusal> {
        self.wait_anew();
        let filled = self.read_into(chunk, length).await;
        // What follows waits for storage.
        self.permit.handle().end_wait();
        filled
    }

    async fn read_into(&mut self, chunk: &mut Chunk, length: usize) -> Result<bool, Refusal> {
        while chunk.bytes.len() < length {
            let room = chunk.reserved.len() * CHUNK_BYTES - chunk.bytes.len();
            if room == 0 {
                chunk.reserved.push(self.reserve(CHUNK_BYTES).await?);
                chunk.bytes.reserve(CHUNK_BYTES);
                self.wait_anew();
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

    /// From now on the upload waits for the next [`CHUNK_BYTES`] of its client.
    fn wait_anew(&mut self) {
        self.arrived = 0;
        self.permit.handle().wait_for_client();
    }

    /// Reserves memory for as many bytes beside the chunks.
    pub(crate) async fn reserve(&mut self, bytes: usize) -> Result<Reserved, Refusal> {
        self.permit.handle().end_wait();
        tokio::select! {
            biased;
            reserved = self.account.reserve(bytes) => Ok(reserved?),
            () = self.permit.evicted() => Err(Refusal::Evicted),
        }
    }

    /// The next piece, or an error if the upload was evicted. A body that was read to its end can no longer be evicted.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        if self.arrived >= CHUNK_BYTES {
            self.wait_anew();
        }
        let piece = tokio::select! {
            biased;
            piece = self.body.next() => piece.transpose()?,
            () = self.permit.evicted() => return Err(Refusal::Evicted),
        };
        self.arrived += piece.as_ref().map_or(0, Bytes::len);
        Ok(piece)
    }
}
