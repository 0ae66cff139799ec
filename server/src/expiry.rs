//! Expiry: uploads are deleted when their time is over.
//!
//! The index has a prefix for each hour, so a round lists the present hour and the one before. An older hour has entries
//! only if no server was there to delete them, or if a server wrote late; the hours that exist are listed at the start and
//! every ten minutes. So the cost follows the entries that are due, and not the uploads that are stored.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use futures::TryStreamExt;
use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};
use worker::{Hour, Storage, UploadId, delete::delete, storage::StorageError, transport::Announcer};

use crate::{app::App, telemetry};

/// The pause between two rounds: an expired upload is deleted within a minute, even if one round fails.
const PAUSE: Duration = Duration::from_secs(15);

/// How often older hours are looked for.
const LOOK_BACK: Duration = Duration::from_secs(10 * 60);

/// Uploads that are deleted together.
const DELETES_AT_ONCE: usize = 16;

/// Entries of the present hour whose time is remembered: about 50 bytes each. Other entries are read in each round.
const MAX_KNOWN: usize = 100_000;

/// How far the wall clock may run ahead of the monotonic one without counting as set.
const TOLERATED: Duration = Duration::from_secs(2);

/// How long the wall clock must have been ahead to be believed. A clock that was set wrong is corrected sooner.
const BELIEVED_AFTER: Duration = Duration::from_secs(60 * 60);

/// Deletes expired uploads until the server drains.
pub(crate) async fn run(app: Arc<App>) {
    let mut expiry = Expiry::starting(Timestamp::now(), Instant::now());
    let expiring = async {
        loop {
            let (wall, now) = (Timestamp::now(), Instant::now());
            let on_deleted = |upload: &_| app.on_deleted(upload);
            match expiry.round(&app.storage, &*app.transport, &on_deleted, wall, now).await {
                Ok(0) => {}
                Ok(deleted) => info!(deleted, "deleted expired uploads"),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(error, "could not look for expired uploads; the next round tries again");
                }
            }
            sleep(PAUSE).await;
        }
    };
    app.draining.run_until_cancelled(expiring).await;
}

/// The memory of a server between two rounds.
struct Expiry {
    clock: SettledClock,
    look_back_at: Instant,
    /// The times of entries that are not due yet.
    known: HashMap<UploadId, Timestamp>,
}

impl Expiry {
    fn starting(wall: Timestamp, now: Instant) -> Self {
        Self { clock: SettledClock::starting(wall, now), look_back_at: now, known: HashMap::new() }
    }

    /// Deletes every upload that is due. Returns how many there were.
    async fn round(
        &mut self,
        storage: &Storage,
        announcer: &dyn Announcer,
        on_deleted: &(dyn Fn(&worker::Upload) + Sync),
        wall: Timestamp,
        now: Instant,
    ) -> Result<usize, StorageError> {
        let time = self.clock.time(wall, now);
        let present = Hour::of(time);
        let mut hours = BTreeSet::from([present.before(), present]);
        if now >= self.look_back_at {
            hours.extend(storage.expiry_hours().await?.into_iter().filter(|hour| *hour <= present));
            self.look_back_at = now + LOOK_BACK;
        }
        self.known.retain(|_, expires_at| Hour::of(*expires_at) >= present);
        let mut deleted = 0;
        for hour in hours {
            let mut entries = storage.list_expiry(hour).try_chunks(DELETES_AT_ONCE);
            while let Some(ids) = entries.try_next().await.map_err(|error| error.1)? {
                let known = &self.known;
                let looks = ids.into_iter().map(async |id| {
                    let due = if hour < present {
                        Ok(Due::Now)
                    } else {
                        look_up(storage, known, hour, id, time).await
                    };
                    if !matches!(due, Ok(Due::Now)) {
                        return (id, due);
                    }
                    (id, expire(storage, announcer, on_deleted, hour, id).await.map(|()| Due::Now))
                });
                for (id, due) in futures::future::join_all(looks).await {
                    match due {
                        Ok(Due::Now) => deleted += 1,
                        Ok(Due::At(expires_at)) if self.known.len() < MAX_KNOWN => {
                            self.known.insert(id, expires_at);
                        }
                        Ok(Due::At(_) | Due::WithItsHour) => {}
                        Err(error) => {
                            // Its hour may be over at the next round.
                            self.look_back_at = now;
                            let error = &error as &dyn std::error::Error;
                            warn!(%id, error, "could not delete an expired upload; the next round tries again");
                        }
                    }
                }
            }
        }
        Ok(deleted)
    }
}

/// When an upload is due.
enum Due {
    Now,
    At(Timestamp),
    /// The entry cannot be read: when its hour is over.
    WithItsHour,
}

async fn look_up(
    storage: &Storage,
    known: &HashMap<UploadId, Timestamp>,
    hour: Hour,
    id: UploadId,
    time: Timestamp,
) -> Result<Due, StorageError> {
    let expires_at = match known.get(&id) {
        Some(expires_at) => Some(*expires_at),
        None => storage.expiry(hour, id).await?.map(|entry| entry.expires_at),
    };
    Ok(match expires_at {
        Some(expires_at) if expires_at <= time => Due::Now,
        Some(expires_at) => Due::At(expires_at),
        None => Due::WithItsHour,
    })
}

async fn expire(
    storage: &Storage,
    announcer: &dyn Announcer,
    on_deleted: &(dyn Fn(&worker::Upload) + Sync),
    hour: Hour,
    id: UploadId,
) -> Result<(), StorageError> {
    if let Some(deleted) = delete(storage, announcer, id).await? {
        on_deleted(&deleted.upload);
        if deleted.is_new {
            telemetry::deleted("expired");
        }
    }
    storage.remove_expiry(hour, id).await
}

/// The wall clock, whose steps forward count only after an hour: until then somebody may have corrected it.
#[derive(Debug)]
struct SettledClock {
    wall: Timestamp,
    began: Instant,
    /// By how much the wall clock is ahead, and since when.
    ahead: Option<(Duration, Instant)>,
}

impl SettledClock {
    fn starting(wall: Timestamp, now: Instant) -> Self {
        Self { wall, began: now, ahead: None }
    }

    fn time(&mut self, wall: Timestamp, now: Instant) -> Timestamp {
        let steady = self.wall.checked_add(now.duration_since(self.began)).unwrap_or(wall);
        let Ok(lead) = Duration::try_from(wall.duration_since(steady)) else {
            // The wall clock was set back.
            self.ahead = None;
            return wall;
        };
        if lead <= TOLERATED {
            self.ahead = None;
            return steady;
        }
        // Of a lead that grows, what it was counts from its beginning; one that shrinks begins anew.
        let (lasting, since) = match self.ahead {
            Some((before, since)) if lead + TOLERATED >= before => (before.min(lead), since),
            _ => (lead, now),
        };
        self.ahead = Some((lasting, since));
        if now.duration_since(since) < BELIEVED_AFTER {
            return steady;
        }
        let time = steady.checked_add(lasting).unwrap_or(wall);
        *self = Self { ahead: Some((lead - lasting, now)), ..Self::starting(time, now) };
        time
    }
}

/// The first round of a server that starts two hours from now.
#[cfg(test)]
pub(crate) async fn pass_two_hours(storage: &Storage, announcer: &dyn Announcer) {
    let (wall, now) = (Timestamp::now() + Duration::from_secs(2 * 60 * 60), Instant::now());
    Expiry::starting(wall, now)
        .round(storage, announcer, &|_| {}, wall, now)
        .await
        .expect("storage responds");
}

#[cfg(test)]
mod tests;
