//! Claims: which upload a request with an idempotency key made, so that its repetition makes no second one.
//!
//! A claim is written between original and record. So an upload that is known has its claim, whenever its server dies;
//! and a claim whose upload is unknown counts as none once its server cannot be about to write the record any more.

use std::{fmt, time::Duration};

use futures::TryStreamExt;
use jiff::Timestamp;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, path::Path};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Storage, StorageError, StorageKey};
use crate::UploadId;

/// A SHA-256 digest: all that is kept of a key or of a body.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of some parts, each of which counts with its length, so that a shifted boundary is another text.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }
}

/// The fingerprint of a file as it comes in, piece by piece.
#[derive(Clone)]
pub struct FileDigest(Sha256);

impl FileDigest {
    /// Of a file by this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut digest = Sha256::new();
        digest.update((name.len() as u64).to_be_bytes());
        digest.update(name);
        Self(digest)
    }

    /// Takes the next bytes in.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The fingerprint of all of them.
    #[must_use]
    pub fn finish(self) -> Fingerprint {
        Fingerprint(self.0.finalize().into())
    }
}

impl Fingerprint {
    /// The digest itself.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a key was used for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The upload that it made.
    pub id: UploadId,
    /// The fingerprint of what was sent.
    body: String,
    /// When.
    pub made_at: Timestamp,
}

impl Claim {
    /// A claim made now.
    #[must_use]
    pub fn new(id: UploadId, body: Fingerprint) -> Self {
        Self { id, body: body.to_string(), made_at: crate::outcome::now() }
    }

    /// Whether the same was sent.
    #[must_use]
    pub fn is_for(&self, body: Fingerprint) -> bool {
        self.body == body.to_string()
    }

    /// How long ago it was made; zero for one of a clock that is ahead.
    #[must_use]
    pub fn age(&self) -> Duration {
        Timestamp::now().duration_since(self.made_at).try_into().unwrap_or(Duration::ZERO)
    }
}

impl Storage {
    /// The claim on a key; `None` if there is none.
    ///
    /// # Errors
    /// As [`StorageError`] says, `NotFound` excepted.
    pub async fn claim(&self, key: Fingerprint) -> Result<Option<Claim>, StorageError> {
        self.read_json(&StorageKey::claim(key)).await
    }

    /// Claims a key. Of all that try at once, on whatever server, one gets it and is answered `None`; the others are
    /// answered its claim.
    ///
    /// # Errors
    /// As [`StorageError`] says, `NotFound` excepted.
    pub async fn try_claim(&self, key: Fingerprint, claim: &Claim) -> Result<Option<Claim>, StorageError> {
        let place = StorageKey::claim(key);
        // Twice: between the attempt and the look an old claim may have been removed.
        for _ in 0..2 {
            let put =
                self.store.put_opts(place.path(), Self::to_json(claim).into(), PutMode::Create.into()).await;
            match put {
                Ok(_) => return Ok(None),
                Err(StoreError::AlreadyExists { .. }) => {}
                // A store that cannot create: the last of those that claim at the same moment gets the key.
                Err(StoreError::NotImplemented { .. }) => break,
                Err(source) => return Err(StorageError::sort("write", &place, source)),
            }
            if let Some(other) = self.claim(key).await? {
                return Ok(Some(other));
            }
        }
        self.replace_claim(key, claim).await.map(|()| None)
    }

    /// Claims a key whose claim counts no longer.
    ///
    /// # Errors
    /// As [`StorageError`] says.
    pub async fn replace_claim(&self, key: Fingerprint, claim: &Claim) -> Result<(), StorageError> {
        self.put_json(&StorageKey::claim(key), claim).await
    }

    /// Gives a key back, because its upload was not accepted in the end.
    ///
    /// # Errors
    /// As [`StorageError`] says, `NotFound` excepted.
    pub async fn remove_claim(&self, key: Fingerprint) -> Result<(), StorageError> {
        self.delete_claim(StorageKey::claim(key).path()).await
    }

    /// Removes the claims that are older, and answers how many.
    ///
    /// # Errors
    /// As [`StorageError`] says, `NotFound` excepted.
    pub async fn remove_old_claims(&self, age: Duration) -> Result<usize, StorageError> {
        let now = Timestamp::now();
        let mut claims = self.store.list(Some(&StorageKey::claims()));
        let mut removed = 0;
        while let Some(object) = claims.try_next().await.map_err(|source| unavailable("list", source))? {
            if now.as_second() - object.last_modified.timestamp() > age.as_secs().cast_signed() {
                self.delete_claim(&object.location).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    async fn delete_claim(&self, path: &Path) -> Result<(), StorageError> {
        match self.store.delete(path).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(source) => Err(unavailable("delete", source)),
        }
    }
}

fn unavailable(attempted: &'static str, source: StoreError) -> StorageError {
    StorageError::Unavailable { attempted, key: StorageKey::claim(Fingerprint([0; 32])), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StorageUrl;

    #[tokio::test]
    async fn of_many_that_claim_a_key_at_once_one_gets_it() {
        let directory = tempfile::tempdir().unwrap();
        let storage = Storage::open(&StorageUrl::Local(directory.path().to_owned())).unwrap();
        let key = Fingerprint::of([b"key".as_slice()]);
        let claims: Vec<_> =
            (0..20u8).map(|n| Claim::new(UploadId::new(), Fingerprint::of([[n].as_slice()]))).collect();
        let tries = claims.iter().map(|claim| storage.try_claim(key, claim));
        let answers: Vec<_> =
            futures::future::join_all(tries).await.into_iter().map(Result::unwrap).collect();
        let winner = storage.claim(key).await.unwrap().unwrap();
        assert_eq!(answers.iter().filter(|answer| answer.is_none()).count(), 1);
        assert!(answers.iter().flatten().all(|other| *other == winner));
        assert_eq!(storage.remove_old_claims(Duration::from_secs(60)).await.unwrap(), 0);
        storage.remove_claim(key).await.unwrap();
        assert_eq!(storage.claim(key).await.unwrap(), None);
    }

    #[test]
    fn a_fingerprint_knows_where_its_parts_end() {
        let [one, other] = [["ab", "c"], ["a", "bc"]].map(|parts| Fingerprint::of(parts.map(str::as_bytes)));
        assert_ne!(one, other);
    }
}
