//! From the reply exchange to the hub, and the re-checks that make a lost reply cost seconds.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{Instrument, debug, info, info_span, warn};
use worker::{
    Announcement, UploadId,
    trace::TraceParent,
    transport::{Announcements, Heard},
};

use crate::app::App;

/// How often every upload that is waited for is read again, though nothing was announced.
const RECHECK: Duration = Duration::from_secs(15);

/// Uploads that are read at a time for a re-check.
const READS_AT_ONCE: usize = 16;

/// How long to wait before listening is tried again.
const AFTER_ERROR: Duration = Duration::from_millis(500);

/// Listens until the server drains.
pub(crate) async fn run(app: Arc<App>) {
    let mut recheck = interval(RECHECK);
    recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut listener = listen(&app).await;
    loop {
        tokio::select! {
            heard = listener.next() => match heard {
                Some(Heard::Announcement(announcement, trace)) => {
                    let trace_id = TraceParent::trace_id_of(trace.as_deref()).map(tracing::field::display);
                    let span = info_span!("push", id = %announcement.id(), trace_id);
                    hear(&app, announcement).instrument(span).await;
                }
                Some(Heard::Interrupted) => {
                    info!("completions may have been missed: reading again what is waited for");
                    read_again(&app, app.hub.unended()).await;
                }
                None => return,
            },
            _ = recheck.tick() => read_again(&app, app.hub.unended()).await,
        }
    }
}

async fn listen(app: &App) -> Box<dyn Announcements> {
    loop {
        match app.transport.listen().await {
            Ok(listener) => return listener,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "could not listen for completions");
                sleep(AFTER_ERROR).await;
            }
        }
    }
}

async fn hear(app: &App, announcement: Announcement) {
    if worker::failpoint::hit("hear", "").await == worker::failpoint::Hit::Drop {
        return;
    }
    debug!("a worker's news is told to whoever waits");
    if let Some(id) = app.hub.hear(announcement, &app.links) {
        read_again(app, vec![id]).await;
    }
}

/// Reads uploads and tells whoever waits for them.
async fn read_again(app: &App, ids: Vec<UploadId>) {
    stream::iter(ids)
        .for_each_concurrent(READS_AT_ONCE, async |id| match app.upload(id).await {
            Ok(Some(upload)) => app.hub.deliver(&upload),
            Ok(None) => {}
            Err(error) => {
                debug!(%id, error = &error as &dyn std::error::Error, "could not read an upload again")
            }
        })
        .await;
}
