//! The stored bytes of a sender. They are counted in storage, so servers share nothing else.
//!
//! A share is created before the shares of its sender are listed, so of two uploads that race for the last room each
//! sees the other.
//!
//! A listing gives this process an allowance, a sixteenth of the room that is left; until that is used up, or a minute
//! has passed, nothing is listed. By so much other servers may pass the limit when they fill a sender's room within the
//! same minute.

use std::{
    collections::HashMap,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::ObjectStore;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Storage, StorageError};
use crate::{
    clock,
    contract::{
        key::StorageKey,
        ticket::{StoredShare, TicketId},
    },
};

/// The part of the room left that a process may fill before it lists again.
const ALLOWED_PART: u64 = 16;

/// How long an allowance lasts: other servers store as well.
const ALLOWED_FOR: Duration = Duration::from_secs(60);

/// Senders whose allowance is remembered, about 100 bytes each.
const MAX_REMEMBERED: usize = 1000;

/// The age from which a share without an original counts as lost: a killed server did not finish its upload. As in the
/// audit, it is far longer than an upload may take.
const LOST_AFTER_MS: u64 = 24 * 60 * 60 * 1000;

/// How long the search for lost shares of a sender is not repeated: it asks for every original.
const SEARCHED_EVERY: Duration = Duration::from_secs(60 * 60);

/// Originals that are asked for at once.
const SEARCHED_AT_ONCE: usize = 16;

/// What a sender may store before its shares are listed again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    bytes: u64,
    until: Instant,
    searched: Option<Instant>,
}

