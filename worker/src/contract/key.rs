//! The only place that builds a path in storage.
//!
//! ```text
//! uploads/<shard>/<id>/original                  the bytes as received
//! uploads/<shard>/<id>/<making>/small.jpg …      the thumbnails of one making
//! uploads/<shard>/<id>/<making>/begun.<gen>      a worker began a redelivered job of this generation
//! uploads/<shard>/<id>/result.json               ready
//! uploads/<shard>/<id>/failure.<gen>.json        failed, one per generation
//! pending/<id>                                   generation 1 has not ended
//! pending/<id>.<gen>                             a later generation has not ended
//! gone/<id>                                      deleted; for a day
//! expiry/<hour>/<id>                             to be deleted in that hour, such as 2026-11-24T06 (UTC)
//! claims/<digest>.json                           the upload of an idempotency key
//! secrets/delete.<n>.json                        a secret of delete tokens; the greatest n is the newest
//! tickets/<hour>/<ticket>/<n>                    the n-th use of a ticket that ends in that hour
//! stored/<sender>/<id>.<bytes>                   an upload counts against the stored bytes of its sender
//! audits/<shard>.json                            a closed shard that was audited
//! probes/<id>                                    a health check
//! ```
//!
//! The generation is part of a pending key, so that a worker that finishes generation 1 late cannot remove the entry of
//! generation 2.

use std::{fmt, str::FromStr};

use object_store::path::Path;

use super::{
    encoding::Encoding,
    fingerprint::Fingerprint,
    hour::Hour,
    id::UploadId,
    record::JobName,
    result::Making,
    size::Size,
    ticket::{StoredShare, TicketId},
};

const UPLOADS: &str = "uploads";
const PENDING: &str = "pending";
const GONE: &str = "gone";
const EXPIRY: &str = "expiry";
const SECRETS: &str = "secrets";
const CLAIMS: &str = "claims";
const TICKETS: &str = "tickets";
const STORED: &str = "stored";
const AUDITS: &str = "audits";
const PROBES: &str = "probes";

const ORIGINAL: &str = "original";
const RESULT: &str = "result.json";
const DELETE_SECRET: &str = "delete.";
const FAILURE: &str = "failure.";
const BEGUN: &str = "begun.";
const JSON: &str = ".json";

/// Hexadecimal digits of an id that name its shard: about 4.7 hours of UUID v7 time.
const SHARD_DIGITS: usize = 6;

/// Milliseconds that one shard covers: 24 of the 48 bits of a UUID v7 time are in its name.
const SHARD_MS: u64 = 1 << 24;

/// The directories whose entries are written one by one and may hold staged files of killed writers.
pub(crate) const INDEXES: [&str; 8] = [PENDING, GONE, EXPIRY, CLAIMS, SECRETS, TICKETS, STORED, AUDITS];

/// The path of one object. It is built from typed parts only, so no text of a client reaches a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StorageKey(Path);

/// The uploads whose ids begin with the same six hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u32);

/// The text is not a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a shard (6 lower-case hexadecimal digits)")]
pub struct NotAShard;

impl Shard {
    /// The shard of an upload.
    #[must_use]
    pub const fn of(id: UploadId) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a UUID v7 time has 48 bits, so 24 remain")]
        Self((id.unix_ms() / SHARD_MS) as u32)
    }

    /// When the shard closes, in milliseconds since 1970: no id that is made later belongs to it.
    #[must_use]
    pub(crate) fn closes_at_ms(self) -> u64 {
        (u64::from(self.0) + 1).saturating_mul(SHARD_MS)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0SHARD_DIGITS$x}", self.0)
    }
}

impl FromStr for Shard {
    type Err = NotAShard;

    fn from_str(text: &str) -> Result<Self, NotAShard> {
        let shard = u32::from_str_radix(text, 16).map(Self).map_err(|_| NotAShard)?;
        if text.len() == SHARD_DIGITS && shard.to_string() == text { Ok(shard) } else { Err(NotAShard) }
    }
}

/// A part of an upload, as a listing shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredPart {
    /// The bytes as received.
    Original,
    /// The result.
    Result,
    /// The failure of a generation.
    Failure(u32),
    /// A thumbnail of a making.
    Thumbnail(Making),
    /// Anything else.
    Other,
}

impl StorageKey {
    /// The bytes as received.
    #[must_use]
    pub fn original(id: UploadId) -> Self {
        Self(Self::upload(id).join(ORIGINAL))
    }

    /// The result of an upload.
    #[must_use]
    pub fn result(id: UploadId) -> Self {
        Self(Self::upload(id).join(RESULT))
    }

    /// The failure of one generation.
    #[must_use]
    pub fn failure(job: JobName) -> Self {
        Self(Self::upload(job.id).join(format!("{FAILURE}{}{JSON}", job.generation)))
    }

