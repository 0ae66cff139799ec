//! The path of announcements from the reply exchange to the hub. They are pushed without a storage read. Lost
//! announcements are replaced by reads of storage, on a task of their own that never delays a push.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};
use tracing::{Instrument, debug, info, info_span, warn};
use worker::{
    Changed, UploadId,
    trace::TraceParent,
    transport::{Announcements, ListenEvent},
};

use crate::app::App;

/// How often every subscribed upload is read again without an announcement.
const RECHECK: Duration = Duration::from_secs(15);

/// Uploads that are read at a time for a re-check.
const READS_AT_ONCE: usize = 16;

/// The pause before another attempt to listen.
const AFTER_ERROR: Duration = Duration::from_millis(500);

/// Listens until the transport closes.
pub(crate) async fn run(app: Arc<App>) {
    let (deaf, interrupted) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let rechecking = tokio::spawn(recheck(Arc::clone(&app), Arc::clone(&deaf), Arc::clone(&interrupted)));
    let mut listener = listen(&app).await;
    while let Some(heard) = listener.next().await {
        match heard {
            ListenEvent::Changed(changed, trace) => {
                let trace_id = TraceParent::trace_id_of(trace.as_deref()).map(tracing::field::display);
                let span = info_span!("push", id = %changed.upload.id, trace_id);
                on_changed(&app, *changed).instrument(span).await;
            }
            ListenEvent::Deaf => deaf.notify_one(),
            ListenEvent::Interrupted => {
                info!(
                    "the listener was interrupted and may have missed announcements; subscribed uploads are read again"
                );
                app.relay_window.forget();
                app.results.forget_all();
                interrupted.notify_one();
            }
        }
    }
    rechecking.abort();
}

async fn listen(app: &App) -> Box<dyn Announcements> {
    loop {
        match app.transport.listen().await {
            Ok(listener) => return listener,
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "could not listen for announcements; it is tried again"
                );
                sleep(AFTER_ERROR).await;
            }
        }
    }
}

async fn on_changed(app: &App, changed: Changed) {
    if worker::failpoint::hit("hear", "").await == worker::failpoint::Hit::Drop {
        return;
    }
    debug!(state = changed.upload.state.name(), "an upload changed");
    app.unended.on_changed(&changed.upload);
    app.relay_window.on_changed(&changed);
    app.sightings.on_changed(&changed, Instant::now());
    app.results.on_changed(&changed.upload);
    app.hub.on_changed(&changed.upload.relink(&app.links));
}

/// Reads every subscribed upload that has not ended every [`RECHECK`] and while nothing is heard, and every subscribed
/// upload after an interruption: one that has ended may have been deleted meanwhile.
async fn recheck(app: Arc<App>, deaf: Arc<Notify>, interrupted: Arc<Notify>) {
    let mut ticks = interval_at(Instant::now() + RECHECK, RECHECK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let ids = tokio::select! {
            _ = ticks.tick() => app.hub.unended(),
            () = deaf.notified() => app.hub.unended(),
            () = interrupted.notified() => app.hub.subscribed(),
        };
        read_again(&app, ids).await;
    }
}

/// Reads uploads and delivers them to their subscribers.
pub(crate) async fn read_again(app: &App, ids: Vec<UploadId>) {
    stream::iter(ids)
        .for_each_concurrent(READS_AT_ONCE, async |id| match app.upload_in_storage(id).await {
            Ok(Some(upload)) => app.hub.deliver(&upload),
            Ok(None) => {}
            Err(error) => {
                debug!(%id, error = &error as &dyn std::error::Error, "could not read an upload again");
            }
        })
        .await;
}