impl Storage {
    /// Claims room for an upload among the stored bytes of its sender. Returns whether there was any. If the upload is
    /// not accepted in the end, or this fails, [`remove_share`](Self::remove_share) gives the room back.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn claim_share(&self, share: StoredShare, limit: u64) -> Result<bool, StorageError> {
        let now = Instant::now();
        self.create(&StorageKey::stored_share(share), Bytes::new()).await?;
        if self.take_allowance(share, now) {
            return Ok(true);
        }
        let total = self.stored_bytes(share.sender).await?;
        if total > limit {
            self.remove_share(share).await?;
            if self.may_search(share.sender, now) {
                let storage = self.clone();
                // The request does not wait for it: it asks for every original of the sender.
                tokio::spawn(async move { storage.search_lost_shares(share.sender).await });
            }
            return Ok(false);
        }
        let bytes = (limit - total) / ALLOWED_PART;
        self.allow(share.sender, |allowance| (allowance.bytes, allowance.until) = (bytes, now + ALLOWED_FOR));
        Ok(true)
    }

    /// Removes the share of an upload.
    ///
    /// # Errors
    /// See [`StorageError`]; never `NotFound`.
    pub async fn remove_share(&self, share: StoredShare) -> Result<(), StorageError> {
        self.delete(&StorageKey::stored_share(share)).await
    }

    /// The bytes of all shares of a sender. Costs one request for each thousand shares.
    async fn stored_bytes(&self, sender: TicketId) -> Result<u64, StorageError> {
        let add = async |total: u64, share: StoredShare| Ok(total.saturating_add(share.bytes));
        self.list_shares(sender).try_fold(0, add).await
    }

    fn list_shares(&self, sender: TicketId) -> BoxStream<'static, Result<StoredShare, StorageError>> {
        let prefix = StorageKey::stored_of(sender);
        let entries = self.store.list(Some(&prefix));
        entries
            .map_err(move |source| StorageError::sort("list", &prefix, source))
            .try_filter_map(async |entry| Ok(StorageKey::parse_stored_share(&entry.location)))
            .boxed()
    }

    async fn search_lost_shares(&self, sender: TicketId) {
        match self.remove_lost_shares(sender).await {
            Ok(0) => {}
            Ok(bytes) => info!(bytes, "shares of uploads that do not exist are removed"),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                warn!(error, "could not look for lost shares of a key; the next refusal looks again");
                self.allow(sender, |allowance| allowance.searched = None);
            }
        }
    }

    /// Removes the shares whose upload was never accepted, or was deleted. Returns their bytes.
    async fn remove_lost_shares(&self, sender: TicketId) -> Result<u64, StorageError> {
        let now = u64::try_from(clock::now().as_millisecond()).unwrap_or(0);
        let lost = self
            .list_shares(sender)
            .try_filter(|share| std::future::ready(share.id.unix_ms() + LOST_AFTER_MS < now))
            .map_ok(async |share| {
                if self.has_original(share.id).await? {
                    return Ok(0);
                }
                self.remove_share(share).await?;
                Ok(share.bytes)
            });
        lost.try_buffer_unordered(SEARCHED_AT_ONCE).try_fold(0, async |sum, bytes| Ok(sum + bytes)).await
    }

    fn take_allowance(&self, share: StoredShare, now: Instant) -> bool {
        self.allow(share.sender, |allowance| {
            let left = allowance.bytes.checked_sub(share.bytes).filter(|_| now < allowance.until);
            allowance.bytes = left.unwrap_or(allowance.bytes);
            left.is_some()
        })
    }

    fn may_search(&self, sender: TicketId, now: Instant) -> bool {
        self.allow(sender, |allowance| {
            let may = allowance.searched.is_none_or(|searched| now >= searched + SEARCHED_EVERY);
            if may {
                allowance.searched = Some(now);
            }
            may
        })
    }

    fn allow<T>(&self, sender: TicketId, change: impl FnOnce(&mut Allowance) -> T) -> T {
        let mut allowances: MutexGuard<'_, HashMap<TicketId, Allowance>> =
            // No code that can panic runs under the lock.
            self.allowances.lock().unwrap_or_else(PoisonError::into_inner);
        if allowances.len() >= MAX_REMEMBERED && !allowances.contains_key(&sender) {
            allowances.clear();
        }
        let none = || Allowance { bytes: 0, until: Instant::now(), searched: None };
        change(allowances.entry(sender).or_insert_with(none))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::future::join_all;
    use object_store::memory::InMemory;

    use super::*;
    use crate::contract::id::UploadId;

    const LIMIT: u64 = 1000;

    fn storage() -> Storage {
        Storage::over(Arc::new(InMemory::new()))
    }

    fn share(bytes: u64) -> StoredShare {
        StoredShare { sender: TicketId::of_sender("key:alice"), id: UploadId::new(), bytes }
    }

    #[tokio::test]
    async fn all_uploads_of_a_sender_count_until_they_are_removed() {
        let storage = storage();
        let (first, second) = (share(600), share(400));
        assert!(storage.claim_share(first, LIMIT).await.unwrap());
        assert!(!storage.claim_share(share(401), LIMIT).await.unwrap());
        assert!(storage.claim_share(second, LIMIT).await.unwrap(), "a refused upload left nothing");
        let bob = StoredShare { sender: TicketId::of_sender("key:bob"), ..share(1000) };
        assert!(storage.claim_share(bob, LIMIT).await.unwrap(), "another sender");
        storage.remove_share(first).await.unwrap();
        assert!(!storage.claim_share(share(601), LIMIT).await.unwrap());
        assert!(storage.claim_share(share(600), LIMIT).await.unwrap());
    }

    #[tokio::test]
    async fn servers_that_race_for_the_last_room_keep_the_limit() {
        let one = storage();
        let servers: Vec<_> = (0..8).map(|_| Storage { allowances: Arc::default(), ..one.clone() }).collect();
        let claims = (0..200).map(|n| servers[n % 8].claim_share(share(20), LIMIT));
        let claimed = join_all(claims).await.into_iter().filter(|claim| *claim.as_ref().unwrap()).count();
        assert!(claimed <= 50, "{claimed}");
        assert_eq!(one.stored_bytes(share(0).sender).await.unwrap(), 20 * claimed as u64);
        let mut after = claimed;
        while servers[after % 8].claim_share(share(20), LIMIT).await.unwrap() {
            after += 1;
        }
        assert_eq!(after, 50, "the rest of the room can be used");
    }

    #[tokio::test]
    async fn a_share_whose_server_died_is_found_when_the_room_is_missed() {
        let storage = storage();
        let lost = StoredShare { id: UploadId::at(1, &[0; 10]), ..share(900) };
        assert!(storage.claim_share(lost, LIMIT).await.unwrap());
        let begun = share(50);
        assert!(storage.claim_share(begun, LIMIT).await.unwrap(), "an upload that is being accepted");
        let deadline = Instant::now() + Duration::from_secs(10);
        while !storage.claim_share(share(600), LIMIT).await.unwrap() {
            assert!(Instant::now() < deadline, "the room of the lost share is found");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(storage.stored_bytes(lost.sender).await.unwrap(), 650);
    }
}
