//! Works on a delivery and settles it, within a bounded time once the worker drains.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use tracing::{Instrument, error, info, info_span, warn};

use super::{
    Consumer, WorkDone,
    retries::{ONE_OBJECT_DELAY, OUTAGE_DELAY, is_past_patience, retries_exhausted, retry_delay},
    running::RELEASE_AFTER,
    transient::TransientError,
};
use crate::{
    storage::StorageError,
    telemetry,
    trace::TraceParent,
    transport::{DeathReason, Delivery, Settled, Task, TransportError},
};

/// When a draining worker stops to settle its jobs: after their release, which a broker may take two seconds for.
pub(super) const SETTLED_AFTER: Duration = RELEASE_AFTER.saturating_add(Duration::from_secs(3));

/// The time limit of a check of storage, which takes some milliseconds. Storage that is later counts as unavailable.
pub(super) const CHECK_WITHIN: Duration = Duration::from_secs(10);

impl Consumer {
    /// Works on one delivery and settles it.
    pub async fn step(&self, delivery: Delivery) {
        let (id, attempt) = (delivery.task.id(), delivery.tries.deliveries);
        let trace_id = TraceParent::trace_id_of(delivery.traceparent.as_deref()).map(tracing::field::display);
        let span = info_span!("job", id = id.map(tracing::field::display), attempt, trace_id);
        let settled = tokio::select! {
            biased;
            settled = self.settle(delivery).instrument(span) => settled,
            () = self.drained_for(SETTLED_AFTER) => {
                warn!(
                    id = id.map(tracing::field::display),
                    "a job was not settled while this worker drained; it is redelivered"
                );
                return;
            }
        };
        match settled {
            Ok(Settled::Done) => {}
            Ok(Settled::Stale) => {
                warn!(
                    id = id.map(tracing::field::display),
                    "the job was redelivered to another worker meanwhile"
                );
            }
            Err(error) => {
                warn!(
                    id = id.map(tracing::field::display),
                    error = &error as &dyn std::error::Error,
                    "could not settle a job; it is redelivered"
                );
            }
        }
    }

    async fn settle(&self, delivery: Delivery) -> Result<Settled, TransportError> {
        let begun = Instant::now();
        if matches!(delivery.task, Task::Resize(_)) && retries_exhausted(delivery.tries.failures) {
            return delivery.dead_letter(DeathReason::Exhausted).await;
        }
        let worked = tokio::select! {
            // Boxed, because it is large, and every caller would hold it.
            worked = Box::pin(self.work_on(&delivery)) => worked,
            () = self.drained_for(RELEASE_AFTER) => Err(TransientError::Machine("the worker drains".into())),
        };
        match worked {
            Ok(done) => self.finish(delivery, done, begun).await,
            Err(error) => self.give_back(delivery, error).await,
        }
    }

    async fn work_on(&self, delivery: &Delivery) -> Result<WorkDone, TransientError> {
        match &delivery.task {
            Task::Resize(job) => self.resize(job, delivery.tries).await,
            Task::Bury(letter) => self.bury(letter, delivery.tries).await,
        }
    }

    /// Settles a delivery whose work met a transient failure. A draining worker releases it after any
    /// failure: another worker meets the failure again, or does not.
    async fn give_back(&self, delivery: Delivery, error: TransientError) -> Result<Settled, TransportError> {
        let is_resize = matches!(delivery.task, Task::Resize(_));
        let Some(is_outage) = self.draining.run_until_cancelled(self.is_outage(&error)).await else {
            info!(error = &error as &dyn std::error::Error, "the job is released because this worker drains");
            return delivery.release().await;
        };
        if is_outage {
            telemetry::job("postponed");
            if !self.outage.send_replace(true) {
                error!(
                    error = &error as &dyn std::error::Error,
                    "storage or decoders are unavailable; this worker consumes no jobs until they recover"
                );
            }
            return delivery.postpone(OUTAGE_DELAY).await;
        }
        if matches!(error, TransientError::Storage(_)) && !is_past_patience(&delivery.task) {
            telemetry::job("postponed");
            warn!(
                error = &error as &dyn std::error::Error,
                "storage failed for one job; the job is postponed and no failure is counted"
            );
            return delivery.postpone(ONE_OBJECT_DELAY).await;
        }
        if is_resize && retries_exhausted(delivery.tries.failures + 1) {
            error!(
                error = &error as &dyn std::error::Error,
                "a job failed for the last time and is dead-lettered"
            );
            telemetry::job("dead");
            return delivery.dead_letter(DeathReason::Exhausted).await;
        }
        let after = retry_delay(delivery.tries.failures);
        telemetry::job("retried");
        warn!(
            error = &error as &dyn std::error::Error,
            after_seconds = after.as_secs(),
            "a job failed and is retried"
        );
        delivery.retry(after).await
    }

    /// Whether storage or decoders fail as a whole, so that any other job would fail as well.
    async fn is_outage(&self, error: &TransientError) -> bool {
        match error {
            TransientError::Storage(StorageError::Full(_)) => true,
            TransientError::Storage(_) => !self.storage_works().await,
            TransientError::Start(_) => true,
            TransientError::Machine(_) | TransientError::Queue(_) => false,
        }
    }

    /// Whether storage passes a check in time.
    pub(super) async fn storage_works(&self) -> bool {
        timeout(CHECK_WITHIN, self.storage.check()).await.is_ok_and(|checked| checked.is_ok())
    }
}
