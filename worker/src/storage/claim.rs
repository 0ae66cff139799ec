//! Claims: which upload a request with an idempotency key made, so that its repetition makes no second one.
//!
//! A claim is written between original and commit. So an upload that is known has its claim, whenever its server dies;
//! and a claim whose upload is unknown counts as none once its server cannot be about to commit any more.

use std::time::Duration;

use futures::TryStreamExt;
use jiff::Timestamp;
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};

use super::{Storage, StorageError, json::plain_json};
use crate::contract::{fingerprint::Fingerprint, id::UploadId, key::StorageKey};

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
        Self { id, body: body.to_string(), made_at: crate::clock::now() }
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
        self.read_plain(&StorageKey::claim(key)).await
    }

    /// Claims a key. Of all that try at once, on whatever server, one gets it and is answered `None`; the others are
    /// answered its claim.
    ///
    /// # Errors
    /// As [`StorageError`] says, `NotFound` excepted.
    pub async fn try_claim(&self, key: Fingerprint, claim: &Claim) -> Result<Option<Claim>, StorageError> {
        let place = StorageKey::claim(key);
        if self.create(&place, plain_json(claim)).await? {
            return Ok(None);
        }
        match self.claim(key).await? {
            // The reply of the create was lost, and its repetition found the claim.
            Some(stored) if stored.id == claim.id => Ok(None),
            Some(other) => Ok(Some(other)),
            // It was removed in between, or cannot be read.
            None => self.replace_claim(key, claim).await.map(|()| None),
        }
    }

    /// Claims a key whose claim counts no longer.
    ///
    /// # Errors
    /// As [`StorageError`] says.
    pub async fn replace_claim(&self, key: Fingerprint, claim: &Claim) -> Result<(), StorageError> {
        self.replace(&StorageKey::claim(key), plain_json(claim)).await
    }

    /// Gives a key back, because its upload was not accepted in the end.
    ///
    /// # Errors
    /// As [`StorageError`] says, `NotFound` excepted.
    pub async fn remove_claim(&self, key: Fingerprint) -> Result<(), StorageError> {
        self.delete(&StorageKey::claim(key)).await
    }

    /// Removes the claims that were last written before `before`, and answers how many.
    ///
    /// # Errors
    /// As [`StorageError`] says, `NotFound` excepted.
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
        assert_eq!(storage.remove_old_claims(Timestamp::now() - Duration::from_secs(60)).await.unwrap(), 0);
        storage.remove_claim(key).await.unwrap();
        assert_eq!(storage.claim(key).await.unwrap(), None);
    }
}
