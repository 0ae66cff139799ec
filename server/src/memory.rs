//! Memory of uploads in flight: a budget of bytes over all of them.
//!
//! An upload reserves its next buffer before it reads more of its body, and releases it when storage has the bytes. A
//! buffer counts in full, even if little of it is filled.
//!
//! When the budget is used up, the largest upload of the holder that holds most is evicted, if that is more than the
//! newcomer's client would hold. A holder is a client, or all [slow](Handle::is_slow) uploads of other clients
//! together. Otherwise the newcomer waits, at most [`WAIT_WITHIN`]. Slow uploads of one client, or of many, therefore
//! do not delay other clients.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::{client::Client, fair_share::Handle};

/// How long an upload waits for memory before it is refused with 503: an evicted upload ends within milliseconds, and a
/// part is stored within a second or two.
const WAIT_WITHIN: Duration = Duration::from_secs(5);

/// The budget.
pub(crate) struct UploadMemory {
    /// In bytes.
    budget: usize,
    held: Mutex<Reservations>,
    released: Notify,
}

#[derive(Default)]
struct Reservations {
    bytes: usize,
    last_number: u64,
    by_client: HashMap<Client, HashMap<u64, OpenUpload>>,
}

struct OpenUpload {
    bytes: usize,
    handle: Handle,
}

impl Reservations {
    fn of(&self, client: Client) -> usize {
        self.by_client.get(&client).map_or(0, |uploads| uploads.values().map(|upload| upload.bytes).sum())
    }

    /// Evicts the largest upload of the holder that holds most, if that is more than `least`. The slow uploads of the
    /// newcomer's own client are left out.
    fn evict(&self, newcomer: Client, least: usize) {
        let others = self.by_client.iter().filter(|(client, _)| **client != newcomer);
        let uploads = others.flat_map(|(_, uploads)| uploads.values());
        let slow: Vec<_> = uploads.filter(|upload| upload.handle.is_slow()).collect();
        let holders = self.by_client.values().map(|uploads| uploads.values().collect()).chain([slow]);
        let held = |uploads: &Vec<&OpenUpload>| uploads.iter().map(|upload| upload.bytes).sum::<usize>();
        let Some(most) = holders.max_by_key(held).filter(|uploads| held(uploads) > least) else { return };
        let candidates = most.into_iter().filter(|upload| !upload.handle.is_evicted());
        if let Some(largest) = candidates.max_by_key(|upload| upload.bytes) {
            largest.handle.evict();
        }
    }
}

/// No memory became free in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfMemory;

impl UploadMemory {
    pub(crate) fn new(budget: usize) -> Arc<Self> {
        Arc::new(Self { budget, held: Mutex::default(), released: Notify::new() })
    }

    /// Opens the account of an upload.
    pub(crate) fn open(self: &Arc<Self>, client: Client, handle: Handle) -> Account {
        let mut held = self.held();
        held.last_number += 1;
        let number = held.last_number;
        held.by_client.entry(client).or_default().insert(number, OpenUpload { bytes: 0, handle });
        drop(held);
        Account(Arc::new(OpenAccount { memory: Arc::clone(self), client, number }))
    }

    /// Bytes that are reserved now.
    pub(crate) fn reserved(&self) -> usize {
        self.held().bytes
    }

    fn held(&self) -> MutexGuard<'_, Reservations> {
        // No code that can panic runs under the lock.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The account of one upload. It is closed when it and its last reservation are dropped.
pub(crate) struct Account(Arc<OpenAccount>);

struct OpenAccount {
    memory: Arc<UploadMemory>,
    client: Client,
    number: u64,
}

impl Account {
    /// Reserves bytes, and waits for them if necessary. Dropping the future reserves nothing.
    pub(crate) async fn reserve(&self, bytes: usize) -> Result<Reserved, OutOfMemory> {
        let OpenAccount { memory, client, .. } = &*self.0;
        let deadline = Instant::now() + WAIT_WITHIN;
        loop {
            // Registered before the attempt, so that no release is lost between the two.
            let mut released = std::pin::pin!(memory.released.notified());
            released.as_mut().enable();
            {
                let mut held = memory.held();
                if held.bytes + bytes <= memory.budget {
                    held.bytes += bytes;
                    self.0.count(&mut held, |held| *held += bytes);
                    return Ok(Reserved { account: Arc::clone(&self.0), bytes });
                }
                held.evict(*client, held.of(*client) + bytes);
            }
            timeout_at(deadline, released).await.map_err(|_| OutOfMemory)?;
        }
    }
}

impl OpenAccount {
    fn count(&self, held: &mut Reservations, change: impl FnOnce(&mut usize)) {
        let uploads = held.by_client.get_mut(&self.client);
        if let Some(upload) = uploads.and_then(|uploads| uploads.get_mut(&self.number)) {
            change(&mut upload.bytes);
        }
    }
}

impl Drop for OpenAccount {
    fn drop(&mut self) {
        let mut held = self.memory.held();
        if let Some(uploads) = held.by_client.get_mut(&self.client) {
            uploads.remove(&self.number);
            if uploads.is_empty() {
                held.by_client.remove(&self.client);
            }
        }
    }
}

/// Reserved bytes, which are released when this is dropped.
pub(crate) struct Reserved {
    account: Arc<OpenAccount>,
    bytes: usize,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut held = self.account.memory.held();
        held.bytes -= self.bytes;
        let bytes = self.bytes;
        self.account.count(&mut held, |held| *held -= bytes);
        drop(held);
        self.account.memory.released.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const BUDGET: usize = 100;

