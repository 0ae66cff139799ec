//! Receives one picture: sniff, check limits, stream to storage, commit.
//!
//! The order of writes guarantees that no accepted upload is lost: the original, the claim on its idempotency key if it
//! has one, the expiry entry if it expires, the pending entry, which is the commit, the outbox, and then the answer.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::Stream;
use tokio::time::{Instant, timeout};
use tracing::{Instrument, info, info_span};
use worker::{
    ExpiryEntry, FileDigest, Fingerprint, Format, Hour, Lane, Upload, UploadId, UploadRecord, clock,
    failpoint::hit,
    probe::{self, Header},
};

use super::{
    chunks::{CHUNK_BYTES, Chunk, Chunks},
    header::{check, detect_format, probe_beginning, probe_stored},
    idempotency::{ExistingUpload, FileKey, SETTLES_WITHIN},
    location::{LocationFilter, MAX_BLOCK_BYTES},
    refusal::Refusal,
};
use crate::{
    app::App, problem::Problem, quota::Permit, request::Context, senders::Sender, telemetry, unended::Place,
};

/// The size of a picture's beginning that is held in memory, in bytes. It contains the headers of most pictures, which
/// are checked before anything is stored. Other headers are read back from storage.
const HEAD_BYTES: usize = 256 * 1024;

/// How long an upload may take from its stored original to its commit. After a longer time the original is checked
/// before the answer: the audit may have removed it as an orphan.
const COMMIT_WITHIN: Duration = Duration::from_secs(20);

/// How long an answer waits for the removal of an upload that is not accepted: storage that does not answer has taken
/// the time of its deadline already.
const CLEANED_WITHIN: Duration = Duration::from_secs(1);

/// The properties of a picture that its request declares.
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) bulk: bool,
    /// How long the upload is kept; for ever without it.
    pub(crate) kept_for: Option<Duration>,
    pub(crate) key: Option<FileKey>,
    /// Who sends it, if senders are known.
    pub(crate) sender: Option<Sender>,
    /// The context of the request.
    pub(crate) context: Context,
    /// Bytes of the picture, if the request tells them.
    pub(crate) length: Option<u64>,
}

/// Receives one picture. A refused picture leaves nothing in storage, nor does one whose client disconnects.
pub(crate) async fn receive<S, E>(
    app: &Arc<App>,
    mut declared: Declared,
    bytes: &mut S,
    permit: &Permit,
) -> Result<Upload, Refusal>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    Refusal: From<E>,
{
    let account = app.memory.open(permit.client(), permit.handle().clone());
    let mut chunks = Chunks::new(bytes, permit, account);
    if let Some(key) = &declared.key
        && let Some(existing) = key.existing_upload(app).await?
    {
        return verify_repetition(app, existing, &declared.name, &mut chunks).await;
    }
    if let Some(sender) = &declared.sender {
        let now = clock::now();
        if let Some(limits) = sender.limits(app.config.key_bytes_per_day, now)
            && !app.storage.may_use_ticket(&limits, declared.length.unwrap_or(0)).await?
        {
            return Err(sender.used_up(&limits, now).into());
        }
    }
    let place = app.unended.add(permit.client()).map_err(Problem::from)?;
    let limit = app.config.max_upload_bytes;
    let mut chunk = Chunk::default();
    let mut has_more = chunks.fill(&mut chunk, probe::SNIFF_BYTES).await?;
    let format = detect_format(chunk.bytes(), app)?;
    if has_more {
        // One byte more than the limit shows that the picture is too large.
        let most = usize::try_from(limit).map_or(HEAD_BYTES, |limit| HEAD_BYTES.min(limit + 1));
        has_more = chunks.fill(&mut chunk, most.max(probe::SNIFF_BYTES)).await?;
    }
    if chunk.bytes().len() as u64 > limit {
        return Err(Problem::too_large(limit).into());
    }
    let header = probe_beginning(chunk.bytes(), format, !has_more, app)?;
    let mut filter = if app.config.strip_location { LocationFilter::of(format) } else { None };
    // A block that is held back, and the copy that is passed on with it.
    let _held = if filter.is_some() { Some(chunks.reserve(2 * MAX_BLOCK_BYTES).await?) } else { None };
    let id = UploadId::new();
    let mut original = app.storage.write_original(id);
    let mut received = 0;
    let mut digest = declared.key.is_some().then(|| FileDigest::new(&declared.name));
    loop {
        let (piece, reserved) = chunk.into_parts();
        received += piece.len() as u64;
        if received > limit {
            return Err(Problem::too_large(limit).into());
        }
        if !app.free_space.take(piece.len() as u64).await {
            return Err(Problem::disk_full().into());
        }
        if let Some(digest) = &mut digest {
            digest.add(&piece);
        }
        let piece = match &mut filter {
            Some(filter) => filter.pass(piece),
            None => piece,
        };
        original.write(piece, Box::new(reserved)).await?;
        if !has_more {
            break;
        }
        chunk = Chunk::default();
        has_more = chunks.fill(&mut chunk, CHUNK_BYTES).await?;
    }
    if let Some(filter) = filter {
        original.write(filter.end(), Box::new(())).await?;
    }
    let bytes = original.written();
    let app = Arc::clone(app);
    let span = info_span!("accept", %id);
    // A separate task completes the upload even if the client disconnects now.
    let tracker = app.in_flight.clone();
    let accepted = tracker.spawn(
        async move {
            declared.context.timing.of("store", original.finish()).await?;
            let stored = Instant::now();
            hit("after-original", &declared.name).await;
            let claiming = declared.key.take().zip(digest.map(FileDigest::finish));
            let accepted =
                accept(&app, id, declared, Probed { format, bytes, header, stored }, claiming, place).await;
            if accepted.as_ref().map_or(true, |upload| upload.id != id) {
                let storage = app.storage.clone();
                // If this fails, the audit removes the orphan.
                clean_up(&app, async move { drop(storage.remove_original(id).await) }).await;
            }
            accepted
        }
        .instrument(span),
    );
    accepted.await.map_err(|_panic| Problem::internal())?.map_err(Refusal::Problem)
}

