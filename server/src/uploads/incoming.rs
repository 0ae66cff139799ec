//! One picture on its way in: sniff, limit, stream to storage, commit.
//!
//! The order is the promise: original, then the claim on its idempotency key if it has one, then the pending entry, which
//! is the commit, then the outbox, then the answer.

use std::{
    io::{self, BufReader, Cursor, Read, Seek, SeekFrom},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::Stream;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, info, info_span};
use worker::{
    FileDigest, Fingerprint, Format, Storage, Upload, UploadId, UploadRecord, clock,
    failpoint::hit,
    probe::{self, Header, ProbeError, Sniff},
    storage::StorageError,
};

use super::{
    body::BodyError,
    chunks::{CHUNK_BYTES, Chunk, Chunks},
    idempotency::{FileKey, Made, SETTLES_WITHIN},
};
use crate::{app::App, problem::Problem, quota::Permit, request::Context};

/// What is kept of the beginning of a picture, in bytes: the headers of most pictures are in it, and are judged
/// before anything is stored. Of the others the header is read back from storage.
const HEAD_BYTES: usize = 256 * 1024;

/// How much a read of a stored header takes at once, in bytes.
const HEADER_READ_BYTES: usize = 16 * 1024;

/// Reads of storage for one header, and the time for all of them. A header of a real picture takes two or three.
const MAX_HEADER_READS: u32 = 64;
const STORED_HEADER_WITHIN: Duration = Duration::from_secs(10);

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
    let account = app.memory.open(permit.client(), permit.eviction());
    let mut chunks = Chunks::new(bytes, permit, account);
    if let Some(key) = &declared.key
        && let Some(made) = key.made(app).await?
    {
        return repeat(app, made, &declared.name, &mut chunks).await;
    }
    let limit = app.config.max_upload_bytes;
    let mut chunk = Chunk::default();
    let mut goes_on = chunks.fill(&mut chunk, probe::SNIFF_BYTES).await?;
    let format = judge(chunk.bytes())?;
    if goes_on {
        // One byte more than the limit tells that the picture is too large.
        let most = usize::try_from(limit).map_or(HEAD_BYTES, |limit| HEAD_BYTES.min(limit + 1));
        goes_on = chunks.fill(&mut chunk, most.max(probe::SNIFF_BYTES)).await?;
    }
    if chunk.bytes().len() as u64 > limit {
        return Err(Problem::too_large(limit).into());
    }
    let header = header_in(chunk.bytes(), format, !goes_on, app)?;
    let id = UploadId::new();
    let mut original = app.storage.write_original(id);
    let mut digest = declared.key.is_some().then(|| FileDigest::new(&declared.name));
    loop {
        let (piece, reserved) = chunk.into_parts();
        if original.written() + piece.len() as u64 > limit {
            return Err(Problem::too_large(limit).into());
        }
        if let Some(digest) = &mut digest {
            digest.add(&piece);
        }
        original.write(piece, Box::new(reserved)).await?;
        if !goes_on {
            break;
        }
        chunk = Chunk::default();
        goes_on = chunks.fill(&mut chunk, CHUNK_BYTES).await?;
    }
    let bytes = original.written();
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
        None => check(probe_stored(app, id, bytes, format).await?, app)?,
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

/// Reads a repeated file to see that it is the same, and stores nothing.
async fn repeat<S, E>(app: &App, made: Made, name: &str, bytes: &mut Chunks<'_, S>) -> Result<Upload, Refusal>
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

/// The header that the beginning of a picture holds; `None` if it lies further back. A picture that is whole must have it.
fn header_in(beginning: &[u8], format: Format, is_whole: bool, app: &App) -> Result<Option<Header>, Problem> {
    match probe::probe(Cursor::new(beginning), format) {
        Ok(header) => check(header, app).map(Some),
        Err(error) if is_whole => Err(probe_problem(error)),
        Err(_) => Ok(None),
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
        ProbeError::Io(error) => match error.downcast::<StorageError>() {
            Ok(error) => error.into(),
            Err(error) => {
                tracing::error!(%error, "could not read a stored header");
                Problem::internal()
            }
        },
    }
}

/// Reads a header that lies further back from storage, in bounded time and with bounded reads.
async fn probe_stored(app: &App, id: UploadId, bytes: u64, format: Format) -> Result<Header, Problem> {
    let deadline = Instant::now() + STORED_HEADER_WITHIN;
    let permit = timeout_at(deadline, app.header_probes.acquire()).await.map_err(|_| Problem::busy())?;
    let reader = StoredReader {
        storage: app.storage.clone(),
        runtime: Handle::current(),
        id,
        bytes,
        at: 0,
        reads: 0,
        deadline,
    };
    let reader = BufReader::with_capacity(HEADER_READ_BYTES, reader);
    let probed = tokio::task::spawn_blocking(move || probe::probe(reader, format)).await;
    drop(permit);
    match probed.map_err(|_panic| Problem::damaged())? {
        Err(ProbeError::Io(error)) if error.kind() == io::ErrorKind::TimedOut => Err(Problem::unavailable()),
        Err(ProbeError::Io(error)) if error.kind() == io::ErrorKind::QuotaExceeded => Err(Problem::damaged()),
        probed => probed.map_err(probe_problem),
    }
}

/// A stored original as something to read and seek in. Blocks.
struct StoredReader {
    storage: Storage,
    runtime: Handle,
    id: UploadId,
    bytes: u64,
    at: u64,
    reads: u32,
    deadline: Instant,
}

impl Read for StoredReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.bytes.min(self.at.saturating_add(buffer.len() as u64));
        if self.at >= end {
            return Ok(0);
        }
        if self.reads == MAX_HEADER_READS {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.reads += 1;
        let read = timeout_at(self.deadline, self.storage.original_range(self.id, self.at..end));
        let read = self.runtime.block_on(read).map_err(|_| io::ErrorKind::TimedOut)?;
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