    fn client(last: u8) -> Client {
        Client::at([192, 0, 2, last].into())
    }

    fn open(memory: &Arc<UploadMemory>, last: u8) -> (Account, Handle) {
        let handle = Handle::default();
        (memory.open(client(last), handle.clone()), handle)
    }

    #[tokio::test]
    async fn an_upload_waits_for_bytes_that_another_releases() {
        let memory = UploadMemory::new(BUDGET);
        let ((one, _), (other, _)) = (open(&memory, 1), open(&memory, 2));
        let (held, rest) = (one.reserve(50).await.unwrap(), other.reserve(50).await.unwrap());
        let mut waiting = Box::pin(other.reserve(30));
        assert!((&mut waiting).now_or_never().is_none());
        drop(held);
        let more = waiting.await.unwrap();
        assert_eq!(memory.reserved(), 80);
        drop((rest, more, one, other));
        assert_eq!(memory.reserved(), 0);
        assert!(memory.held().by_client.is_empty(), "a client without uploads uses no memory");
    }

    #[tokio::test]
    async fn the_largest_upload_of_the_client_that_holds_most_is_evicted_for_another_client() {
        let memory = UploadMemory::new(BUDGET);
        let [small, great] = [open(&memory, 1), open(&memory, 1)];
        let (_small, held) = (small.0.reserve(40).await.unwrap(), great.0.reserve(60).await.unwrap());
        let (newcomer, _) = open(&memory, 2);
        let mut waiting = Box::pin(newcomer.reserve(30));
        assert!((&mut waiting).now_or_never().is_none());
        assert_eq!((small.1.is_evicted(), great.1.is_evicted()), (false, true));
        drop(held);
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_holds_most_evicts_no_upload_for_its_own_next_one() {
        let memory = UploadMemory::new(BUDGET);
        let [one, other, mine] = [open(&memory, 1), open(&memory, 2), open(&memory, 2)];
        let _held = (one.0.reserve(45).await.unwrap(), other.0.reserve(55).await.unwrap());
        assert!(mine.0.reserve(10).now_or_never().is_none());
        assert!(!one.1.is_evicted() && !other.1.is_evicted());
    }

    #[tokio::test]
    async fn slow_uploads_of_many_clients_give_way_before_the_largest_one_that_moves() {
        let memory = UploadMemory::new(BUDGET);
        let slow = [1, 2, 3].map(|last| open(&memory, last));
        let moving = open(&memory, 4);
        let mut held = Vec::new();
        for ((account, handle), bytes) in slow.iter().zip([20, 21, 19]) {
            held.push(account.reserve(bytes).await.unwrap());
            handle.has_waited(Duration::from_secs(3));
        }
        held.push(moving.0.reserve(40).await.unwrap());
        let (newcomer, _) = open(&memory, 5);
        assert!(newcomer.reserve(10).now_or_never().is_none());
        let evicted = [&slow[0], &slow[1], &slow[2], &moving].map(|(_, handle)| handle.is_evicted());
        assert_eq!(evicted, [false, true, false, false]);
        // Another client holds more than they do together.
        let great = open(&memory, 6);
        drop(held.remove(1));
        held.push(great.0.reserve(21).await.unwrap());
        drop(held.remove(0));
        held.push(great.0.reserve(20).await.unwrap());
        assert!(newcomer.reserve(10).now_or_never().is_none());
        assert_eq!((great.1.is_evicted(), slow[2].1.is_evicted()), (true, false));
    }
}
