//! A rate limit for each client, for requests that cost more than they give: unknown uploads and wrong keys.

use std::{num::NonZeroU32, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use moka::sync::Cache;

use crate::client::Client;

/// Unknown ids that a client may request at once: a page that restores many expired uploads requests a few hundred.
/// Each costs four reads of storage.
const UNKNOWN_READS: NonZeroU32 = NonZeroU32::new(1000).expect("it is not zero");

/// Unknown ids per second, after that.
const UNKNOWN_READS_PER_SECOND: NonZeroU32 = NonZeroU32::new(50).expect("it is not zero");

/// Wrong keys that a client may send at once: several people behind one address may mistype theirs.
const WRONG_KEYS: NonZeroU32 = NonZeroU32::new(20).expect("it is not zero");

/// Wrong keys per minute, after that.
const WRONG_KEYS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(6).expect("it is not zero");

/// Clients that are remembered, about 50 bytes each. At the limit, clients with a full budget are removed.
const MAX_CLIENTS: usize = 10_000;

/// How long a client is blocked after its budget was used up: until about one more is allowed.
const READS_BLOCKED_FOR: Duration = Duration::from_secs(1);
const KEYS_BLOCKED_FOR: Duration = Duration::from_secs(10);

/// The budgets of all clients.
pub(crate) struct Budget {
    limiter: DefaultKeyedRateLimiter<Client>,
    blocked: Cache<Client, ()>,
}

impl Budget {
    /// The budget of reads of storage for unknown uploads.
    pub(crate) fn of_unknown_reads() -> Self {
        let quota = Quota::per_second(UNKNOWN_READS_PER_SECOND).allow_burst(UNKNOWN_READS);
        Self::new(quota, READS_BLOCKED_FOR)
    }

    /// The budget of wrong keys and delete tokens.
    pub(crate) fn of_wrong_keys() -> Self {
        Self::new(Quota::per_minute(WRONG_KEYS_PER_MINUTE).allow_burst(WRONG_KEYS), KEYS_BLOCKED_FOR)
    }

    fn new(quota: Quota, blocked_for: Duration) -> Self {
        Self {
            limiter: RateLimiter::keyed(quota),
            blocked: Cache::builder().max_capacity(MAX_CLIENTS as u64).time_to_live(blocked_for).build(),
        }
    }

    /// Whether a client has some of its budget left.
    pub(crate) fn allows(&self, client: Client) -> bool {
        !self.blocked.contains_key(&client)
    }

    /// Charges a client.
    pub(crate) fn charge(&self, client: Client) {
        if self.limiter.len() >= MAX_CLIENTS {
            self.limiter.retain_recent();
        }
        if self.limiter.check_key(&client).is_err() {
            self.blocked.insert(client, ());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_uses_up_its_own_budget_only() {
        let [one, other] = [1, 2].map(|last| Client::at([192, 0, 2, last].into()));
        for (budget, expected) in
            [(Budget::of_unknown_reads(), 1000..2000), (Budget::of_wrong_keys(), 20..30)]
        {
            let tried = (0..5000).filter(|_| budget.allows(one)).inspect(|_| budget.charge(one)).count();
            assert!(expected.contains(&tried), "{tried}");
            assert!(!budget.allows(one) && budget.allows(other));
        }
    }
}
