//! Consumes jobs while storage responds and decoders start.

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tracing::{info, warn};

use super::Consumer;
use crate::{
    telemetry::{self, BusySlot},
    transport::{Deliveries, Slots},
};

/// The pauses between two checks of unavailable storage or decoders.
const FIRST_CHECK_PAUSE: Duration = Duration::from_millis(500);
pub(super) const LONGEST_CHECK_PAUSE: Duration = Duration::from_secs(15);

/// The pause after consuming failed.
const AFTER_CONSUME_ERROR: Duration = Duration::from_secs(1);

/// How long a draining worker goes on with its jobs. Then it releases them to other workers, and nothing is counted
/// against them. Pictures take far less; all stages of a drain together must end before a supervisor kills.
pub const RELEASE_AFTER: Duration = Duration::from_secs(8);

impl Consumer {
    /// Resolves this long after the worker has begun to drain.
    pub(super) async fn drained_for(&self, time: Duration) {
        self.draining.cancelled().await;
        let since = *self.drains_since.get_or_init(Instant::now);
        sleep_until(since + time).await;
    }

    /// Works on a delivery in each slot until the worker drains, then finishes its deliveries. While storage or decoders
    /// are unavailable it consumes nothing and checks them with growing pauses.
    pub async fn run(self: Arc<Self>, slots: Slots) {
        telemetry::slots(slots.total());
        let mut jobs = JoinSet::new();
        while !self.draining.is_cancelled() {
            if *self.outage.borrow() {
                let recovering = async {
                    // Finish these first: never more jobs than slots are at work.
                    while jobs.join_next().await.is_some() {}
                    self.wait_for_recovery().await;
                };
                self.draining.run_until_cancelled(recovering).await;
                continue;
            }
            match self.transport.consume(slots).await {
                Ok(deliveries) => self.work(deliveries, &mut jobs).await,
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "could not consume jobs");
                    self.draining.run_until_cancelled(sleep(AFTER_CONSUME_ERROR)).await;
                }
            }
        }
        // Closed at once, so that no job waits for a broker that takes nothing.
        tokio::join!(jobs.join_all(), self.transport.close());
    }

    /// Works until the worker drains, an outage starts or the transport closes. Dropping `deliveries` releases the jobs
    /// that were not handed out to other workers.
    async fn work(self: &Arc<Self>, mut deliveries: Box<dyn Deliveries>, jobs: &mut JoinSet<()>) {
        let mut outage = self.outage.subscribe();
        loop {
            let delivery = tokio::select! {
                biased;
                () = self.draining.cancelled() => return,
                _ = outage.wait_for(|away| *away) => return,
                Some(_) = jobs.join_next(), if !jobs.is_empty() => continue,
                delivery = deliveries.next() => delivery,
            };
            let Some(delivery) = delivery else {
                // The transport is closed: no delivery follows.
                self.draining.cancel();
                return;
            };
            let consumer = Arc::clone(self);
            jobs.spawn(async move {
                let _busy = BusySlot::take();
                consumer.step(delivery).await;
            });
        }
    }

    /// Checks storage and decoders until both work.
    async fn wait_for_recovery(&self) {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(FIRST_CHECK_PAUSE)
            .with_max_delay(LONGEST_CHECK_PAUSE)
            .with_jitter()
            .without_max_times()
            .build();
        for pause in pauses {
            sleep(pause).await;
            if self.has_recovered().await {
                info!("storage and decoders have recovered; consuming jobs again");
                self.outage.send_replace(false);
                return;
            }
        }
    }

    pub(super) async fn has_recovered(&self) -> bool {
        self.storage_works().await && self.maker.check().await.is_ok()
    }
}
