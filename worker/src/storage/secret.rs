//! The secrets of delete tokens, which all servers on one storage share.
//!
//! The greatest number is the newest. Each is created once, so of two servers that start at the same time both use the
//! secret of the one that was faster.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use futures::TryStreamExt;
use jiff::Timestamp;
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};

use super::{
    Storage, StorageError,
    json::{Read, parse, to_json},
};
use crate::{clock, contract::key::StorageKey};

/// Bytes of a secret: as many as SHA-256 has.
pub const SECRET_BYTES: usize = 32;

/// Secrets that are kept. A token is refused after as many rotations as this, so a monthly rotation keeps tokens valid
/// for three months at least.
pub const KEPT_SECRETS: usize = 4;

/// One secret.
#[derive(Clone, PartialEq, Eq)]
pub struct DeleteSecret {
    /// Its number, from 1.
    pub number: u32,
    /// Its bytes.
    pub bytes: [u8; SECRET_BYTES],
    /// When it was made.
    pub made_at: Timestamp,
}

impl fmt::Debug for DeleteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeleteSecret").field("number", &self.number).finish_non_exhaustive()
    }
}

/// `secrets/delete.<n>.json`.
#[derive(Serialize, Deserialize)]
struct StoredSecret {
    /// Base64.
    secret: String,
    made_at: Timestamp,
}

/// Why the secrets are not available.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// A secret is stored and cannot be read. Its tokens would be refused, so nothing is guessed.
    #[error(
        "could not read the secret {key}: {reason}. Restore it from a backup; or remove it, which makes its delete tokens \
         invalid"
    )]
    Unreadable {
        /// The key in storage.
        key: StorageKey,
        /// The cause.
        reason: String,
    },
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Storage {
    /// The secrets, oldest first. Creates the first one if there is none.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub async fn delete_secrets(&self) -> Result<Vec<DeleteSecret>, SecretError> {
        let secrets = self.read_delete_secrets().await?;
        if !secrets.is_empty() {
            return Ok(secrets);
        }
        self.create_delete_secret(1).await?;
        self.read_delete_secrets().await
    }

    /// Creates a secret for new tokens, and removes all but the newest [`KEPT_SECRETS`]. Returns its number.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub async fn rotate_delete_secret(&self) -> Result<u32, SecretError> {
        loop {
            let numbers = self.delete_secret_numbers().await?;
            let next = numbers.last().map_or(1, |last| last.saturating_add(1));
            if !self.create_delete_secret(next).await? {
                // Another rotation was faster; this one comes after it.
                continue;
            }
            let kept_of_older = KEPT_SECRETS - 1;
            for number in &numbers[..numbers.len().saturating_sub(kept_of_older)] {
                self.delete(&StorageKey::delete_secret(*number)).await?;
            }
            return Ok(next);
        }
    }

    async fn create_delete_secret(&self, number: u32) -> Result<bool, StorageError> {
        let secret = BASE64_STANDARD.encode(rand::random::<[u8; SECRET_BYTES]>());
        let stored = to_json(&StoredSecret { secret, made_at: clock::now() });
        self.create(&StorageKey::delete_secret(number), stored).await
    }

    async fn read_delete_secrets(&self) -> Result<Vec<DeleteSecret>, SecretError> {
        let mut secrets = Vec::new();
        for number in self.delete_secret_numbers().await? {
            let key = StorageKey::delete_secret(number);
            match self.read_json(&key).await? {
                // A rotation removed it after the listing.
                Read::Absent => {}
                Read::Unreadable => {
                    return Err(SecretError::Unreadable {
                        key,
                        reason: "it is too long, or a directory".to_owned(),
                    });
                }
                Read::Fact(bytes) => match parse_secret(number, &bytes) {
                    Ok(secret) => secrets.push(secret),
                    Err(reason) => return Err(SecretError::Unreadable { key, reason }),
                },
            }
        }
        Ok(secrets)
    }

    async fn delete_secret_numbers(&self) -> Result<Vec<u32>, StorageError> {
        let prefix = StorageKey::secrets();
        let listed = self.store.list(Some(&prefix)).try_collect::<Vec<_>>().await;
        let listed = listed.map_err(|source| StorageError::sort("list", &prefix, source))?;
        let mut numbers: Vec<_> =
            listed.iter().filter_map(|object| StorageKey::parse_delete_secret(&object.location)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }
}

fn parse_secret(number: u32, bytes: &[u8]) -> Result<DeleteSecret, String> {
    let StoredSecret { secret, made_at } = parse(bytes)?;
    let bytes = BASE64_STANDARD.decode(secret).map_err(|error| error.to_string())?;
    let bytes = bytes.try_into().map_err(|_| format!("it has not {SECRET_BYTES} bytes"))?;
    Ok(DeleteSecret { number, bytes, made_at })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::{ObjectStoreExt, memory::InMemory};

    use super::*;

    fn memory() -> (Arc<InMemory>, Storage) {
        let store = Arc::new(InMemory::new());
        (store.clone(), Storage::over(store))
    }

    #[tokio::test]
    async fn servers_that_start_at_once_share_one_secret() {
        let (_, storage) = memory();
        let starts = (0..10).map(|_| storage.delete_secrets());
        let found: Vec<_> = futures::future::join_all(starts).await.into_iter().map(Result::unwrap).collect();
        assert!(found.iter().all(|secrets| secrets.len() == 1 && secrets == &found[0]));
    }

    #[tokio::test]
    async fn a_rotation_keeps_the_newest_four() {
        let (_, storage) = memory();
        let first = storage.delete_secrets().await.unwrap();
        for number in 2..=6 {
            assert_eq!(storage.rotate_delete_secret().await.unwrap(), number);
        }
        let numbers: Vec<_> =
            storage.delete_secrets().await.unwrap().iter().map(|secret| secret.number).collect();
        assert_eq!(numbers, [3, 4, 5, 6]);
        assert!(storage.delete_secrets().await.unwrap().iter().all(|secret| secret.bytes != first[0].bytes));
    }

    #[tokio::test]
    async fn rotations_at_once_each_make_a_secret() {
        let (_, storage) = memory();
        let rotations = (0..3).map(|_| storage.rotate_delete_secret());
        let mut numbers: Vec<_> =
            futures::future::join_all(rotations).await.into_iter().map(Result::unwrap).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2, 3]);
    }

    #[test]
    fn the_golden_secret_decodes() {
        let secret = parse_secret(1, include_bytes!("../../golden/delete-secret.v2.json")).unwrap();
        assert_eq!(secret.bytes, std::array::from_fn(|at| u8::try_from(at).unwrap()));
        assert_eq!(format!("{secret:?}"), "DeleteSecret { number: 1, .. }");
    }

    #[tokio::test]
    async fn an_unreadable_secret_is_named_and_not_replaced() {
        let (store, storage) = memory();
        storage.delete_secrets().await.unwrap();
        let key = StorageKey::delete_secret(1);
        for damaged in ["", "{", r#"{"v":3}"#, r#"{"v":2,"secret":"AAA=","made_at":"2026-11-24T06:00:00Z"}"#]
        {
            store.put(key.path(), damaged.into()).await.unwrap();
            let error = storage.delete_secrets().await.unwrap_err().to_string();
            assert!(error.contains("secrets/delete.1.json"), "{error}");
        }
    }
}
