//! A table of the entries that clients hold, and the policy that selects one for eviction.
//!
//! A client holds entries: uploads in flight, or connections. An entry is idle (a connection between two requests) or
//! busy. At capacity, a newcomer evicts one entry, or none:
//!
//! | candidate | taken from | condition |
//! | --- | --- | --- |
//! | the oldest idle entry | the client that holds most, among those with an idle one | none: an idle entry loses nothing |
//! | the oldest busy entry | the client that holds most, among those over their share | it holds more than [`FAIR_SHARE`] entries, and more than the newcomer will |
//! | the entry that waits longest for its client | the [slow](Handle::is_slow) entries of all other clients together | they are at least as many as the newcomer will hold |
//!
//! If there are several candidates, the one of the holder with more entries is evicted. A trusted proxy carries requests
//! of many clients: only its idle entries count, and it is never over its share.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::Client;

/// Entries that a client may hold before its busy ones can be evicted: more than a browser opens, and more than a
/// script usually needs.
pub(crate) const FAIR_SHARE: usize = 16;

/// The state of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    Idle,
    Busy,
}

/// How long an upload may wait for the next [`CHUNK_BYTES`](crate::uploads::CHUNK_BYTES) of its client before it is slow.
/// A slow one moves less than 32 KiB a second, and is evicted only where room is missing.
const SLOW_AFTER: Duration = Duration::from_secs(2);

/// The means to end an entry, and the time for which it has waited for its client. Clones share both.
#[derive(Debug, Clone, Default)]
pub(crate) struct Handle {
    evicted: CancellationToken,
    waits_since: Arc<Mutex<Option<Instant>>>,
}

impl Handle {
    /// Resolves when the entry is evicted.
    pub(crate) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    pub(crate) fn is_evicted(&self) -> bool {
        self.evicted.is_cancelled()
    }

    pub(crate) fn evict(&self) {
        self.evicted.cancel();
    }

    /// Begins to wait for the client, for the next bytes of its body.
    pub(crate) fn wait_for_client(&self) {
        self.set(Some(Instant::now()));
    }

    /// Pretends that it has waited for so long.
    #[cfg(test)]
    pub(crate) fn has_waited(&self, time: Duration) {
        self.set(Instant::now().checked_sub(time));
    }

    /// Ends the wait: now the client waits for the server.
    pub(crate) fn end_wait(&self) {
        self.set(None);
    }

    fn set(&self, since: Option<Instant>) {
        *self.waits_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// How long it has waited.
    fn waited(&self) -> Duration {
        let since = *self.waits_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Whether it has waited for its client for more than [`SLOW_AFTER`].
    pub(crate) fn is_slow(&self) -> bool {
        self.waited() > SLOW_AFTER
    }
}

/// The client that opens an entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holder {
    pub(crate) client: Client,
    /// A trusted proxy, which carries requests of other clients.
    pub(crate) is_proxy: bool,
}

impl From<Client> for Holder {
    fn from(client: Client) -> Self {
        Self { client, is_proxy: false }
    }
}

/// Whether a newcomer that is over its share may evict an entry of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnEntries {
    /// The oldest may be evicted: a new connection replaces it.
    Evictable,
    /// None is evicted: an upload in flight continues, and the next one is refused.
    Kept,
}

/// The key of an entry in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    client: Client,
    activity: Activity,
    number: u64,
}

impl Entry {
    pub(crate) const fn client(self) -> Client {
        self.client
    }
}

/// All entries: about 100 bytes for each.
#[derive(Default)]
pub(crate) struct Table {
    last_number: u64,
    /// Clients that hold an entry; no others.
    by_client: HashMap<Client, Held>,
}

/// The entries of one client, oldest first.
#[derive(Default)]
struct Held {
    idle: BTreeMap<u64, Handle>,
    busy: BTreeMap<u64, Handle>,
    is_proxy: bool,
}

impl Held {
    fn len(&self) -> usize {
        self.idle.len() + self.busy.len()
    }