    /// One thumbnail of one making.
    #[must_use]
    pub fn thumbnail(id: UploadId, making: Making, size: Size, encoding: Encoding) -> Self {
        let name = format!("{size}.{}", encoding.extension());
        Self(Self::upload(id).join(making.to_string()).join(name))
    }

    /// The mark that a worker began a redelivered job. Each has a making of its own, and is removed like one.
    #[must_use]
    pub fn begun(job: JobName, making: Making) -> Self {
        Self(Self::making(job.id, making).join(format!("{BEGUN}{}", job.generation)))
    }

    /// The index entry of a generation that has not ended.
    #[must_use]
    pub fn pending(job: JobName) -> Self {
        let JobName { id, generation } = job;
        let name = if generation <= 1 { id.to_string() } else { format!("{id}.{generation}") };
        Self(Path::from_iter([PENDING, &name]))
    }

    /// The tombstone of a deleted upload.
    #[must_use]
    pub fn gone(id: UploadId) -> Self {
        Self(Path::from_iter([GONE, &id.to_string()]))
    }

    /// The entry of an upload that is deleted by itself in an hour.
    #[must_use]
    pub fn expiry(hour: Hour, id: UploadId) -> Self {
        Self(Self::expiry_hour(hour).join(id.to_string()))
    }

    /// A secret of delete tokens, by its number.
    #[must_use]
    pub fn delete_secret(number: u32) -> Self {
        Self(Self::secrets().join(format!("{DELETE_SECRET}{number}{JSON}")))
    }

    /// The n-th use of a ticket that ends in an hour. Ten digits, so that uses sort by number.
    #[must_use]
    pub fn ticket_use(hour: Hour, ticket: TicketId, number: u32) -> Self {
        Self(Self::ticket(hour, ticket).join(format!("{number:010}")))
    }

    /// The share of an upload in the stored bytes of its sender.
    #[must_use]
    pub fn stored_share(share: StoredShare) -> Self {
        let StoredShare { sender, id, bytes } = share;
        Self(Self::stored_of(sender).join(format!("{id}.{bytes}")))
    }

    /// The claim of an idempotency key.
    #[must_use]
    pub fn claim(key: Fingerprint) -> Self {
        Self(Path::from_iter([CLAIMS, &format!("{key}{JSON}")]))
    }

    /// The mark of an audited shard.
    #[must_use]
    pub fn audit(shard: Shard) -> Self {
        Self(Path::from_iter([AUDITS, &format!("{shard}{JSON}")]))
    }

    /// An object that a health check writes and deletes.
    #[must_use]
    pub fn probe(id: UploadId) -> Self {
        Self(Path::from_iter([PROBES, &id.to_string()]))
    }

    /// The prefix of the objects of health checks.
    pub(crate) fn probes() -> Path {
        Path::from(PROBES)
    }

    /// The prefix of all objects of one upload, without its index entries.
    pub(crate) fn upload(id: UploadId) -> Path {
        Self::shard(Shard::of(id)).join(id.to_string())
    }

    /// The prefix of one making of an upload.
    pub(crate) fn making(id: UploadId, making: Making) -> Path {
        Self::upload(id).join(making.to_string())
    }

    /// The prefix of all uploads of a shard.
    pub(crate) fn shard(shard: Shard) -> Path {
        Path::from_iter([UPLOADS, &shard.to_string()])
    }

    /// The prefix of all shards.
    pub(crate) fn shards() -> Path {
        Path::from(UPLOADS)
    }

    /// The prefix of the index of unended generations.
    pub(crate) fn all_pending() -> Path {
        Path::from(PENDING)
    }

    /// The prefix of all tombstones.
    pub(crate) fn all_gone() -> Path {
        Path::from(GONE)
    }

    /// The prefix of all hours of the expiry index.
    pub(crate) fn all_expiry() -> Path {
        Path::from(EXPIRY)
    }

    /// The prefix of one hour of the expiry index.
    pub(crate) fn expiry_hour(hour: Hour) -> Path {
        Self::all_expiry().join(hour.to_string())
    }

    /// The prefix of all secrets.
    pub(crate) fn secrets() -> Path {
        Path::from(SECRETS)
    }

    /// The prefix of all uses of tickets.
    pub(crate) fn all_tickets() -> Path {
        Path::from(TICKETS)
    }

    /// The prefix of the tickets that end in an hour.
    pub(crate) fn ticket_hour(hour: Hour) -> Path {
        Self::all_tickets().join(hour.to_string())
    }

    /// The prefix of the uses of a ticket.
    pub(crate) fn ticket(hour: Hour, ticket: TicketId) -> Path {
        Self::ticket_hour(hour).join(ticket.to_string())
    }

    /// The prefix of the shares of a sender.
    pub(crate) fn stored_of(sender: TicketId) -> Path {
        Path::from_iter([STORED, &sender.to_string()])
    }

