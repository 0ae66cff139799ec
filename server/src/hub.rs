//! Who waits for what.
//!
//! A waiter has a mailbox: for each upload that it waits for the latest state, and one wake-up. Memory is bounded by
//! subscriptions, and a slow reader gets the newest state rather than a queue of old ones.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use dashmap::{DashMap, DashSet};
use tokio::sync::Notify;
use worker::{State, Upload, UploadId, contract::upload::Rank};

/// Subscriptions of all waiters together: about 100 bytes each, and every one is read again when the reply queue was
/// interrupted.
const MAX_SUBSCRIPTIONS: usize = 200_000;

/// Uploads that are remembered to be in work. Above any real worker count. Beyond it, uploads show as queued.
const MAX_STARTED: usize = 10_000;

/// The map from uploads to those who wait for them.
#[derive(Default)]
pub(crate) struct Hub {
    waiting: DashMap<UploadId, Vec<Weak<Mailbox>>>,
    started: DashSet<UploadId>,
    subscriptions: AtomicUsize,
}

/// There is no room for another subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crowded;

impl Hub {
    /// Opens a mailbox. Dropping the handle unsubscribes from everything.
    pub(crate) fn open(self: &Arc<Self>) -> Waiter {
        Waiter { hub: Arc::clone(self), mailbox: Arc::default() }
    }

    /// Takes the new state of an upload: remembers whether a worker has it, and delivers it.
    pub(crate) fn on_changed(&self, upload: &Upload) {
        if upload.state != State::Processing {
            self.started.remove(&upload.id);
        } else if self.started.len() < MAX_STARTED {
            self.started.insert(upload.id);
        }
        self.deliver(upload);
    }

    /// Whether a worker is known to have begun with an upload that is not known to have ended.
    pub(crate) fn has_started(&self, id: UploadId) -> bool {
        self.started.contains(&id)
    }

    /// Puts a state into every mailbox that waits for it.
    pub(crate) fn deliver(&self, upload: &Upload) {
        let Some(mailboxes) = self.waiting.get(&upload.id).map(|entry| entry.value().clone()) else {
            return;
        };
        for mailbox in mailboxes.iter().filter_map(Weak::upgrade) {
            mailbox.put(upload);
        }
    }

    /// Every upload that somebody still waits for the end of.
    pub(crate) fn unended(&self) -> Vec<UploadId> {
        let unended =
            |mailbox: &Weak<Mailbox>, id| mailbox.upgrade().is_some_and(|mailbox| !mailbox.knows_end(id));
        self.waiting
            .iter()
            .filter(|entry| entry.value().iter().any(|mailbox| unended(mailbox, *entry.key())))
            .map(|entry| *entry.key())
            .collect()
    }

    /// How many subscriptions there are.
    pub(crate) fn subscriptions(&self) -> usize {
        self.subscriptions.load(Ordering::Relaxed)
    }

    fn subscribe(&self, id: UploadId, mailbox: &Arc<Mailbox>) -> Result<(), Crowded> {
        if self.subscriptions.fetch_add(1, Ordering::Relaxed) >= MAX_SUBSCRIPTIONS {
            self.subscriptions.fetch_sub(1, Ordering::Relaxed);
            return Err(Crowded);
        }
        self.waiting.entry(id).or_default().push(Arc::downgrade(mailbox));
        Ok(())
    }

    fn unsubscribe(&self, id: UploadId, mailbox: &Arc<Mailbox>) {
        if let Some(mut waiting) = self.waiting.get_mut(&id) {
            waiting.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(mailbox)));
        }
        self.waiting.remove_if(&id, |_, waiting| waiting.is_empty());
        self.subscriptions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What one waiter has not yet been told.
#[derive(Default)]
struct Mailbox {
    slots: Mutex<HashMap<UploadId, Slot>>,
    changed: Notify,
}

/// One upload that is waited for.
#[derive(Default)]
struct Slot {
    /// The greatest rank that was put in or told: nothing of a lower or the same rank is news.
    known: Option<Rank>,
    news: Option<Upload>,
}

impl Mailbox {
    fn slots(&self) -> MutexGuard<'_, HashMap<UploadId, Slot>> {
        // No code that can panic runs under the lock.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, upload: &Upload) {
        if let Some(slot) = self.slots().get_mut(&upload.id)
            && slot.known < Some(upload.rank())
        {
            slot.known = Some(upload.rank());
            slot.news = Some(upload.clone());
            self.changed.notify_one();
        }
    }

    fn knows_end(&self, id: UploadId) -> bool {
        let slots = self.slots();
        slots.get(&id).is_none_or(|slot| slot.known.is_some_and(|rank| rank.state.is_final()))
    }
}

