//! One picture on its way in: sniff, limit, stream to storage, commit.
//!
//! The order is the promise: original, then the claim on its idempotency key if it has one, then the pending entry, which
//! is the commit, then the outbox, then the answer.

use std::{
    io::{self, BufReader, Cursor, Read, Seek, SeekFrom},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::{Instrument, info, info_span};
use worker::{
    FileDigest, Fingerprint, Format, Storage, Upload, UploadId, UploadRecord, clock,
    failpoint::hit,
    probe::{self, Header, ProbeError, Sniff},
};

use super::{
    body::BodyError,
    idempotency::{FileKey, Made, SETTLES_WITHIN},
};
use crate::{app::App, problem::Problem, quota::Permit, request::Context};

/// What is kept of the beginning of a picture, in bytes: the headers of most pictures are in it, and are judged
/// before anything is stored. Of the others the header is read back from storage.
const HEAD_BYTES: usize = 256 * 1024;

/// How much a read of a stored header takes at once, in bytes.
const HEADER_READ_BYTES: usize = 16 * 1024;

/// How long an upload may take from its stored original to its commit. Past it, the original is looked at again before
/// the answer: the audit may have taken it for an orphan.
const COMMIT_WITHIN: Duration = Duration::from_secs(20);

/// Why a picture was not taken in.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// For this reason; what follows in the body is of no interest.
    Problem(Problem),
    /// Its body ended early; nothing follows.
    Body(BodyError),
    /// The form around it is broken; nothing follows.
    Form(multer::Error),
    /// Its request was evicted for that of another client; nothing more is read.
    Evicted,
}

impl<P: Into<Problem>> From<P> for Refusal {
    fn from(problem: P) -> Self {
        Self::Problem(problem.into())
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<multer::Error> for Refusal {
    fn from(error: multer::Error) -> Self {
        Self::Form(error)
    }
}

/// What is said of a picture beside its bytes.
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) bulk: bool,
    pub(crate) key: Option<FileKey>,
    /// Of its request.
    pub(crate) context: Context,
}

/// Takes one picture in. Nothing is left behind of one that is refused, or whose client leaves.
pub(crate) async fn take<S, E>(
    app: &Arc<App>,
    mut declared: Declared,
    bytes: &mut S,
    permit: &Permit,
) -> Result<Upload, Refusal>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    Refusal: From<E>,
{
    let mut bytes = Evictable { bytes, permit };
    if let Some(key) = &declared.key
        && let Some(made) = key.made(app).await?
    {
        return repeat(app, made, &declared.name, &mut bytes).await;
    }
    let mut first = BytesMut::new();
    while first.len() < probe::SNIFF_BYTES
        && let Some(piece) = bytes.next().await?
    {
        first.extend_from_slice(&piece);
    }
    let mut head = Head::new(judge(&first)?);
    let limit = app.config.max_upload_bytes;
    let id = UploadId::new();
    let mut original = app.storage.write_original(id);
    let mut digest = declared.key.is_some().then(|| FileDigest::new(&declared.name));
    let mut next = Some(first.freeze());
    while let Some(piece) = next {
        if original.written() + piece.len() as u64 > limit {
            return Err(Problem::too_large(limit).into());
        }
        head.take_in(&piece, app)?;
        if let Some(digest) = &mut digest {
            digest.add(&piece);
        }
        original.write(piece).await?;
        next = bytes.next().await?;
    }
    let (format, bytes) = (head.format, original.written());
    let header = head.finish(app)?;
    let app = Arc::clone(app);
    let span = info_span!("accept", %id);
    // On a task of its own: a client that leaves now does not leave half an upload behind.
    let tracker = app.in_flight.clone();
    let accepted = tracker.spawn(
        async move {
            declared.context.timing.of("store", original.finish()).await?;
            let stored = Instant::now();
            hit("after-original", &declared.name).await;
            let claiming = declared.key.take().zip(digest.map(FileDigest::finish));
            let taken = accept(&app, id, declared, Probed { format, bytes, header, stored }, claiming).await;
            if taken.as_ref().map_or(true, |upload| upload.id != id) {
                // Should this fail, an orphan stays, which the audit removes.
                let _ = app.storage.remove_original(id).await;
            }
            taken
        }
        .instrument(span),
    );
    accepted.await.map_err(|_panic| Problem::internal())?.map_err(Refusal::Problem)
}

/// A stored original, and what is known of it.
struct Probed {
    format: Format,
    bytes: u64,
    header: Option<Header>,
    /// When it was stored.
    stored: Instant,
}

/// Commits a stored original; answers the upload, or that of another request with the same key.
async fn accept(
    app: &App,
    id: UploadId,
    declared: Declared,
    probed: Probed,
    claiming: Option<(FileKey, Fingerprint)>,
) -> Result<Upload, Problem> {
    let Probed { format, bytes, header, stored } = probed;
    let header = match header {
        Some(header) => header,
        None => check(probe_stored(&app.storage, id, bytes, format).await?, app)?,
    };
    let claimed = Instant::now();
    if let Some((key, file)) = &claiming {
        if let Some(made) = key.claim(app, id, *file).await? {
            return made.of(*file);
        }
        hit("after-claim", &declared.name).await;
    }
    let record = UploadRecord {
        id,
        generation: 1,
        name: declared.name,
        bytes,
        format,
        width: header.width,
        height: header.height,
        frames: header.frames,
        created_at: clock::now(),
        traceparent: Some(declared.context.trace.to_string()),
        bulk: declared.bulk,
    };
    let commit = async {
        // The id is new, so an entry that is there already is this one: a reply was lost.
        app.storage.create_pending(&record).await?;
        hit("after-record", &record.name).await;
        if let Some((key, file)) = &claiming
            && claimed.elapsed() >= SETTLES_WITHIN
            && let Some(made) = key.lost_to(app, id).await?
        {
            return made.of(*file).map(Some);
        }
        if stored.elapsed() >= COMMIT_WITHIN && !app.storage.has_original(id).await? {
            return Err(Problem::unavailable());
        }
        app.outbox.post(&record).await?;
        hit("after-commit", &record.name).await;
        Ok(None)
    };
    match declared.context.timing.of("commit", commit).await {
        Ok(None) => {}
        taken => {
            // Nobody is told of this upload, so it must not be made. Should this fail, it ends unseen.
            let _ = app.storage.remove_pending(record.job()).await;
            if let (Err(_), Some((key, _))) = (&taken, &claiming) {
                key.give_back(app, id).await;
            }
            return taken.and_then(|other| other.ok_or_else(Problem::internal));
        }
    }
    info!(name = ?record.name, %format, bytes, "accepted");
    Ok(Upload::queued(&record, &app.links))
}

