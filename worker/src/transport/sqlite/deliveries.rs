//! Claiming jobs one by one, and settling them.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};
use tracing::warn;

use super::{
    Durability, SqliteShared, Topic, announcements,
    queue::{self, ClaimOutcome, ClaimedJob, Fence},
    wake::WakeReceiver,
};
use crate::{
    clock::monotonic_ms,
    contract::{
        link::LinkBase,
        message::{Changed, ResizeJob},
        record::Lane,
        upload::Upload,
    },
    transport::{DeathReason, Deliveries, Delivery, Receipt, Settled, Task, TransportError},
};

/// How long a consumer sleeps without being woken before it looks all the same: a retry of another process may have
/// become due, and a wake may have been lost.
const LOOK_ANYWAY: Duration = Duration::from_secs(1);

/// How long to wait after the file could not be used: long enough not to spin, short beside a retry.
const AFTER_ERROR: Duration = Duration::from_millis(500);

/// The delay of a job whose delivery was dropped unsettled, which is what a panic does.
const AFTER_DROP: Duration = Duration::from_secs(5);

pub(super) struct SqliteDeliveries {
    shared: Arc<SqliteShared>,
    wake: WakeReceiver,
    slots: Arc<Semaphore>,
    /// Of several slots, one is not for the bulk lane: a bulk run leaves room for whoever comes.
    bulk_slots: Arc<Semaphore>,
    /// A claim on its way, kept here so that dropping the future that waits for it does not lose the job.
    pending: Option<JoinHandle<Result<Look, TransportError>>>,
}

/// What a look into the queue came to, for a consumer.
enum Look {
    Found(Box<ClaimedJob>, SqliteReceipt),
    NothingUntil(Option<i64>),
}

impl SqliteDeliveries {
    pub(super) fn new(shared: Arc<SqliteShared>, wake: WakeReceiver, prefetch: NonZeroUsize) -> Self {
        let slots = Arc::new(Semaphore::new(prefetch.get()));
        let bulk_slots = Arc::new(Semaphore::new(prefetch.get().saturating_sub(1).max(1)));
        Self { shared, wake, slots, bulk_slots, pending: None }
    }
}

impl Drop for SqliteDeliveries {
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
    shared: Arc<SqliteShared>,
    slot: OwnedSemaphorePermit,
    bulk_slot: Option<OwnedSemaphorePermit>,
) -> Result<Look, TransportError> {
    let (owner, with_bulk, announces) = (shared.instance.clone(), bulk_slot.is_some(), shared.announces);
    let claim = move |tx: &rusqlite::Connection| {
        let now_ms = monotonic_ms();
        let claimed = queue::claim(tx, &owner, rand::random(), with_bulk, now_ms)?;
        if let ClaimOutcome::One(claim) = &claimed
            && let Task::Resize(job) = &claim.task
            && announces
        {
            // In the same transaction: one write less.
            announcements::add(tx, &processing(job).encode(), claim.traceparent.as_deref(), now_ms)?;
        }
        Ok(claimed)
    };
    let wakes: fn(&ClaimOutcome) -> &'static [Topic] = |claimed| match claimed {
        ClaimOutcome::One(_) => &[Topic::Announcements],
        ClaimOutcome::NothingUntil(_) => &[],
    };
    match shared.connection.call("claim a job", Durability::Process, wakes, claim).await? {
        ClaimOutcome::One(claim) => {
            let bulk_slot = bulk_slot.filter(|_| claim.lane == Lane::Bulk);
            let traceparent = claim.traceparent.clone();
            let claimant =
                SqliteReceipt { shared, fence: claim.fence, traceparent, slot: Some((slot, bulk_slot)) };
            Ok(Look::Found(claim, claimant))
        }
        ClaimOutcome::NothingUntil(due) => Ok(Look::NothingUntil(due)),
    }
}

