//! Claims jobs one by one, and settles them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinHandle,
};
use tracing::warn;

use super::{
    Durability, SqliteShared, Topic, announcements,
    queue::{self, ClaimLanes, ClaimOutcome, ClaimedJob, Fence},
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
    transport::{
        ClientTag, DeathReason, Deliveries, Delivery, Receipt, Settled, Slots, Task, TransportError,
    },
};

/// The poll interval of a consumer that is not woken: a retry of another process may be due, and a wake may have been
/// lost.
const POLL: Duration = Duration::from_secs(1);

/// The pause after an error of the file: long enough not to spin, short compared to a retry.
const AFTER_ERROR: Duration = Duration::from_millis(500);

/// The delay of a job whose delivery was dropped unsettled, for instance by a panic.
const AFTER_DROP: Duration = Duration::from_secs(5);

pub(super) struct SqliteDeliveries {
    shared: Arc<SqliteShared>,
    wake: WakeReceiver,
    slots: Arc<Semaphore>,
    bulk_slots: Arc<Semaphore>,
    /// The clients whose bulk jobs are held back.
    held: watch::Receiver<Vec<ClientTag>>,
    /// A claim in progress, kept here so that dropping the waiting future does not lose the job.
    pending: Option<JoinHandle<Result<ClaimTry, TransportError>>>,
}

/// The outcome of trying to claim a job.
enum ClaimTry {
    Found(Box<ClaimedJob>, SqliteReceipt),
    NothingUntil(Option<i64>),
}

impl SqliteDeliveries {
    pub(super) fn new(
        shared: Arc<SqliteShared>,
        wake: WakeReceiver,
        slots: Slots,
        held: watch::Receiver<Vec<ClientTag>>,
    ) -> Self {
        let bulk_slots = Arc::new(Semaphore::new(slots.any));
        let slots = Arc::new(Semaphore::new(slots.total()));
        Self { shared, wake, slots, bulk_slots, held, pending: None }
    }
}

impl Drop for SqliteDeliveries {
    fn drop(&mut self) {
        if let (Some(pending), Ok(runtime)) = (self.pending.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                if let Ok(Ok(ClaimTry::Found(_, claimant))) = pending.await {
                    let _ = Box::new(claimant).release().await;
                }
            });
        }
    }
}

async fn try_claim(
    shared: Arc<SqliteShared>,
    slot: OwnedSemaphorePermit,
    bulk_slot: Option<OwnedSemaphorePermit>,
    lanes: ClaimLanes,
) -> Result<ClaimTry, TransportError> {
    let (owner, announces) = (shared.instance.clone(), shared.announces);
    let claim = move |tx: &rusqlite::Connection| {
        let now_ms = monotonic_ms();
        let claimed = queue::claim(tx, &owner, rand::random(), &lanes, now_ms)?;
        if let ClaimOutcome::One(claim) = &claimed
            && let Task::Resize(job) = &claim.task
            && announces
        {
            // In the same transaction, which saves a write.
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
            Ok(ClaimTry::Found(claim, claimant))
        }
        ClaimOutcome::NothingUntil(due) => Ok(ClaimTry::NothingUntil(due)),
    }
}

/// The announcement that this job is `processing`.
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
                let lanes = match bulk_slot {
                    Some(_) => ClaimLanes::Both { held: self.held.borrow_and_update().clone() },
                    None => ClaimLanes::Interactive,
                };
                self.pending =
                    Some(tokio::spawn(try_claim(Arc::clone(&self.shared), slot, bulk_slot, lanes)));
            }
            let pending = self.pending.as_mut().expect("it was filled above");
            let tried = pending.await.unwrap_or(Err(TransportError::Closed));
            self.pending = None;
            let until = match tried {
                Ok(ClaimTry::Found(claim, claimant)) => {
                    let ClaimedJob { task, tries, traceparent, client, .. } = *claim;
                    return Some(Delivery { task, tries, traceparent, client, receipt: Box::new(claimant) });
                }
                Ok(ClaimTry::NothingUntil(due)) => due.map_or(POLL, sleep_until),
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "could not claim a job");
                    AFTER_ERROR
                }
            };
            tokio::select! {
                () = closing.cancelled() => return None,
                () = self.wake.woken() => {}
                Ok(()) = self.held.changed() => {}
                () = tokio::time::sleep(until) => {}
            }
        }
    }
}

fn sleep_until(due_ms: i64) -> Duration {
    let wait = u64::try_from(due_ms - monotonic_ms()).unwrap_or(0);
    Duration::from_millis(wait).min(POLL)
}

/// A claimed job that must be settled.
struct SqliteReceipt {
    shared: Arc<SqliteShared>,
    fence: Fence,
    traceparent: Option<String>,
    /// `None` once settled: the slot is free then.
    slot: Option<(OwnedSemaphorePermit, Option<OwnedSemaphorePermit>)>,
}

impl SqliteReceipt {
    /// Settles the claim. No other process can do it while this one lives, so it is retried until it succeeds or the
    /// transport closes.
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
                    warn!(error = &error as &dyn std::error::Error, "could not settle a job; retrying");
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
            // Without the slot, which marks a claim as unsettled: otherwise a runtime at shutdown would drop this task
            // and spawn another.
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
            // Announced even if the job was redelivered: the end is stored.
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