    /// The share that a path is; `None` for anything else.
    pub(crate) fn parse_stored_share(path: &Path) -> Option<StoredShare> {
        let parts: Vec<_> = path.parts().collect();
        let [.., sender, name] = &parts[..] else { return None };
        let (id, bytes) = name.as_ref().split_once('.')?;
        let share = StoredShare {
            sender: sender.as_ref().parse().ok()?,
            id: id.parse().ok()?,
            bytes: bytes.parse().ok()?,
        };
        (Self::stored_share(share).path() == path).then_some(share)
    }

    /// The number of a use of a ticket; `None` for anything else.
    pub(crate) fn parse_ticket_use(path: &Path) -> Option<u32> {
        Self::of_ticket_use(path)?.0.parts().next_back()?.as_ref().parse().ok()
    }

    /// The key of a use of a ticket; `None` for anything else.
    pub(crate) fn of_ticket_use(path: &Path) -> Option<Self> {
        let parts: Vec<_> = path.parts().collect();
        let [.., hour, ticket, number] = &parts[..] else { return None };
        let (hour, ticket) = (hour.as_ref().parse().ok()?, ticket.as_ref().parse().ok()?);
        let key = Self::ticket_use(hour, ticket, number.as_ref().parse().ok()?);
        (key.path() == path).then_some(key)
    }

    /// The hour that a prefix below [`all_expiry`](Self::all_expiry) names.
    pub(crate) fn parse_hour(path: &Path) -> Option<Hour> {
        path.parts().next_back()?.as_ref().parse().ok()
    }

    /// The upload that the last part of a tombstone or of an expiry entry names.
    pub(crate) fn parse_id(path: &Path) -> Option<UploadId> {
        path.parts().next_back()?.as_ref().parse().ok()
    }

    /// The number of a secret of delete tokens; `None` for anything else.
    pub(crate) fn parse_delete_secret(path: &Path) -> Option<u32> {
        let name = path.parts().next_back()?;
        let number = name.as_ref().strip_prefix(DELETE_SECRET)?.strip_suffix(JSON)?.parse().ok()?;
        (Self::delete_secret(number).path() == path).then_some(number)
    }

    /// The prefix of all claims.
    pub(crate) fn claims() -> Path {
        Path::from(CLAIMS)
    }

    /// The prefix of the marks of audited shards.
    pub(crate) fn audits() -> Path {
        Path::from(AUDITS)
    }

    /// The shard that a prefix below [`shards`](Self::shards) or a mark below [`audits`](Self::audits) names.
    pub(crate) fn parse_shard(path: &Path) -> Option<Shard> {
        let last = path.parts().next_back()?;
        last.as_ref().trim_end_matches(JSON).parse().ok()
    }

    /// The job that an entry of the pending index names; `None` for anything else.
    pub(crate) fn parse_pending(path: &Path) -> Option<JobName> {
        let mut parts = path.parts();
        let (pending, name) = (parts.next()?, parts.next()?);
        if pending.as_ref() != PENDING || parts.next().is_some() {
            return None;
        }
        let (id, generation) = match name.as_ref().split_once('.') {
            None => (name.as_ref(), 1),
            Some((id, generation)) => (id, generation.parse().ok()?),
        };
        let job = JobName { id: id.parse().ok()?, generation };
        // Each job has one name: `<id>.1` and `<id>.02` are not names.
        (Self::pending(job).path() == path).then_some(job)
    }

    /// Whether a path is a mark that a worker began this job.
    pub(crate) fn is_begun(path: &Path, job: JobName) -> bool {
        let making = path.parts().nth_back(1).and_then(|making| making.as_ref().parse().ok());
        making.is_some_and(|making| Self::begun(job, making).path() == path)
    }

    /// The upload and the part of it that a listed path is; `None` for any other path.
    pub(crate) fn parse_part(path: &Path) -> Option<(UploadId, StoredPart)> {
        let parts: Vec<_> = path.parts().collect();
        let names: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
        let [UPLOADS, shard, id, rest @ ..] = names.as_slice() else { return None };
        let id: UploadId = id.parse().ok()?;
        if Shard::of(id).to_string() != **shard {
            return None;
        }
        let part = match rest {
            [ORIGINAL] => StoredPart::Original,
            [RESULT] => StoredPart::Result,
            [making, _] => making.parse().map_or(StoredPart::Other, StoredPart::Thumbnail),
            [name] => {
                let generation = name.strip_prefix(FAILURE).and_then(|rest| rest.strip_suffix(JSON));
                generation.and_then(|text| text.parse().ok()).map_or(StoredPart::Other, StoredPart::Failure)
            }
            _ => StoredPart::Other,
        };
        Some((id, part))
    }

    /// The path itself.
    pub(crate) const fn path(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
