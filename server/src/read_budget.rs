//! A rate limit for each client: reads of storage for unknown uploads.

use std::{num::NonZeroU32, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use moka::sync::Cache;

use crate::client::Client;

/// Unknown ids that a client may request at once: a page that restores many expired uploads requests a few hundred.
/// Each costs four reads of storage.
const BURST: NonZeroU32 = NonZeroU32::new(1000).expect("it is not zero");

/// Unknown ids per second, after the burst.
const PER_SECOND: NonZeroU32 = NonZeroU32::new(50).expect("it is not zero");

/// Clients that are remembered, about 50 bytes each. At the limit, clients with a full budget are removed.
const MAX_CLIENTS: usize = 10_000;

/// How long a client is blocked after its budget was used up.
const BLOCKED_FOR: Duration = Duration::from_secs(1);

/// The budgets of all clients.
pub(crate) struct ReadBudget {
    limiter: DefaultKeyedRateLimiter<Client>,
    blocked: Cache<Client, ()>,
}

impl Default for ReadBudget {
    fn default() -> Self {
        Self {
            limiter: RateLimiter::keyed(Quota::per_second(PER_SECOND).allow_burst(BURST)),
            blocked: Cache::builder().max_capacity(MAX_CLIENTS as u64).time_to_live(BLOCKED_FOR).build(),
        }
    }
}

impl ReadBudget {
    /// Whether a client may cause a read.
    pub(crate) fn allows(&self, client: Client) -> bool {
        !self.blocked.contains_key(&client)
    }

    /// Charges a client with an id that proved to be unknown.
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
    fn a_client_that_asks_for_unknown_uploads_without_end_uses_up_its_own_budget_only() {
        let budget = ReadBudget::default();
        let [one, other] = [1, 2].map(|last| Client::at([192, 0, 2, last].into()));
        let read = (0..5000).filter(|_| budget.allows(one)).inspect(|_| budget.charge(one)).count();
        assert!((1000..2000).contains(&read), "{read}");
        assert!(!budget.allows(one) && budget.allows(other));
    }
}
