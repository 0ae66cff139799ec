//! Claiming jobs one by one, and settling them.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};
use tracing::warn;

use super::{
    Durability, Shared, Topic, now_ms,
    queue::{self, Claim, Claimed, Fence},
    wake::WakeReceiver,
};
use crate::transport::{DeathReason, Deliveries, Delivery, Lane, Receipt, Settled, TransportError};

/// How long a consumer sleeps without being woken before it looks all the same: a retry of another process may have
/// become due, and a wake may have been lost.
const LOOK_ANYWAY: Duration = Duration::from_secs(1);

/// How long to wait after the file could not be used: long enough not to spin, short beside a retry.
const AFTER_ERROR: Duration = Duration::from_millis(500);

/// How long a job rests whose delivery was dropped unsettled, which is what a panic does.
const AFTER_DROP: Duration = Duration::from_secs(5);

pub(super) struct Claimer {
    shared: Arc<Shared>,
    wake: WakeReceiver,
    slots: Arc<Semaphore>,
    /// Of several slots, one is not for the bulk lane: a bulk run leaves room for whoever comes.
    bulk_slots: Arc<Semaphore>,
    /// A claim on its way, kept here so that dropping the future that waits for it does not lose the job.
    pending: Option<JoinHandle<Result<Look, TransportError>>>,
}

/// What a look into the queue came to, for a consumer.
enum Look {
    Found(Box<Claim>, Claimant),
    NothingUntil(Option<i64>),
}

impl Claimer {
    pub(super) fn new(shared: Arc<Shared>, wake: WakeReceiver, prefetch: NonZeroUsize) -> Self {
        let slots = Arc::new(Semaphore::new(prefetch.get()));
        let bulk_slots = Arc::new(Semaphore::new(prefetch.get().saturating_sub(1).max(1)));
        Self { shared, wake, slots, bulk_slots, pending: None }
    }
}

impl Drop for Claimer {
    fn drop(&mut self) {
        if let (Some(pending), Ok(runtime)) = (self.pending.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                if let Ok(Ok(Look::Found(_, claimant))) = pending.await {
                    let _ = Box::new(claimant).release().await;
                }
            });
        }
    }
}

async fn look(
    shared: Arc<Shared>,
    slot: OwnedSemaphorePermit,
    bulk_slot: Option<OwnedSemaphorePermit>,
) -> Result<Look, TransportError> {
    let (owner, with_bulk) = (shared.instance.clone(), bulk_slot.is_some());
    let claim = move |tx: &rusqlite::Connection| queue::claim(tx, &owner, with_bulk, now_ms());
    match shared.connection.call("claim a job", Durability::Process, None, claim).await? {
        Claimed::One(claim) => {
            let bulk_slot = bulk_slot.filter(|_| claim.lane == Lane::Bulk);
            let claimant = Claimant { shared, fence: claim.fence, slot: Some((slot, bulk_slot)) };
            Ok(Look::Found(claim, claimant))
        }
        Claimed::NothingUntil(due) => Ok(Look::NothingUntil(due)),
    }
}

#[async_trait]
impl Deliveries for Claimer {
    async fn next(&mut self) -> Option<Delivery> {
        let closing = self.shared.closing.clone();
        loop {
            if self.pending.is_none() {
                let slot = tokio::select! {
                    biased;
                    () = closing.cancelled() => return None,
                    slot = Arc::clone(&self.slots).acquire_owned() => slot.expect("the semaphore is never closed"),
                };
                let bulk_slot = Arc::clone(&self.bulk_slots).try_acquire_owned().ok();
                self.pending = Some(tokio::spawn(look(Arc::clone(&self.shared), slot, bulk_slot)));
            }
            let pending = self.pending.as_mut().expect("it was filled above");
            let looked = pending.await.unwrap_or(Err(TransportError::Closed));
            self.pending = None;
            let until = match looked {
                Ok(Look::Found(claim, claimant)) => {
                    let Claim { fence, task, lane, generation, failures, traceparent } = *claim;
                    return Some(Delivery::new(
                        task,
                        lane,
                        Some(generation),
                        fence.attempt,
                        failures,
                        traceparent,
                        Box::new(claimant),
                    ));
                }
                Ok(Look::NothingUntil(due)) => due.map_or(LOOK_ANYWAY, sleep_until),
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "could not look for jobs");
                    AFTER_ERROR
                }
            };
            tokio::select! {
                () = closing.cancelled() => return None,
                () = self.wake.woken() => {}
                () = tokio::time::sleep(until) => {}
            }
        }
    }
}