/// The properties of a stored original.
struct Probed {
    format: Format,
    bytes: u64,
    header: Option<Header>,
    /// The time at which it was stored.
    stored: Instant,
}

/// Commits a stored original. Returns its upload, or the one of another request with the same key.
async fn accept(
    app: &Arc<App>,
    id: UploadId,
    declared: Declared,
    probed: Probed,
    claiming: Option<(FileKey, Fingerprint)>,
    mut place: Place,
) -> Result<Upload, Problem> {
    let Probed { format, bytes, header, stored } = probed;
    let header = match header {
        Some(header) => header,
        None => check(probe_stored(app, id, bytes, format).await?, app)?,
    };
    let claimed = Instant::now();
    if let Some((key, file)) = &claiming {
        if let Some(existing) = key.claim(app, id, *file).await? {
            return existing.for_file(*file);
        }
        hit("after-claim", &declared.name).await;
    }
    let created_at = clock::now();
    let asks_for_bulk = declared.bulk || declared.sender.as_ref().is_some_and(Sender::asks_for_bulk);
    let record = UploadRecord {
        id,
        generation: 1,
        name: declared.name,
        bytes,
        format: header.format,
        width: header.width,
        height: header.height,
        frames: header.frames,
        created_at,
        expires_at: declared.kept_for.and_then(|kept_for| created_at.checked_add(kept_for).ok()),
        traceparent: Some(declared.context.trace.to_string()),
        bulk: place.lane(asks_for_bulk) == Lane::Bulk,
        sender: declared.sender.as_ref().map(Sender::name),
    };
    let share = declared.sender.as_ref().and_then(|sender| sender.share(id, bytes));
    // What must be given back if the upload is not accepted: also if the reply to its creation is lost.
    let (mut kept, mut used) = (None, None);
    let commit = async {
        if let (Some(share), Some(limit)) = (share, app.config.key_stored_bytes) {
            kept = Some(share);
            if !app.storage.claim_share(share, limit).await? {
                kept = None;
                return Err(Problem::room_used_up(limit));
            }
        }
        // The use is lost if the process dies before the commit.
        if let Some(sender) = &declared.sender
            && let Some(limits) = sender.limits(app.config.key_bytes_per_day, created_at)
        {
            used = Some(limits);
            if !app.storage.use_ticket(&limits, id, bytes).await? {
                used = None;
                return Err(sender.used_up(&limits, created_at));
            }
        }
        if let Some(expires_at) = record.expires_at {
            app.storage.create_expiry(&ExpiryEntry { id, expires_at }).await?;
            hit("after-expiry", &record.name).await;
        }
        // The id is new, so an existing entry is this one: storage wrote it and its reply was lost.
        app.storage.create_pending(&record).await?;
        hit("after-record", &record.name).await;
        if let Some((key, file)) = &claiming
            && claimed.elapsed() >= SETTLES_WITHIN
            && let Some(existing) = key.new_owner(app, id).await?
        {
            return existing.for_file(*file).map(Some);
        }
        if stored.elapsed() >= COMMIT_WITHIN && !app.storage.has_original(id).await? {
            return Err(Problem::unavailable());
        }
        app.outbox.post(&record, place.tag()).await?;
        hit("after-commit", &record.name).await;
        Ok(None)
    };
    match declared.context.timing.of("commit", commit).await {
        Ok(None) => place.keep(record.job()),
        outcome => {
            let (server, job, expires_at) = (Arc::clone(app), record.job(), record.expires_at);
            let key = claiming.filter(|_| outcome.is_err()).map(|(key, _)| key);
            // No client receives this upload's id, so its job is removed. If this fails, a worker
            // processes it, and no client sees the result.
            let giving_back = async move {
                let _ = server.storage.remove_pending(job).await;
                if let Some(expires_at) = expires_at {
                    let _ = server.storage.remove_expiry(Hour::of(expires_at), id).await;
                }
                if let Some(limits) = used {
                    let _ = server.storage.give_back_ticket(&limits, id).await;
                }
                if let Some(share) = kept {
                    let _ = server.storage.remove_share(share).await;
                }
                if let Some(key) = key {
                    key.release(&server, id).await;
                }
            };
            clean_up(app, giving_back).await;
            return outcome.and_then(|other| other.ok_or_else(Problem::internal));
        }
    }
    if let Some(sender) = &declared.sender {
        telemetry::sent(sender.label(), bytes);
    }
    info!(name = record.name, %format, bytes, sender = record.sender, "accepted");
    Ok(Upload::queued(&record, &app.links))
}

/// Removes what was stored of an upload that is not accepted. A drain waits for the end; the answer waits a little, so
/// that a repeated request mostly finds nothing.
async fn clean_up(app: &App, removal: impl Future<Output = ()> + Send + 'static) {
    let _ = timeout(CLEANED_WITHIN, app.in_flight.spawn(removal)).await;
}

/// Reads a repeated file and checks that it is the same. Stores nothing.
async fn verify_repetition<S, E>(
    app: &App,
    existing: ExistingUpload,
    name: &str,
    bytes: &mut Chunks<'_, S>,
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
    // If the first server died before it posted the job, the sweeper posts it.
    Ok(existing.for_file(digest.finish())?)
}

#[cfg(test)]
mod tests;