/// A mailbox in use.
pub(crate) struct Waiter {
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
}

impl Waiter {
    /// Begins to wait for an upload. Read its state afterwards and [`tell`](Self::tell) it: no change can fall
    /// between.
    pub(crate) fn subscribe(&self, id: UploadId) -> Result<(), Crowded> {
        // A second subscription starts over: its snapshot tells everything again.
        let known = self.mailbox.slots().insert(id, Slot::default()).is_some();
        if known {
            return Ok(());
        }
        let subscribed = self.hub.subscribe(id, &self.mailbox);
        if subscribed.is_err() {
            self.mailbox.slots().remove(&id);
        }
        subscribed
    }

    /// Waits for it no longer.
    pub(crate) fn unsubscribe(&self, id: UploadId) {
        if self.mailbox.slots().remove(&id).is_some() {
            self.hub.unsubscribe(id, &self.mailbox);
        }
    }

    /// Whether it is waited for.
    pub(crate) fn waits_for(&self, id: UploadId) -> bool {
        self.mailbox.slots().contains_key(&id)
    }

    /// How many uploads are waited for.
    pub(crate) fn len(&self) -> usize {
        self.mailbox.slots().len()
    }

    /// Notes that the waiter has been told this state by other means; news that say no more are dropped.
    pub(crate) fn tell(&self, upload: &Upload) {
        if let Some(slot) = self.mailbox.slots().get_mut(&upload.id)
            && slot.known <= Some(upload.rank())
        {
            slot.known = Some(upload.rank());
            slot.news = None;
        }
    }

    /// Waits for news and takes all that there is. Dropping the future loses none.
    pub(crate) async fn news(&self) -> Vec<Upload> {
        loop {
            let news: Vec<_> =
                self.mailbox.slots().values_mut().filter_map(|slot| slot.news.take()).collect();
            if !news.is_empty() {
                return news;
            }
            self.mailbox.changed.notified().await;
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        // Taken out first: the hub is never asked while a mailbox is locked.
        let slots = std::mem::take(&mut *self.mailbox.slots());
        for id in slots.into_keys() {
            self.hub.unsubscribe(id, &self.mailbox);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use worker::{LinkBase, testing};

    use super::*;

    fn upload(id: UploadId, state: State) -> Upload {
        Upload { state, ..Upload::queued(&testing::record_of(id), &LinkBase::default()) }
    }

    async fn states(waiter: &Waiter) -> Vec<State> {
        let news = tokio::time::timeout(Duration::from_millis(50), waiter.news()).await;
        news.unwrap_or_default().iter().map(|upload| upload.state).collect()
    }

    #[tokio::test]
    async fn a_slow_reader_gets_the_newest_state_once() {
        let (hub, id) = (Arc::new(Hub::default()), UploadId::new());
        let waiter = hub.open();
        waiter.subscribe(id).unwrap();
        for state in [State::Queued, State::Ready, State::Processing, State::Ready] {
            hub.deliver(&upload(id, state));
        }
        assert_eq!(states(&waiter).await, [State::Ready]);
        assert_eq!(states(&waiter).await, []);
    }

    #[tokio::test]
    async fn what_a_snapshot_told_is_no_news() {
        let (hub, id) = (Arc::new(Hub::default()), UploadId::new());
        let waiter = hub.open();
        waiter.subscribe(id).unwrap();
        hub.deliver(&upload(id, State::Ready));
        waiter.tell(&upload(id, State::Ready));
        assert_eq!(states(&waiter).await, []);
        // A snapshot that was read before the completion came leaves the completion to be told.
        waiter.subscribe(id).unwrap();
        hub.deliver(&upload(id, State::Ready));
        waiter.tell(&upload(id, State::Queued));
        assert_eq!(states(&waiter).await, [State::Ready]);
    }

    #[tokio::test]
    async fn only_who_waits_is_told_and_who_leaves_leaves_nothing() {
        let (hub, id) = (Arc::new(Hub::default()), UploadId::new());
        let (one, other) = (hub.open(), hub.open());
        one.subscribe(id).unwrap();
        other.subscribe(UploadId::new()).unwrap();
        assert_eq!(hub.unended().len(), 2);
        hub.deliver(&upload(id, State::Failed));
        assert_eq!((states(&one).await, states(&other).await), (vec![State::Failed], vec![]));
        assert_eq!(hub.unended().len(), 1);
        drop((one, other));
        assert!(hub.waiting.is_empty());
        assert_eq!(hub.subscriptions.load(Ordering::Relaxed), 0);
    }
}
