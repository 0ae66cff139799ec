//! Taking jobs while storage answers and decoders start.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::{task::JoinSet, time::sleep};
use tracing::{info, warn};

use super::Consumer;
use crate::transport::Deliveries;

/// The pauses between two looks at storage and decoders that are away.
const FIRST_LOOK: Duration = Duration::from_millis(500);
pub(super) const LAST_LOOK: Duration = Duration::from_secs(15);

/// The pause before consuming is tried again.
const CONSUME_AGAIN: Duration = Duration::from_secs(1);

impl Consumer {
    /// Works on up to `slots` deliveries at a time until the worker drains, then finishes those in work. While storage or
    /// decoders are away it takes none, and looks for them with growing pauses.
    pub async fn run(self: Arc<Self>, slots: NonZeroUsize) {
        let mut jobs = JoinSet::new();
        while !self.draining.is_cancelled() {
            if *self.outage.borrow() {
                // Before other jobs are taken: never more than `slots` are at work.
                while jobs.join_next().await.is_some() {}
                self.draining.run_until_cancelled(self.wait_for_recovery()).await;
                continue;
            }
            match self.transport.consume(slots).await {
                Ok(deliveries) => self.work(deliveries, &mut jobs).await,
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "could not consume jobs");
                    self.draining.run_until_cancelled(sleep(CONSUME_AGAIN)).await;
                }
            }
        }
        jobs.join_all().await;
    }

    /// Works until the worker drains, an outage begins or the transport closes. Dropping `deliveries` then gives other
    /// workers what was not handed out.
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
                // The transport is closed: nothing more will come.
                self.draining.cancel();
                return;
            };
            let consumer = Arc::clone(self);
            jobs.spawn(async move { consumer.step(delivery).await });
        }
    }

    /// Looks again and again whether storage answers and a decoder starts.
    async fn wait_for_recovery(&self) {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(FIRST_LOOK)
            .with_max_delay(LAST_LOOK)
            .with_jitter()
            .without_max_times()
            .build();
        for pause in pauses {
            sleep(pause).await;
            if self.is_well().await {
                info!("storage and decoders are back: taking jobs again");
                self.outage.send_replace(false);
                return;
            }
        }
    }

    pub(super) async fn is_well(&self) -> bool {
        self.storage.check().await.is_ok() && self.maker.check().await.is_ok()
    }
}
