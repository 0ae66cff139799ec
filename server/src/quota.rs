//! Quotas of permits for concurrent work: a limit in all, and a limit for each client.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    client::Client,
    fair_share::{Activity, Entry, Handle, OwnEntries, Table},
};

/// A quota of permits of one kind.
pub(crate) struct Quota {
    in_all: usize,
    per_client: usize,
    issued: Mutex<Issued>,
}

#[derive(Default)]
struct Issued {
    permits: usize,
    table: Table,
}

/// The reason why no permit is issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QuotaError {
    /// All permits are taken.
    AtCapacity,
    /// This client has reached the limit of one client.
    OverQuota,
}

impl Quota {
    pub(crate) fn new(in_all: usize, per_client: usize) -> Arc<Self> {
        Arc::new(Self { in_all, per_client, issued: Mutex::default() })
    }

    /// Issues a permit. Dropping it returns it.
    pub(crate) fn acquire(self: &Arc<Self>, client: Client) -> Result<Permit, QuotaError> {
        self.issue(&mut self.issued(), client)
    }

    /// Issues a permit. At capacity, a permit of a client over its fair share, or a slow one of another client, is
    /// [evicted](Permit::evicted).
    pub(crate) fn acquire_or_evict(self: &Arc<Self>, client: Client) -> Result<Permit, QuotaError> {
        let mut issued = self.issued();
        if issued.permits >= self.in_all
            && issued.table.held_by(client) < self.per_client
            && issued.table.evict_for(client, OwnEntries::Kept).is_some()
        {
            issued.permits -= 1;
        }
        self.issue(&mut issued, client)
    }

    fn issue(self: &Arc<Self>, issued: &mut Issued, client: Client) -> Result<Permit, QuotaError> {
        if issued.table.held_by(client) >= self.per_client {
            return Err(QuotaError::OverQuota);
        }
        if issued.permits >= self.in_all {
            return Err(QuotaError::AtCapacity);
        }
        issued.permits += 1;
        let handle = Handle::default();
        let entry = issued.table.add(client.into(), Activity::Busy, handle.clone());
        Ok(Permit { quota: Arc::clone(self), entry, handle })
    }

    /// How many permits are taken.
    pub(crate) fn taken(&self) -> usize {
        self.issued().permits
    }

    fn issued(&self) -> MutexGuard<'_, Issued> {
        // No code that can panic runs under the lock.
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A permit in use.
pub(crate) struct Permit {
    quota: Arc<Quota>,
    entry: Entry,
    handle: Handle,
}

impl Permit {
    /// The client that holds it.
    pub(crate) const fn client(&self) -> Client {
        self.entry.client()
    }

    /// Evicts the permit, and tells for how long it has waited for its client.
    pub(crate) const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Resolves when the permit is evicted.
    pub(crate) async fn evicted(&self) {
        self.handle.evicted().await;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut issued = self.quota.issued();
        if issued.table.remove(self.entry) {
            issued.permits -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fair_share::FAIR_SHARE;

    fn client(last: u8) -> Client {
        Client::at([192, 0, 2, last].into())
    }

    #[test]
    fn a_client_over_its_quota_is_refused_while_others_still_get_permits() {
        let quota = Quota::new(3, 2);
        let held = [quota.acquire(client(1)), quota.acquire(client(1))];
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(quota.acquire(client(1)).err(), Some(QuotaError::OverQuota));
        let other = quota.acquire(client(2));
        assert!(other.is_ok());
        assert_eq!(quota.acquire(client(3)).err(), Some(QuotaError::AtCapacity));
        assert_eq!(quota.taken(), 3);
        drop(held);
        assert!(quota.acquire(client(1)).is_ok());
        drop(other);
        assert_eq!(quota.taken(), 0);
        assert!(quota.issued().table.is_empty(), "a client without permits uses no memory");
    }

    #[test]
    fn a_client_over_its_fair_share_loses_its_oldest_permit_to_a_newcomer() {
        let quota = Quota::new(2 * (FAIR_SHARE + 1), FAIR_SHARE + 1);
        let held: Vec<_> = (0..=FAIR_SHARE)
            .flat_map(|_| [1, 2].map(|last| quota.acquire_or_evict(client(last)).unwrap()))
            .collect();
        let evicted = || held.iter().filter(|permit| permit.handle.is_evicted()).count();
        assert_eq!(quota.acquire_or_evict(client(1)).err(), Some(QuotaError::OverQuota));
        assert_eq!(quota.acquire(client(3)).err(), Some(QuotaError::AtCapacity));
        assert_eq!(evicted(), 0);
        let newcomers: Vec<_> = (0..4).map(|_| quota.acquire_or_evict(client(3))).collect();
        assert_eq!(
            newcomers.iter().filter(|permit| permit.is_ok()).count(),
            2,
            "then no client is over its fair share"
        );
        assert_eq!((evicted(), held[..2].iter().all(|permit| permit.handle.is_evicted())), (2, true));
        drop((held, newcomers));
        assert_eq!(quota.taken(), 0);
    }

    #[test]
    fn slow_permits_of_many_clients_within_their_shares_give_way_the_longest_wait_first() {
        let quota = Quota::new(8, 4);
        let held: Vec<_> = (0..8).map(|number| quota.acquire_or_evict(client(number / 2)).unwrap()).collect();
        let evicted = || held.iter().map(|permit| permit.handle.is_evicted()).collect::<Vec<_>>();
        assert_eq!(quota.acquire_or_evict(client(9)).err(), Some(QuotaError::AtCapacity));
        held.iter().for_each(|permit| permit.handle.wait_for_client());
        assert_eq!(quota.acquire_or_evict(client(9)).err(), Some(QuotaError::AtCapacity), "none is slow yet");
        held[0].handle.has_waited(Duration::from_secs(9));
        held[0].handle.end_wait();
        held[3].handle.has_waited(Duration::from_secs(3));
        held[5].handle.has_waited(Duration::from_secs(4));
        let newcomer = quota.acquire_or_evict(client(9));
        assert!(newcomer.is_ok());
        assert_eq!(evicted(), [false, false, false, false, false, true, false, false]);
        assert_eq!(quota.acquire_or_evict(client(1)).err(), Some(QuotaError::AtCapacity), "it is its own");
        assert_eq!(quota.acquire_or_evict(client(9)).err(), Some(QuotaError::AtCapacity), "it holds as many");
    }
}
