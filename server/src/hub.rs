//! The subscriptions of clients to uploads.
//!
//! A subscriber has a mailbox: the latest state of each subscribed upload, and one wake-up. Memory is bounded by
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

/// Subscriptions of all subscribers together: about 100 bytes each. Every subscribed upload is read again after an
/// interruption of the reply queue.
const MAX_SUBSCRIPTIONS: usize = 200_000;

/// Uploads that are remembered as processing. Above any real worker count. Beyond it, uploads show as queued.
const MAX_STARTED: usize = 10_000;

/// The map from uploads to the mailboxes of their subscribers.
#[derive(Default)]
pub(crate) struct Hub {
    subscribed: DashMap<UploadId, Vec<Weak<Mailbox>>>,
    started: DashSet<UploadId>,
    subscriptions: AtomicUsize,
}

/// The limit of subscriptions is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AtCapacity;

impl Hub {
    /// Opens a mailbox. Dropping the handle unsubscribes from everything.
    pub(crate) fn open(self: &Arc<Self>) -> Subscriber {
        Subscriber { hub: Arc::clone(self), mailbox: Arc::default() }
    }

    /// Delivers the new state of an upload, and remembers whether a worker is processing it.
    pub(crate) fn on_changed(&self, upload: &Upload) {
        if upload.state != State::Processing {
            self.started.remove(&upload.id);
        } else if self.started.len() < MAX_STARTED {
            self.started.insert(upload.id);
        }
        self.deliver(upload);
    }

    /// Whether a worker has announced that it started to process an upload, and no end was announced since.
    pub(crate) fn has_started(&self, id: UploadId) -> bool {
        self.started.contains(&id)
    }

    /// Puts a state into the mailbox of every subscriber of the upload.
    pub(crate) fn deliver(&self, upload: &Upload) {
        let Some(mailboxes) = self.subscribed.get(&upload.id).map(|entry| entry.value().clone()) else {
            return;
        };
        for mailbox in mailboxes.iter().filter_map(Weak::upgrade) {
            mailbox.put(upload);
        }
    }

    /// All subscribed uploads.
    pub(crate) fn subscribed(&self) -> Vec<UploadId> {
        self.subscribed.iter().map(|entry| *entry.key()).collect()
    }

    /// Whether somebody has subscribed to an upload.
    pub(crate) fn is_subscribed(&self, id: UploadId) -> bool {
        self.subscribed.contains_key(&id)
    }

    /// The subscribed uploads whose end was not delivered to every subscriber.
    pub(crate) fn unended(&self) -> Vec<UploadId> {
        let unended =
            |mailbox: &Weak<Mailbox>, id| mailbox.upgrade().is_some_and(|mailbox| !mailbox.knows_end(id));
        self.subscribed
            .iter()
            .filter(|entry| entry.value().iter().any(|mailbox| unended(mailbox, *entry.key())))
            .map(|entry| *entry.key())
            .collect()
    }

    /// How many subscriptions there are.
    pub(crate) fn subscriptions(&self) -> usize {
        self.subscriptions.load(Ordering::Relaxed)
    }

    fn subscribe(&self, id: UploadId, mailbox: &Arc<Mailbox>) -> Result<(), AtCapacity> {
        if self.subscriptions.fetch_add(1, Ordering::Relaxed) >= MAX_SUBSCRIPTIONS {
            self.subscriptions.fetch_sub(1, Ordering::Relaxed);
            return Err(AtCapacity);
        }
        self.subscribed.entry(id).or_default().push(Arc::downgrade(mailbox));
        Ok(())
    }

    fn unsubscribe(&self, id: UploadId, mailbox: &Arc<Mailbox>) {
        if let Some(mut mailboxes) = self.subscribed.get_mut(&id) {
            mailboxes.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(mailbox)));
        }
        self.subscribed.remove_if(&id, |_, mailboxes| mailboxes.is_empty());
        self.subscriptions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The changes that one subscriber has not yet received.
#[derive(Default)]
struct Mailbox {
    slots: Mutex<HashMap<UploadId, Slot>>,
    changed: Notify,
}

/// One subscribed upload.
#[derive(Default)]
struct Slot {
    /// The greatest rank that was put in or marked as seen. A state of a lower or the same rank is no change.
    known: Option<Rank>,
    change: Option<Upload>,
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
            slot.change = Some(upload.clone());
            self.changed.notify_one();
        }
    }

    fn knows_end(&self, id: UploadId) -> bool {
        let slots = self.slots();
        slots.get(&id).is_none_or(|slot| slot.known.is_some_and(|rank| rank.state.is_final()))
    }
}