    const fn of(&mut self, activity: Activity) -> &mut BTreeMap<u64, Handle> {
        match activity {
            Activity::Idle => &mut self.idle,
            Activity::Busy => &mut self.busy,
        }
    }
}

impl Table {
    /// How many entries a client holds.
    pub(crate) fn held_by(&self, client: Client) -> usize {
        self.by_client.get(&client).map_or(0, Held::len)
    }

    /// Adds an entry, the youngest of its kind.
    pub(crate) fn add(&mut self, holder: Holder, activity: Activity, handle: Handle) -> Entry {
        self.last_number += 1;
        let held = self.by_client.entry(holder.client).or_default();
        held.is_proxy |= holder.is_proxy;
        held.of(activity).insert(self.last_number, handle);
        Entry { client: holder.client, activity, number: self.last_number }
    }

    /// Removes an entry. Answers whether it was there: an evicted one is removed already.
    pub(crate) fn remove(&mut self, entry: Entry) -> bool {
        let Some(held) = self.by_client.get_mut(&entry.client) else { return false };
        let removed = held.of(entry.activity).remove(&entry.number).is_some();
        if held.len() == 0 {
            self.by_client.remove(&entry.client);
        }
        removed
    }

    /// Evicts and removes the entry that the policy selects, if there is one.
    pub(crate) fn evict_for(&mut self, newcomer: Client, own: OwnEntries) -> Option<Entry> {
        let entry = self.candidate(newcomer, own)?;
        let evicted = self.by_client.get_mut(&entry.client)?.of(entry.activity).get(&entry.number)?.clone();
        self.remove(entry);
        evicted.evict();
        Some(entry)
    }

    fn candidate(&self, newcomer: Client, own: OwnEntries) -> Option<Entry> {
        let after = self.held_by(newcomer) + 1;
        let over_share = |client: Client, held: &Held| {
            let is_evictable = held.len() > after || (client == newcomer && own == OwnEntries::Evictable);
            !held.is_proxy && held.len() > FAIR_SHARE && is_evictable
        };
        let idle = self.by_client.iter().filter(|(_, held)| !held.idle.is_empty());
        let idle =
            idle.map(|(client, held)| (if held.is_proxy { held.idle.len() } else { held.len() }, *client));
        let busy = self.by_client.iter().filter(|(client, held)| over_share(**client, held));
        let busy = busy.map(|(client, held)| (held.len(), *client));
        let greatest_idle = idle.max_by_key(|(count, _)| *count);
        let greatest_busy = busy.max_by_key(|(count, _)| *count);
        let slow = self.slow_of_others(newcomer).filter(|(count, _)| *count >= after);
        let (client, activity) = match (greatest_idle, greatest_busy) {
            (Some((count, client)), busy) if busy.is_none_or(|(most, _)| count >= most) => {
                (client, Activity::Idle)
            }
            (_, busy) => match (busy, slow) {
                (Some((most, client)), slow) if slow.is_none_or(|(count, _)| most >= count) => {
                    (client, Activity::Busy)
                }
                (_, slow) => return slow.map(|(_, entry)| entry),
            },
        };
        let held = self.by_client.get(&client)?;
        let oldest = match activity {
            Activity::Idle => held.idle.first_key_value(),
            Activity::Busy => held.busy.first_key_value(),
        };
        oldest.map(|(number, _)| Entry { client, activity, number: *number })
    }

    /// The number of slow entries of all other clients, and the one of them that waits longest.
    fn slow_of_others(&self, newcomer: Client) -> Option<(usize, Entry)> {
        let others = self.by_client.iter().filter(|(client, _)| **client != newcomer);
        let busy = others.flat_map(|(client, held)| {
            held.busy.iter().map(|(number, handle)| {
                (handle, Entry { client: *client, activity: Activity::Busy, number: *number })
            })
        });
        let slow: Vec<_> = busy.filter(|(handle, _)| handle.is_slow()).collect();
        let longest = slow.iter().max_by_key(|(handle, _)| handle.waited());
        longest.map(|(_, entry)| (slow.len(), *entry))
    }

    /// Whether no client holds an entry.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.by_client.is_empty()
    }
}
