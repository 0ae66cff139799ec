//! Uses of tickets. They are counted in storage, so servers share nothing else.
//!
//! A limit of a key for a day is counted as a ticket that ends with the day.
//!
//! The n-th use names the bytes of all uses before it, so a claim reads the last one and creates the next. Of two
//! servers that create the same use one fails, and reads again.

use std::{
    collections::HashMap,
    sync::{MutexGuard, PoisonError},
};

use futures::TryStreamExt;
use object_store::{ObjectStore, path::Path};

use super::{
    Storage, StorageError,
    json::{Read, parse, to_json},
};
use crate::contract::{
    hour::Hour,
    id::UploadId,
    key::StorageKey,
    ticket::{TicketId, TicketLimits, TicketUse},
};

/// Tickets whose last use is remembered, about 100 bytes each.
const MAX_REMEMBERED: usize = 1000;

/// Locks of claims, which share them by the ids of their tickets: claims of one process do not race each other for a
/// use, where each but one would have to read again.
const CLAIM_LOCKS: usize = 64;

/// The last use of a ticket that this process knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastUse {
    number: u32,
    /// The bytes of all uses; 0 if they were not read.
    total: u64,
}

impl LastUse {
    /// Whether a ticket allows an upload of so many bytes after this use.
    fn is_followed(self, ticket: &TicketLimits, bytes: u64) -> bool {
        self.number < ticket.files && self.total.saturating_add(bytes) <= ticket.bytes
    }
}

/// The locks of claims.
pub(super) struct ClaimLocks([tokio::sync::Mutex<()>; CLAIM_LOCKS]);

impl Default for ClaimLocks {
    fn default() -> Self {
        Self(std::array::from_fn(|_| tokio::sync::Mutex::default()))
    }
}

impl ClaimLocks {
    fn of(&self, ticket: TicketId) -> &tokio::sync::Mutex<()> {
        let at = usize::try_from(ticket.0 % CLAIM_LOCKS as u64).unwrap_or(0);
        &self.0[at]
    }
}

/// A use of a ticket, as storage has it.
enum Use {
    Of(TicketUse),
    Unreadable,
    Absent,
}

