//! Claims map an idempotency key to its upload, so that a repeated request creates no second upload.
//!
//! A claim is written between original and commit. So every committed upload has its claim, even if the server dies. A
//! claim without an upload is void once its server can no longer commit.

use std::time::Duration;

use futures::TryStreamExt;
use jiff::Timestamp;
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};

use super::{Storage, StorageError, json::plain_json};
use crate::contract::{fingerprint::Fingerprint, id::UploadId, key::StorageKey};

/// The use of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The upload that it made.
    pub id: UploadId,
    /// The fingerprint of the request.
    body: String,
    /// When.
    pub made_at: Timestamp,
}

impl Claim {
    /// A claim made now.
    #[must_use]
    pub fn new(id: UploadId, body: Fingerprint) -> Self {
        Self { id, body: body.to_string(), made_at: crate::clock::now() }
    }

    /// Whether the request was the same.
    #[must_use]
    pub fn is_for(&self, body: Fingerprint) -> bool {
        self.body == body.to_string()
    }

    /// The age of the claim; zero if the other server's clock is ahead.
    #[must_use]
    pub fn age(&self) -> Duration {
        Timestamp::now().duration_since(self.made_at).try_into().unwrap_or(Duration::ZERO)
    }
}

impl Storage {
    /// The claim on a key; `None` if there is none.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub async fn claim(&self, key: Fingerprint) -> Result<Option<Claim>, StorageError> {
        self.read_plain(&StorageKey::claim(key)).await
    }

    /// Claims a key. Exactly one of several concurrent calls gets it, on any server, and receives `None`; the others
    /// receive its claim.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub async fn try_claim(&self, key: Fingerprint, claim: &Claim) -> Result<Option<Claim>, StorageError> {
        let place = StorageKey::claim(key);
        if self.create(&place, plain_json(claim)).await? {
            return Ok(None);
        }
        match self.claim(key).await? {
            // The response of the create was lost, and its retry found the claim.
            Some(stored) if stored.id == claim.id => Ok(None),
            Some(other) => Ok(Some(other)),
            // It was removed in between, or cannot be read.
            None => self.replace_claim(key, claim).await.map(|()| None),
        }
    }

    /// Replaces a void claim.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn replace_claim(&self, key: Fingerprint, claim: &Claim) -> Result<(), StorageError> {
        self.replace(&StorageKey::claim(key), plain_json(claim)).await
    }

    /// Releases a key, because its upload was not accepted.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub async fn remove_claim(&self, key: Fingerprint) -> Result<(), StorageError> {
        self.delete(&StorageKey::claim(key)).await
    }

    /// Removes the claims that were last written before `before`. Returns their number.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub async fn remove_old_claims(&self, before: Timestamp) -> Result<usize, StorageError> {
        let prefix = StorageKey::claims();
        let mut claims = self.store.list(Some(&prefix));
        let mut removed = 0;
        while let Some(claim) =
            claims.try_next().await.map_err(|source| StorageError::sort("list", &prefix, source))?
        {
            if claim.last_modified.timestamp() < before.as_second() {
                self.delete_path(&claim.location).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StorageUrl;

    #[tokio::test]
    async fn exactly_one_of_many_concurrent_claims_gets_the_key() {
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
        assert_eq!(storage.remove_old_claims(Timestamp::now() - Duration::from_secs(60)).await.unwrap(), 0);
        storage.remove_claim(key).await.unwrap();
        assert_eq!(storage.claim(key).await.unwrap(), None);
    }
}