fn sleep_until(due_ms: i64) -> Duration {
    let wait = u64::try_from(due_ms - now_ms()).unwrap_or(0);
    Duration::from_millis(wait).min(LOOK_ANYWAY)
}

/// Who has claimed a job, and has to settle it.
struct Claimant {
    shared: Arc<Shared>,
    fence: Fence,
    /// `None` once settled; given back then.
    slot: Option<(OwnedSemaphorePermit, Option<OwnedSemaphorePermit>)>,
}

impl Claimant {
    /// Settles the claim. This process lives on and holds it, so nobody else can: it is tried until it works, or the
    /// transport closes.
    async fn settle<F>(
        mut self: Box<Self>,
        attempted: &'static str,
        wakes: Option<Topic>,
        change: F,
    ) -> Result<Settled, TransportError>
    where
        F: FnOnce(&rusqlite::Connection, Fence) -> rusqlite::Result<bool> + Clone + Send + 'static,
    {
        let slot = self.slot.take();
        loop {
            let (fence, change) = (self.fence, change.clone());
            let change = move |tx: &rusqlite::Connection| change(tx, fence);
            let settled = self.shared.connection.call(attempted, Durability::Process, wakes, change).await;
            match settled {
                Ok(held) => {
                    drop(slot);
                    return Ok(if held { Settled::Done } else { Settled::Stale });
                }
                Err(error) if self.shared.closing.is_cancelled() => return Err(error),
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "a job waits to be settled");
                    tokio::time::sleep(AFTER_ERROR).await;
                }
            }
        }
    }

    async fn retry_after(self: Box<Self>, after: Duration) -> Result<Settled, TransportError> {
        let due_ms = now_ms().saturating_add(i64::try_from(after.as_millis()).unwrap_or(i64::MAX));
        self.settle("post a job again", None, move |tx, fence| queue::retry(tx, fence, due_ms)).await
    }
}

impl Drop for Claimant {
    fn drop(&mut self) {
        if let (Some(slot), Ok(runtime)) = (self.slot.take(), tokio::runtime::Handle::try_current()) {
            // Without the slot, which marks a claim as unsettled: a runtime that shuts down drops this task at once.
            let dropped = Box::new(Self { shared: Arc::clone(&self.shared), fence: self.fence, slot: None });
            runtime.spawn(async move {
                let _ = dropped.retry_after(AFTER_DROP).await;
                drop(slot);
            });
        }
    }
}

#[async_trait]
impl Receipt for Claimant {
    async fn ack(self: Box<Self>) -> Result<Settled, TransportError> {
        self.settle("acknowledge a job", None, queue::ack).await
    }

    async fn retry(self: Box<Self>, after: Duration) -> Result<Settled, TransportError> {
        self.retry_after(after).await
    }

    async fn dead_letter(self: Box<Self>, reason: DeathReason) -> Result<Settled, TransportError> {
        let bury = move |tx: &rusqlite::Connection, fence| queue::bury_later(tx, fence, reason);
        self.settle("dead-letter a job", Some(Topic::Jobs), bury).await
    }

    async fn release(self: Box<Self>) -> Result<Settled, TransportError> {
        self.settle("release a job", Some(Topic::Jobs), queue::release).await
    }
}