/// The announcement that a worker has this job.
fn processing(job: &ResizeJob) -> Changed {
    Changed::new(Upload::queued(&job.record, &LinkBase::default()).processing(), job.lane())
}

#[async_trait]
impl Deliveries for SqliteDeliveries {
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
                    let ClaimedJob { task, tries, traceparent, .. } = *claim;
                    return Some(Delivery { task, tries, traceparent, receipt: Box::new(claimant) });
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
    let wait = u64::try_from(due_ms - monotonic_ms()).unwrap_or(0);
    Duration::from_millis(wait).min(LOOK_ANYWAY)
}

/// The claim of a job, which has to be settled.
struct SqliteReceipt {
    shared: Arc<SqliteShared>,
    fence: Fence,
    traceparent: Option<String>,
    /// `None` once settled; given back then.
    slot: Option<(OwnedSemaphorePermit, Option<OwnedSemaphorePermit>)>,
}

impl SqliteReceipt {
    /// Settles the claim. No other process can while this one lives, so it is tried until it works, or the transport
    /// closes.
    async fn settle<F>(
        mut self: Box<Self>,
        attempted: &'static str,
        wakes: fn(&bool) -> &'static [Topic],
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
                    warn!(error = &error as &dyn std::error::Error, "could not settle a job; trying again");
                    tokio::time::sleep(AFTER_ERROR).await;
                }
            }
        }
    }

    async fn retry_after(self: Box<Self>, after: Duration) -> Result<Settled, TransportError> {
        let retry = move |tx: &rusqlite::Connection, fence| queue::retry(tx, fence, monotonic_ms(), after);
        self.settle("post a job again", |_| &[], retry).await
    }
}

impl Drop for SqliteReceipt {
    fn drop(&mut self) {
        if let (Some(slot), Ok(runtime)) = (self.slot.take(), tokio::runtime::Handle::try_current()) {
            // Without the slot, which marks a claim as unsettled: a runtime that shuts down drops this task at once.
            let dropped = Box::new(Self {
                shared: Arc::clone(&self.shared),
                fence: self.fence,
                traceparent: None,
                slot: None,
            });
            runtime.spawn(async move {
                let _ = dropped.retry_after(AFTER_DROP).await;
                drop(slot);
            });
        }
    }
}

#[async_trait]
impl Receipt for SqliteReceipt {
    async fn finish(self: Box<Self>, changed: Option<Changed>) -> Result<Settled, TransportError> {
        let Some(changed) = changed else {
            return self.settle("acknowledge a job", |_| &[], queue::ack).await;
        };
        let (body, traceparent) = (changed.encode(), self.traceparent.clone());
        let announces = self.shared.announces;
        let finish = move |tx: &rusqlite::Connection, fence| {
            // Announced even if another worker has the job by now: the end is stored.
            if announces {
                announcements::add(tx, &body, traceparent.as_deref(), monotonic_ms())?;
            }
            queue::ack(tx, fence)
        };
        self.settle("finish a job", |_| &[Topic::Announcements], finish).await
    }

    async fn retry(self: Box<Self>, after: Duration) -> Result<Settled, TransportError> {
        self.retry_after(after).await
    }

    async fn postpone(self: Box<Self>, after: Duration) -> Result<Settled, TransportError> {
        let postpone =
            move |tx: &rusqlite::Connection, fence| queue::postpone(tx, fence, monotonic_ms(), after);
        self.settle("postpone a job", |_| &[], postpone).await
    }

    async fn dead_letter(self: Box<Self>, reason: DeathReason) -> Result<Settled, TransportError> {
        let bury = move |tx: &rusqlite::Connection, fence| queue::bury_later(tx, fence, reason);
        self.settle("dead-letter a job", |_| &[Topic::Jobs], bury).await
    }

    async fn release(self: Box<Self>) -> Result<Settled, TransportError> {
        self.settle("release a job", |_| &[Topic::Jobs], queue::release).await
    }
}