impl Storage {
    /// Claims a use of a ticket for an upload of so many bytes. Returns whether the ticket allows it.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn use_ticket(
        &self,
        ticket: &TicketLimits,
        upload: UploadId,
        bytes: u64,
    ) -> Result<bool, StorageError> {
        let hour = Hour::of(ticket.until);
        let _lock = self.claims.of(ticket.id).lock().await;
        loop {
            let last = self.last_use(hour, ticket.id).await?;
            let before = match last {
                None => 0,
                Some(number) => {
                    match self.ticket_use(&StorageKey::ticket_use(hour, ticket.id, number)).await? {
                        // This upload: storage created it, and its reply was lost.
                        Use::Of(last) if last.id == upload => return Ok(true),
                        Use::Of(last) => {
                            self.remember_use(hour, ticket.id, LastUse { number, total: last.total });
                            last.total
                        }
                        // Without a total nothing is allowed any more.
                        Use::Unreadable => return Ok(false),
                        // It was given back.
                        Use::Absent => {
                            self.last_uses().remove(&StorageKey::ticket(hour, ticket.id));
                            continue;
                        }
                    }
                }
            };
            let (number, total) =
                (last.map_or(1, |last| last.saturating_add(1)), before.saturating_add(bytes));
            if number > ticket.files || total > ticket.bytes {
                return Ok(false);
            }
            let next = to_json(&TicketUse { id: upload, total });
            if self.create(&StorageKey::ticket_use(hour, ticket.id, number), next).await? {
                self.remember_use(hour, ticket.id, LastUse { number, total });
                return Ok(true);
            }
        }
    }

    /// Whether a ticket may allow an upload of so many bytes, before they come. Storage is read only if the last use that
    /// this process knows allows none: it may have been given back.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn may_use_ticket(&self, ticket: &TicketLimits, bytes: u64) -> Result<bool, StorageError> {
        let hour = Hour::of(ticket.until);
        let known = self.last_uses().get(&StorageKey::ticket(hour, ticket.id)).copied();
        let Some(known) = known.filter(|known| !known.is_followed(ticket, bytes)) else { return Ok(true) };
        Ok(match self.ticket_use(&StorageKey::ticket_use(hour, ticket.id, known.number)).await? {
            Use::Of(last) => LastUse { total: last.total, ..known }.is_followed(ticket, bytes),
            Use::Unreadable => false,
            Use::Absent => {
                self.last_uses().remove(&StorageKey::ticket(hour, ticket.id));
                true
            }
        })
    }

    /// Gives back the last use of a ticket, for an upload that was not accepted. A use that others followed stays.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn give_back_ticket(
        &self,
        ticket: &TicketLimits,
        upload: UploadId,
    ) -> Result<(), StorageError> {
        let hour = Hour::of(ticket.until);
        let Some(number) = self.last_use(hour, ticket.id).await? else { return Ok(()) };
        let key = StorageKey::ticket_use(hour, ticket.id, number);
        if matches!(self.ticket_use(&key).await?, Use::Of(last) if last.id == upload) {
            self.delete(&key).await?;
            self.last_uses().remove(&StorageKey::ticket(hour, ticket.id));
        }
        Ok(())
    }

    /// The number of the last use of a ticket. Lists from the last one that this process knows.
    async fn last_use(&self, hour: Hour, ticket: TicketId) -> Result<Option<u32>, StorageError> {
        let prefix = StorageKey::ticket(hour, ticket);
        let known = self.last_uses().get(&prefix).map(|last| last.number);
        let uses = match known {
            Some(number) => {
                let known = StorageKey::ticket_use(hour, ticket, number);
                self.store.list_with_offset(Some(&prefix), known.path())
            }
            None => self.store.list(Some(&prefix)),
        };
        let listed = uses.try_collect::<Vec<_>>().await;
        let listed = listed.map_err(|source| StorageError::sort("list", &prefix, source))?;
        let newer = listed.iter().filter_map(|object| StorageKey::parse_ticket_use(&object.location)).max();
        if let Some(number) = newer {
            self.remember_use(hour, ticket, LastUse { number, total: 0 });
        }
        Ok(newer.or(known))
    }

    fn remember_use(&self, hour: Hour, ticket: TicketId, last: LastUse) {
        let mut uses = self.last_uses();
        if uses.len() >= MAX_REMEMBERED {
            uses.clear();
        }
        uses.insert(StorageKey::ticket(hour, ticket), last);
    }

    fn last_uses(&self) -> MutexGuard<'_, HashMap<Path, LastUse>> {
        // No code that can panic runs under the lock.
        self.last_uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ticket_use(&self, key: &StorageKey) -> Result<Use, StorageError> {
        Ok(match self.read_json(key).await? {
            Read::Absent => Use::Absent,
            Read::Unreadable => Use::Unreadable,
            Read::Fact(bytes) => match parse(&bytes) {
                Ok(found) => Use::Of(found),
                Err(reason) => {
                    self.log_unreadable(key, &reason);
                    Use::Unreadable
                }
            },
        })
    }

    /// Removes the uses of tickets that ended before an hour. Returns their number.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn remove_ticket_uses(&self, before: Hour) -> Result<usize, StorageError> {
        let prefix = StorageKey::all_tickets();
        let listed = self.store.list_with_delimiter(Some(&prefix)).await;
        let listed = match listed.map_err(|source| StorageError::sort("list", &prefix, source)) {
            Ok(listed) => listed,
            // A local directory that was never written to.
            Err(StorageError::NotFound(_)) => return Ok(0),
            Err(error) => return Err(error),
        };
        let mut removed = 0;
        for hour in listed.common_prefixes.iter().filter_map(StorageKey::parse_hour) {
            if hour >= before {
                continue;
            }
            let prefix = StorageKey::ticket_hour(hour);
            let uses = self.store.list(Some(&prefix)).try_collect::<Vec<_>>().await;
            for object in uses.map_err(|source| StorageError::sort("list", &prefix, source))? {
                if let Some(key) = StorageKey::of_ticket_use(&object.location) {
                    self.delete(&key).await?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::future::join_all;
    use object_store::memory::InMemory;

    use super::*;
    use crate::clock;

    fn ticket(files: u32, bytes: u64) -> TicketLimits {
        TicketLimits { id: TicketId(7), until: clock::now(), files, bytes }
    }

    #[tokio::test]
    async fn of_twenty_that_race_for_five_uses_five_get_one() {
        let storage = Storage::over(Arc::new(InMemory::new()));
        let another = || Storage { last_uses: Arc::default(), claims: Arc::default(), ..storage.clone() };
        let servers = [another(), another()];
        let ticket = ticket(5, u64::MAX);
        let uses = (0..20).map(|number| servers[number % 2].use_ticket(&ticket, UploadId::new(), 1));
        let uses = join_all(uses).await;
        assert_eq!(uses.into_iter().filter(|used| *used.as_ref().unwrap()).count(), 5);
        let other = TicketLimits { id: TicketId(8), ..ticket };
        assert!(storage.use_ticket(&other, UploadId::new(), 1).await.unwrap(), "another ticket");
    }

    #[tokio::test]
    async fn the_bytes_of_all_uses_count() {
        let storage = Storage::over(Arc::new(InMemory::new()));
        let ticket = ticket(100, 10);
        let uses = async |bytes| storage.use_ticket(&ticket, UploadId::new(), bytes).await.unwrap();
        assert!(uses(6).await && !uses(5).await && uses(4).await && !uses(1).await);
    }

    #[tokio::test]
    async fn a_ticket_that_is_used_up_is_known_before_a_body_comes_and_one_that_is_given_back_is_not() {
        let storage = Storage::over(Arc::new(InMemory::new()));
        let (ticket, id) = (ticket(2, 10), UploadId::new());
        let may = async |bytes| storage.may_use_ticket(&ticket, bytes).await.unwrap();
        assert!(may(10).await, "nothing is known yet");
        assert!(storage.use_ticket(&ticket, id, 6).await.unwrap());
        assert_eq!([may(4).await, may(5).await], [true, false]);
        storage.give_back_ticket(&ticket, id).await.unwrap();
        assert!(may(10).await);
        for _ in 0..2 {
            assert!(storage.use_ticket(&ticket, UploadId::new(), 1).await.unwrap());
        }
        assert!(!may(0).await);
        // Another server gives the last use back.
        let other = Storage { last_uses: Arc::default(), ..storage.clone() };
        let last = StorageKey::ticket_use(Hour::of(ticket.until), ticket.id, 2);
        other.delete(&last).await.unwrap();
        assert!(may(0).await);
    }

    #[tokio::test]
    async fn a_repeated_claim_of_an_upload_counts_once_and_a_damaged_use_ends_the_ticket() {
        let storage = Storage::over(Arc::new(InMemory::new()));
        let (ticket, id) = (ticket(2, 100), UploadId::new());
        assert!(storage.use_ticket(&ticket, id, 1).await.unwrap());
        assert!(storage.use_ticket(&ticket, id, 1).await.unwrap());
        assert!(storage.use_ticket(&ticket, UploadId::new(), 1).await.unwrap());
        let other = TicketLimits { id: TicketId(9), ..ticket };
        let key = StorageKey::ticket_use(Hour::of(other.until), other.id, 1);
        storage.create(&key, "damaged".into()).await.unwrap();
        assert!(!storage.use_ticket(&other, UploadId::new(), 1).await.unwrap());
    }

    #[tokio::test]
    async fn a_use_that_is_given_back_can_be_taken_again_at_every_server() {
        let one = Storage::over(Arc::new(InMemory::new()));
        let other = Storage { last_uses: Arc::default(), ..one.clone() };
        let (ticket, refused, id) = (ticket(1, 100), UploadId::new(), UploadId::new());
        assert!(one.use_ticket(&ticket, refused, 1).await.unwrap());
        assert!(!other.use_ticket(&ticket, id, 1).await.unwrap(), "the other server knows of the use");
        one.give_back_ticket(&ticket, id).await.unwrap();
        assert!(!one.use_ticket(&ticket, id, 1).await.unwrap(), "it was the use of another upload");
        one.give_back_ticket(&ticket, refused).await.unwrap();
        assert!(other.use_ticket(&ticket, id, 1).await.unwrap());
        assert!(!one.use_ticket(&ticket, refused, 1).await.unwrap());
    }

    #[tokio::test]
    async fn uses_of_ended_tickets_are_removed() {
        let storage = Storage::over(Arc::new(InMemory::new()));
        let hour = Hour::of(clock::now());
        assert_eq!(storage.remove_ticket_uses(hour).await.unwrap(), 0);
        let old = TicketLimits { until: clock::now() - jiff::SignedDuration::from_hours(30), ..ticket(1, 1) };
        assert!(storage.use_ticket(&old, UploadId::new(), 1).await.unwrap());
        assert!(storage.use_ticket(&ticket(1, 1), UploadId::new(), 1).await.unwrap());
        assert_eq!(storage.remove_ticket_uses(hour).await.unwrap(), 1);
        assert!(
            !storage.use_ticket(&ticket(1, 1), UploadId::new(), 1).await.unwrap(),
            "the other is still counted"
        );
    }
}
