//! The sweeper: whatever the outbox or a queue lost, storage still has.
//!
//! A stored upload without an outcome is posted again; an original that no upload claims, because its server died or
//! refused it, is removed.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures::StreamExt;
use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};
use worker::{
    State, UploadId,
    storage::{Listing, StorageError},
};

use crate::{app::App, uploads::idempotency::KEY_COUNTS_FOR};

/// How old an upload must be before it is thought lost. Longer than a body may pause, so that an original on its way
/// in is never taken for an orphan.
const OLD_ENOUGH: Duration = Duration::from_secs(30);

/// The pause between two sweeps, and how many times as long as a sweep it is at least: sweeping a large store takes
/// a twentieth of the time at most.
const PAUSE: Duration = Duration::from_secs(10);
const PAUSE_FACTOR: u32 = 20;

/// Uploads that are older are looked at once an hour only: lost uploads are found within their first day.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Uploads that are remembered because they could not be posted, 16 bytes each: ten times what an outbox holds. Of more
/// than that none is remembered, and the next sweep posts whatever it finds, as the first does.
const MAX_OVERDUE: usize = 100_000;

/// Sweeps until the server drains.
pub(crate) async fn run(app: Arc<App>) {
    let mut last_whole = None;
    let mut last_sweep = None;
    let mut overdue = HashSet::new();
    let mut beginnings = app.outbox.times_begun_anew();
    loop {
        let begun = Instant::now();
        let now_begun = app.outbox.times_begun_anew();
        if now_begun != beginnings {
            // Any upload may be lost: as when this server started, all are posted again.
            (last_whole, last_sweep, beginnings) = (None, None, now_begun);
        }
        let day_ago = unix_ms(Timestamp::now() - DAY);
        let whole = last_whole.is_none_or(|at: Instant| at.elapsed() >= HOUR)
            || overdue.iter().any(|id: &UploadId| id.unix_ms() < day_ago);
        match sweep(&app, whole, last_sweep.map(|at: Instant| at.elapsed()), &mut overdue).await {
            Ok(()) => {
                last_sweep = Some(begun);
                if whole {
                    last_whole = last_sweep;
                }
            }
            Err(error) => warn!(error = &error as &dyn std::error::Error, "a sweep was broken off"),
        }
        if overdue.len() >= MAX_OVERDUE {
            (last_whole, last_sweep) = (None, None);
            overdue.clear();
        }
        let pause = PAUSE.max(begun.elapsed() * PAUSE_FACTOR);
        tokio::select! {
            () = app.draining.cancelled() => return,
            () = sleep(pause) => {}
        }
    }
}

/// Looks at every upload, or at those of the last day. What could not be posted is `overdue`: due in the next sweep
/// whatever its age, and nothing else with it.
async fn sweep(
    app: &App,
    whole: bool,
    since_last: Option<Duration>,
    overdue: &mut HashSet<UploadId>,
) -> Result<(), StorageError> {
    let now = Timestamp::now();
    let from = if whole { UploadId::floor_at(0) } else { UploadId::floor_at(unix_ms(now - DAY)) };
    let mut listings = app.storage.list(from);
    while let Some(listing) = listings.next().await {
        let listing = listing?;
        let age = now.duration_since(listing.newest).try_into().unwrap_or(Duration::ZERO);
        if age < OLD_ENOUGH || listing.surely_ended() {
            continue;
        }
        let is_due = overdue.remove(&listing.id) || is_due(age, since_last);
        if let Err(error) = look_after(app, &listing, is_due).await {
            warn!(id = %listing.id, error = &*error, "a lost upload or orphan stays until the next sweep");
            if overdue.len() < MAX_OVERDUE {
                overdue.insert(listing.id);
            }
        }
    }
    if whole {
        let removed = app.storage.remove_old_claims(KEY_COUNTS_FOR).await?;
        debug!(removed, "removed claims of idempotency keys that count no longer");
    }
    let storage = app.storage.clone();
    let tidied = tokio::task::spawn_blocking(move || storage.remove_abandoned(OLD_ENOUGH)).await;
    if tidied.is_err() {
        warn!("tidying up broke off");
    }
    Ok(())
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn look_after(app: &App, listing: &Listing, is_due: bool) -> Result<(), Failure> {
    let id = listing.id;
    if listing.record_at.is_none() {
        app.storage.remove(id).await?;
        info!(%id, "removed an original that no upload claims");
    } else if is_due {
        post_again(app, id).await?;
    }
    Ok(())
}

async fn post_again(app: &App, id: UploadId) -> Result<(), Failure> {
    let Some(record) = app.storage.record(id).await? else {
        return Ok(());
    };
    let outcome = app.storage.outcome(id).await?;
    let upload = worker::Upload::assemble(&record, outcome.as_ref(), &app.links);
    if upload.state == State::Queued {
        app.outbox.post(&record).await?;
    }
    Ok(())
}

/// Whether an upload of this age is to be posted now: at once when it is first seen to be old, and then whenever its
/// age has doubled. In a long queue that is seldom, and a queue that still has the job does not take it twice.
fn is_due(age: Duration, since_last: Option<Duration>) -> bool {
    let doublings = |age: Duration| (age.as_secs() / OLD_ENOUGH.as_secs()).checked_ilog2();
    let before = since_last.and_then(|since| age.checked_sub(since)).and_then(doublings);
    since_last.is_none() || doublings(age) > before
}

fn unix_ms(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_upload_is_posted_at_once_and_then_whenever_its_age_has_doubled() {
        let secs = Duration::from_secs;
        let posted: Vec<u64> =
            (30..500).step_by(10).filter(|age| is_due(secs(*age), Some(secs(10)))).collect();
        assert_eq!(posted, [30, 60, 120, 240, 480]);
        assert!(is_due(secs(7777), None), "a server that has just started posts whatever it finds");
    }
}
