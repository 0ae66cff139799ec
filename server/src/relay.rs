//! The relay from the outbox to the broker, oldest job first. A job is removed from the outbox only after the broker
//! has confirmed it.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use worker::{
    JobName, Lane,
    transport::{
        self, Delivery, Posting, Room, Slots, Task, Transport, TransportError, sqlite::SqliteTransport,
    },
};

use crate::{app::App, outbox::Outbox, relay_window::RelayWindow};

/// Jobs that are published at a time: enough for thousands a second, few enough to keep the order.
const AT_ONCE: NonZeroUsize = NonZeroUsize::new(64).expect("it is not zero");

/// The delay of a job that the broker refused.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// How long a draining server empties its outbox. A remaining job is relayed after the next start, or requeued by the
/// sweeper of another server.
pub(crate) const FLUSH_WITHIN: Duration = Duration::from_secs(3);

/// How often a draining server checks whether its outbox is empty.
const CHECK_EVERY: Duration = Duration::from_millis(20);

/// How often the window forgets jobs that no worker starts.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);

/// Relays until `stopped`.
pub(crate) async fn run(app: Arc<App>, outbox: Arc<SqliteTransport>, stopped: CancellationToken) {
    let deliveries = loop {
        match outbox.consume_except(Slots::any(AT_ONCE), app.relay_window.held()) {
            Ok(deliveries) => break deliveries,
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "could not read the outbox; it is tried again"
            ),
        }
        sleep(AFTER_ERROR).await;
    };
    let relaying = transport::work(deliveries, &stopped, |delivery| {
        // Before the next delivery is claimed, so that no client exceeds the window.
        let in_window = in_window(&app.relay_window, &delivery);
        relay(Arc::clone(&app), delivery, in_window, stopped.clone())
    });
    tokio::select! {
        () = relaying => {}
        () = expire(&app.relay_window) => {}
    }
}

async fn expire(window: &RelayWindow) {
    let mut ticks = interval(EXPIRE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        window.expire(Instant::now());
    }
}

/// Counts a bulk job of a client in the window. Returns its name if it was counted.
fn in_window(window: &RelayWindow, delivery: &Delivery) -> Option<JobName> {
    let Task::Resize(job) = &delivery.task else { return None };
    let client = delivery.client.filter(|_| job.lane() == Lane::Bulk)?;
    window.on_posted(job.name(), client, Instant::now());
    Some(job.name())
}

async fn relay(app: Arc<App>, delivery: Delivery, in_window: Option<JobName>, stopped: CancellationToken) {
    let job = match &delivery.task {
        Task::Resize(job) => job.clone(),
        Task::Bury(letter) => {
            error!(
                id = letter.id.map(tracing::field::display),
                reason = letter.reason.name(),
                "dropped a job of the outbox that cannot be relayed"
            );
            let _ = delivery.ack().await;
            return;
        }
    };
    let id = job.id;
    let posting = Posting { job, client: None, room: Room::Counted };
    let settled = loop {
        let published = tokio::select! {
            published = app.transport.publish(posting.clone()) => published,
            () = stopped.cancelled() => {
                in_window.into_iter().for_each(|job| app.relay_window.on_kept(job));
                break delivery.release().await;
            }
        };
        match published {
            Ok(()) => break delivery.ack().await,
            Err(error) => {
                debug!(
                    %id,
                    error = &error as &dyn std::error::Error,
                    "could not publish a job; it stays in the outbox and is tried again"
                );
                tokio::select! {
                    () = sleep(pause(&error)) => {}
                    () = stopped.cancelled() => {}
                }
            }
        }
    };
    if let Err(error) = settled {
        let error = &error as &dyn std::error::Error;
        warn!(%id, error, "could not settle a job of the outbox; it is relayed again");
    }
}

fn pause(error: &TransportError) -> Duration {
    // A publication that found the broker unavailable has already waited.
    if matches!(error, TransportError::Unavailable { .. }) { AFTER_ERROR / 10 } else { AFTER_ERROR }
}

/// Waits until the outbox is empty, as long as the broker answers.
pub(crate) async fn flush(outbox: &Outbox, broker: &dyn Transport) {
    let emptied = timeout(FLUSH_WITHIN, async {
        while broker.check().await.is_ok() && !matches!(outbox.room_taken().await, Ok(0)) {
            sleep(CHECK_EVERY).await;
        }
    });
    if emptied.await.is_err() || !matches!(outbox.room_taken().await, Ok(0)) {
        info!("the outbox is not empty; its jobs are relayed after the next start");
    }
}
