//! From the outbox to the broker: a row leaves only after the broker has confirmed its job, oldest first.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use worker::transport::{self, Delivery, Posting, Room, Task, Transport, TransportError};

use crate::outbox::Outbox;

/// Jobs that are on their way to the broker at once: enough for thousands a second, few enough to keep the order.
const WINDOW: NonZeroUsize = NonZeroUsize::new(64).expect("it is not zero");

/// The delay of a job that the broker did not take.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// How long a server that drains goes on emptying its outbox. What stays is relayed by its next start, or swept up by
/// another server.
const FLUSH_WITHIN: Duration = Duration::from_secs(10);

/// How often a server that drains looks whether its outbox is empty.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Relays until `stopped`.
pub(crate) async fn run(outbox: Arc<dyn Transport>, broker: Arc<dyn Transport>, stopped: CancellationToken) {
    let deliveries = loop {
        match outbox.consume(WINDOW).await {
            Ok(deliveries) => break deliveries,
            Err(error) => warn!(error = &error as &dyn std::error::Error, "could not read the outbox"),
        }
        sleep(AFTER_ERROR).await;
    };
    transport::work(deliveries, &stopped, |delivery| relay(Arc::clone(&broker), delivery, stopped.clone()))
        .await;
}

async fn relay(broker: Arc<dyn Transport>, delivery: Delivery, stopped: CancellationToken) {
    let job = match &delivery.task {
        Task::Resize(job) => job.clone(),
        Task::Bury(letter) => {
            error!(
                id = letter.id.map(tracing::field::display),
                reason = letter.reason.name(),
                "a job in the outbox is dead"
            );
            let _ = delivery.ack().await;
            return;
        }
    };
    let id = job.id;
    let posting = Posting { job, room: Room::Counted };
    let settled = loop {
        let published = tokio::select! {
            published = broker.publish(posting.clone()) => published,
            () = stopped.cancelled() => break delivery.release().await,
        };
        match published {
            Ok(()) => break delivery.ack().await,
            Err(error) => {
                debug!(%id, error = &error as &dyn std::error::Error, "a job stays in the outbox");
                tokio::select! {
                    () = sleep(pause(&error)) => {}
                    () = stopped.cancelled() => {}
                }
            }
        }
    };
    if let Err(error) = settled {
        warn!(%id, error = &error as &dyn std::error::Error, "a relayed job stays in the outbox and is relayed again");
    }
}

fn pause(error: &TransportError) -> Duration {
    // A publication that waited in vain has waited long enough.
    if matches!(error, TransportError::Unavailable { .. }) { AFTER_ERROR / 10 } else { AFTER_ERROR }
}

/// Waits until the outbox is empty, as long as there is a broker to take what is in it.
pub(crate) async fn flush(outbox: &Outbox, broker: &dyn Transport) {
    let emptied = timeout(FLUSH_WITHIN, async {
        while broker.check().await.is_ok() && !matches!(outbox.room_taken().await, Ok(0)) {
            sleep(LOOK_EVERY).await;
        }
    });
    if emptied.await.is_err() || !matches!(outbox.room_taken().await, Ok(0)) {
        info!("some jobs stay in the outbox until the next start");
    }
}