/// A subscriber: a socket, a stream of events or a request that waits. It owns a mailbox.
pub(crate) struct Subscriber {
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
}

impl Subscriber {
    /// Subscribes to an upload. Read its state afterwards and mark it as [seen](Self::mark_seen): no change is lost
    /// between the two.
    pub(crate) fn subscribe(&self, id: UploadId) -> Result<(), AtCapacity> {
        // A second subscription starts over: its snapshot sends the state again.
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

    /// Ends a subscription.
    pub(crate) fn unsubscribe(&self, id: UploadId) {
        if self.mailbox.slots().remove(&id).is_some() {
            self.hub.unsubscribe(id, &self.mailbox);
        }
    }

    /// Whether an upload is subscribed to.
    pub(crate) fn is_subscribed(&self, id: UploadId) -> bool {
        self.mailbox.slots().contains_key(&id)
    }

    /// How many uploads are subscribed to.
    pub(crate) fn len(&self) -> usize {
        self.mailbox.slots().len()
    }

    /// Notes that the subscriber has received this state by other means. A change of the same or a lower rank is
    /// dropped.
    pub(crate) fn mark_seen(&self, upload: &Upload) {
        if let Some(slot) = self.mailbox.slots().get_mut(&upload.id)
            && slot.known <= Some(upload.rank())
        {
            slot.known = Some(upload.rank());
            slot.change = None;
        }
    }

    /// Waits for changes and takes all of them. Dropping the future loses none.
    pub(crate) async fn changes(&self) -> Vec<Upload> {
        loop {
            let changes: Vec<_> =
                self.mailbox.slots().values_mut().filter_map(|slot| slot.change.take()).collect();
            if !changes.is_empty() {
                return changes;
            }
            self.mailbox.changed.notified().await;
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // Taken out first: the hub is never called while a mailbox is locked.
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

    async fn states(subscriber: &Subscriber) -> Vec<State> {
        let changes = tokio::time::timeout(Duration::from_millis(50), subscriber.changes()).await;
        changes.unwrap_or_default().iter().map(|upload| upload.state).collect()
    }

    #[tokio::test]
    async fn a_slow_reader_gets_the_newest_state_once() {
        let (hub, id) = (Arc::new(Hub::default()), UploadId::new());
        let subscriber = hub.open();
        subscriber.subscribe(id).unwrap();
        for state in [State::Queued, State::Ready, State::Processing, State::Ready] {
            hub.deliver(&upload(id, state));
        }
        assert_eq!(states(&subscriber).await, [State::Ready]);
        assert_eq!(states(&subscriber).await, []);
    }

    #[tokio::test]
    async fn a_state_that_a_snapshot_contained_is_not_delivered_again() {
        let (hub, id) = (Arc::new(Hub::default()), UploadId::new());
        let subscriber = hub.open();
        subscriber.subscribe(id).unwrap();
        hub.deliver(&upload(id, State::Ready));
        subscriber.mark_seen(&upload(id, State::Ready));
        assert_eq!(states(&subscriber).await, []);
        // A snapshot that was read before the completion does not suppress the completion.
        subscriber.subscribe(id).unwrap();
        hub.deliver(&upload(id, State::Ready));
        subscriber.mark_seen(&upload(id, State::Queued));
        assert_eq!(states(&subscriber).await, [State::Ready]);
    }

    #[tokio::test]
    async fn a_deletion_reaches_a_subscriber_that_knows_the_end() {
        let (hub, id) = (Arc::new(Hub::default()), UploadId::new());
        let subscriber = hub.open();
        subscriber.subscribe(id).unwrap();
        subscriber.mark_seen(&Upload { generation: 3, ..upload(id, State::Ready) });
        hub.deliver(&Upload::gone(id, 1));
        assert_eq!(states(&subscriber).await, [State::Gone]);
        hub.deliver(&Upload { generation: 4, ..upload(id, State::Queued) });
        assert_eq!(states(&subscriber).await, []);
    }

    #[tokio::test]
    async fn only_subscribers_receive_a_change_and_a_dropped_subscriber_leaves_nothing() {
        let (hub, id) = (Arc::new(Hub::default()), UploadId::new());
        let (one, other) = (hub.open(), hub.open());
        one.subscribe(id).unwrap();
        other.subscribe(UploadId::new()).unwrap();
        assert_eq!(hub.unended().len(), 2);
        hub.deliver(&upload(id, State::Failed));
        assert_eq!((states(&one).await, states(&other).await), (vec![State::Failed], vec![]));
        assert_eq!(hub.unended().len(), 1);
        drop((one, other));
        assert!(hub.subscribed.is_empty());
        assert_eq!(hub.subscriptions.load(Ordering::Relaxed), 0);
    }
}
