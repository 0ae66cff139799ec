//! The only place that builds a path in storage.

use std::fmt;

use object_store::path::Path;

use super::Fingerprint;
use crate::{Size, UploadId};

/// The directory of all uploads.
const UPLOADS: &str = "uploads";

/// The directory of all claims.
pub(super) const CLAIMS: &str = "claims";

/// Where one part of one upload lies. Made from typed parts only, so no text of a stranger reaches a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageKey(Path);

/// What a listed path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Original,
    Record,
    Outcome,
    Other,
}

impl StorageKey {
    /// The bytes as received.
    #[must_use]
    pub fn original(id: UploadId) -> Self {
        Self::of(id, "original")
    }

    /// What the server knew when it accepted the upload.
    #[must_use]
    pub fn record(id: UploadId) -> Self {
        Self::of(id, "upload.json")
    }

    /// One thumbnail.
    #[must_use]
    pub fn thumbnail(id: UploadId, size: Size) -> Self {
        Self::of(id, size.name())
    }

    /// How the upload ended.
    #[must_use]
    pub fn outcome(id: UploadId) -> Self {
        Self::of(id, "outcome.json")
    }

    /// Who holds an idempotency key.
    pub(super) fn claim(key: Fingerprint) -> Self {
        Self(Path::from_iter([CLAIMS, &format!("{key}.json")]))
    }

    /// An object that a health check writes and deletes.
    pub(super) fn probe(id: UploadId) -> Self {
        Self(Path::from_iter(["probes", &id.to_string()]))
    }

    /// Every part of an upload in the order in which they are removed.
    pub(super) fn all(id: UploadId) -> impl Iterator<Item = Self> {
        let first = [Self::record(id), Self::outcome(id)];
        let thumbnails = Size::ALL.into_iter().map(move |size| Self::thumbnail(id, size));
        first.into_iter().chain(thumbnails).chain([Self::original(id)])
    }

    /// The prefix of all uploads.
    pub(super) fn uploads() -> Path {
        Path::from(UPLOADS)
    }

    /// The prefix of all claims.
    pub(super) fn claims() -> Path {
        Path::from(CLAIMS)
    }

    /// A path that sorts before every part of this upload and after every part of an earlier one.
    pub(super) fn before(id: UploadId) -> Path {
        Path::from_iter([UPLOADS, &id.to_string()])
    }

    /// Which part of which upload a listed path is; `None` for what is no upload's.
    pub(super) fn parse(path: &Path) -> Option<(UploadId, Part)> {
        let mut parts = path.parts();
        let (uploads, id, name) = (parts.next()?, parts.next()?, parts.next()?);
        if uploads.as_ref() != UPLOADS || parts.next().is_some() {
            return None;
        }
        let part = match name.as_ref() {
            "original" => Part::Original,
            "upload.json" => Part::Record,
            "outcome.json" => Part::Outcome,
            _ => Part::Other,
        };
        Some((id.as_ref().parse().ok()?, part))
    }

    pub(super) const fn path(&self) -> &Path {
        &self.0
    }

    fn of(id: UploadId, name: &str) -> Self {
        Self(Path::from_iter([UPLOADS, &id.to_string(), name]))
    }
}

impl fmt::Display for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_an_upload_parses_back_to_it() {
        let id = UploadId::new();
        for key in StorageKey::all(id) {
            assert_eq!(StorageKey::parse(key.path()).unwrap().0, id);
            assert!(*key.path() > StorageKey::before(id));
        }
        assert_eq!(StorageKey::parse(StorageKey::record(id).path()).unwrap().1, Part::Record);
        assert_eq!(StorageKey::parse(&Path::from("uploads/x/original")), None);
        assert_eq!(StorageKey::parse(StorageKey::probe(id).path()), None);
    }
}