/// A body that ends when its request is evicted. Once it is read to its end nothing evicts the upload any more.
struct Evictable<'body, S> {
    bytes: &'body mut S,
    permit: &'body Permit,
}

impl<S, E> Evictable<'_, S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    Refusal: From<E>,
{
    async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        tokio::select! {
            biased;
            piece = self.bytes.next() => Ok(piece.transpose()?),
            () = self.permit.evicted() => Err(Refusal::Evicted),
        }
    }
}

/// Reads a repeated file to see that it is the same, and stores nothing.
async fn repeat<S, E>(
    app: &App,
    made: Made,
    name: &str,
    bytes: &mut Evictable<'_, S>,
) -> Result<Upload, Refusal>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    Refusal: From<E>,
{
    let mut digest = FileDigest::new(name);
    let mut received = 0;
    while let Some(piece) = bytes.next().await? {
        received += piece.len() as u64;
        if received > app.config.max_upload_bytes {
            return Err(Problem::key_reused().into());
        }
        digest.add(&piece);
    }
    // Should its server have died before it posted the job, the sweeper does.
    Ok(made.of(digest.finish())?)
}

/// The beginning of a picture, and what its header says.
struct Head {
    format: Format,
    /// At most [`HEAD_BYTES`]; empty once judged.
    window: BytesMut,
    judged: bool,
    header: Option<Header>,
}

impl Head {
    fn new(format: Format) -> Self {
        Self { format, window: BytesMut::new(), judged: false, header: None }
    }

    /// Keeps the beginning, and judges it once it is long enough. That a header is not whole by then says nothing.
    fn take_in(&mut self, piece: &Bytes, app: &App) -> Result<(), Problem> {
        if self.judged {
            return Ok(());
        }
        let room = HEAD_BYTES - self.window.len();
        self.window.extend_from_slice(&piece[..piece.len().min(room)]);
        if self.window.len() == HEAD_BYTES {
            self.judged = true;
            let window = std::mem::take(&mut self.window);
            if let Ok(header) = probe::probe(Cursor::new(&window), self.format) {
                self.header = Some(check(header, app)?);
            }
        }
        Ok(())
    }

    /// What is known at the end: nothing, if the header lies further back than was kept.
    fn finish(self, app: &App) -> Result<Option<Header>, Problem> {
        if self.judged {
            return Ok(self.header);
        }
        let header = probe::probe(Cursor::new(&self.window), self.format).map_err(probe_problem)?;
        check(header, app).map(Some)
    }
}

fn judge(head: &[u8]) -> Result<Format, Problem> {
    match probe::sniff(head) {
        Sniff::Format(format) => Ok(format),
        Sniff::Other(what) => Err(Problem::unsupported(Some(what))),
        Sniff::Unknown => Err(Problem::unsupported(None)),
        Sniff::Empty => Err(Problem::empty()),
    }
}

fn check(header: Header, app: &App) -> Result<Header, Problem> {
    let limit = app.config.pixels.max_pixels;
    match header.check(limit) {
        Ok(()) => Ok(header),
        Err(error) => Err(Problem::too_many_pixels(error.to_string(), limit)),
    }
}

fn probe_problem(error: ProbeError) -> Problem {
    match error {
        ProbeError::Damaged(_) | ProbeError::TooManyParts => Problem::damaged(),
        ProbeError::Io(error) => {
            tracing::error!(%error, "could not read a stored header");
            Problem::internal()
        }
    }
}

async fn probe_stored(
    storage: &Storage,
    id: UploadId,
    bytes: u64,
    format: Format,
) -> Result<Header, Problem> {
    let reader = StoredReader { storage: storage.clone(), runtime: Handle::current(), id, bytes, at: 0 };
    let reader = BufReader::with_capacity(HEADER_READ_BYTES, reader);
    let probed = tokio::task::spawn_blocking(move || probe::probe(reader, format)).await;
    probed.map_err(|_panic| Problem::damaged())?.map_err(probe_problem)
}

/// A stored original as something to read and seek in. Blocks.
struct StoredReader {
    storage: Storage,
    runtime: Handle,
    id: UploadId,
    bytes: u64,
    at: u64,
}

impl Read for StoredReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.bytes.min(self.at.saturating_add(buffer.len() as u64));
        if self.at >= end {
            return Ok(0);
        }
        let read = self.runtime.block_on(self.storage.original_range(self.id, self.at..end));
        let read = read.map_err(io::Error::other)?;
        buffer[..read.len()].copy_from_slice(&read);
        self.at += read.len() as u64;
        Ok(read.len())
    }
}

impl Seek for StoredReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(offset) => self.bytes.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests;
