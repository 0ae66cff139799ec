//! The sweeper: a pending upload whose job was lost is posted again.
//!
//! It lists the pending index and nothing else, so its cost follows what is unfinished. A pending upload is judged by two
//! sightings on this process's monotonic clock, never by a timestamp:
//!
//! | the queue | the job is lost when |
//! | --- | --- |
//! | can be searched (SQLite) | the queue does not hold it |
//! | can only be counted (RabbitMQ) | its lane was empty at two sweeps, or a worker took an upload of the lane that was accepted clearly later |
//!
//! With a broker elsewhere, a job that this server's outbox holds is not lost. Lost jobs go straight to the broker; in
//! the embedded queue they take no room. So clients keep theirs.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};
use worker::{
    JobName, Lane, Storage, UploadId,
    storage::{StorageError, UploadEnd},
    transport::{JobQueue, LookUp, Posting, TransportError},
};

use crate::{
    app::App,
    sightings::{LaneState, SETTLED, Sightings},
};

/// The pause between two sweeps, and how many times as long as a sweep it is at least: sweeping a large index takes a
/// twentieth of the time at most.
const PAUSE: Duration = SETTLED;
const PAUSE_FACTOR: u32 = 20;

/// Lost jobs that are posted at a time.
const POSTS_AT_ONCE: usize = 16;

/// Jobs that the queue is searched for at a time: some ten milliseconds, in which no other caller has its turn.
const SEARCHED_AT_ONCE: usize = 1000;

/// Sweeps until the server drains; a sweep that is under way ends at once. `relayed` tells whether the outbox is another
/// queue than the one that workers consume.
pub(crate) async fn run(app: Arc<App>, relayed: bool) {
    let draining = app.draining.clone();
    let sweeping = async {
        loop {
            let begun = Instant::now();
            let sweeper = Sweeper {
                storage: &app.storage,
                outbox: relayed.then(|| app.outbox.queue()),
                queue: &*app.transport,
                sightings: &app.sightings,
                is_at_work: &|id| app.hub.has_started(id),
                job_timeout: app.config.pixels.job_timeout,
            };
            match sweeper.sweep(begun).await {
                Ok(Swept { pending, posted, cleared }) => {
                    debug!(pending, posted, cleared, "swept the pending uploads");
                }
                Err(error) => warn!(error = &error as &dyn std::error::Error, "could not finish a sweep"),
            }
            sleep(PAUSE.max(begun.elapsed() * PAUSE_FACTOR)).await;
        }
    };
    draining.run_until_cancelled(sweeping).await;
}

/// What a sweep needs. Borrowed, so that tests put it together from what they have.
pub(crate) struct Sweeper<'server> {
    pub(crate) storage: &'server Storage,
    /// This server's outbox, where it is not the queue itself.
    pub(crate) outbox: Option<&'server dyn JobQueue>,
    pub(crate) queue: &'server dyn JobQueue,
    pub(crate) sightings: &'server Sightings,
    /// Whether a worker was heard to begin with an upload.
    pub(crate) is_at_work: &'server (dyn Fn(UploadId) -> bool + Sync),
    pub(crate) job_timeout: Duration,
}

/// The numbers of a sweep.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Entries of the index.
    pub(crate) pending: usize,
    /// Lost jobs that were posted.
    pub(crate) posted: usize,
    /// Entries of uploads that have ended, which were removed.
    pub(crate) cleared: usize,
}

/// Why a sweep ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SweepError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl Sweeper<'_> {
    /// Looks at every pending upload once.
    pub(crate) async fn sweep(&self, now: Instant) -> Result<Swept, SweepError> {
        let mut swept = Swept::default();
        let round = self.sightings.begin(now);
        let mut entries = self.storage.list_pending();
        while let Some(job) = entries.try_next().await? {
            swept.pending += 1;
            self.sightings.see(job, (self.is_at_work)(job.id), now);
        }
        self.sightings.end(round);
        let suspects = self.held_by_nobody(self.sightings.suspects(now)).await?;
        let suspects = match self.missing(suspects, now).await {
            Ok(suspects) => suspects,
            Err(error) => {
                // A broker that is away has lost nothing that could be told now.
                debug!(error = &error as &dyn std::error::Error, "the queue cannot be asked for lost jobs");
                return Ok(swept);
            }
        };
        let mut recovered = stream::iter(suspects)
            .map(async |(job, proof)| (job, self.recover(job, proof, now).await))
            .buffer_unordered(POSTS_AT_ONCE);
        while let Some((job, recovered)) = recovered.next().await {
            match recovered {
                Ok(Recovered::Posted) => swept.posted += 1,
                Ok(Recovered::Cleared) => swept.cleared += 1,
                Ok(Recovered::Waits) => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(id = %job.id, error, "could not requeue a lost job; the next sweep tries again");
                }
            }
        }
        Ok(swept)
    }

    /// Leaves out jobs that this server's outbox still holds.
    async fn held_by_nobody(&self, suspects: Vec<JobName>) -> Result<Vec<JobName>, SweepError> {
        match self.outbox {
            Some(outbox) => {
                let mut held_by_nobody = Vec::new();
                for chunk in suspects.chunks(SEARCHED_AT_ONCE) {
                    match outbox.look_up(Lane::Interactive, chunk).await? {
                        LookUp::Missing(missing) => held_by_nobody.extend(missing),
                        LookUp::Waiting(_) => held_by_nobody.extend(chunk),
                    }
                }
                Ok(held_by_nobody)
            }
            None => Ok(suspects),
        }
    }

    /// The jobs that the queue may have lost, and whether that is certain or hangs on their lane.
    async fn missing(
        &self,
        suspects: Vec<JobName>,
        now: Instant,
    ) -> Result<Vec<(JobName, Proof)>, TransportError> {
        let mut states = [LaneState::Waits; Lane::ALL.len()];
        let first = &suspects[..suspects.len().min(SEARCHED_AT_ONCE)];
        for lane in Lane::ALL {
            match self.queue.look_up(lane, first).await? {
                LookUp::Missing(mut missing) => {
                    for chunk in suspects[first.len()..].chunks(SEARCHED_AT_ONCE) {
                        if let LookUp::Missing(more) = self.queue.look_up(lane, chunk).await? {
                            missing.extend(more);
                        }
                    }
                    return Ok(missing.into_iter().map(|job| (job, Proof::Searched)).collect());
                }
                LookUp::Waiting(jobs) => states[lane as usize] = self.sightings.on_lane(lane, jobs, now),
            }
        }
        let proof = Proof::Counted(states);
        // Its lane is in its record, which is read only for jobs that one of the lanes may have lost.
        let may_be_lost = |job: &JobName| Lane::ALL.iter().any(|lane| self.is_lost(*job, *lane, proof, now));
        Ok(suspects.into_iter().filter(may_be_lost).map(|job| (job, proof)).collect())
    }

    fn is_lost(&self, job: JobName, lane: Lane, proof: Proof, now: Instant) -> bool {
        match proof {
            Proof::Searched => true,
            Proof::Counted(states) => {
                self.sightings.is_lost(job, lane, states[lane as usize], self.job_timeout, now)
            }
        }
    }

    /// Posts a lost job, or removes the entry of an upload that has ended.
    async fn recover(&self, job: JobName, proof: Proof, now: Instant) -> Result<Recovered, SweepError> {
        let known_lane = self.sightings.lane(job);
        if known_lane.is_some_and(|lane| !self.is_lost(job, lane, proof, now)) {
            return Ok(Recovered::Waits);
        }
        let end = self.storage.end_of(job).await?;
        if end.is_some() || self.storage.is_gone(job.id).await? {
            if let Some(UploadEnd::Ready(result)) = end {
                // Clients that saw this generation queued take no report of an older one.
                self.storage.raise_result(result, job.generation).await?;
            }
            self.storage.remove_pending(job).await?;
            info!(id = %job.id, "removed the pending entry of an upload that has ended");
            return Ok(Recovered::Cleared);
        }
        let Some(record) = self.storage.pending(job).await? else {
            if !self.storage.has_original(job.id).await? {
                self.storage.remove_pending(job).await?;
                warn!(id = %job.id, "removed a pending entry that cannot be read and has no original");
            }
            return Ok(Recovered::Cleared);
        };
        self.sightings.set_lane(job, record.lane());
        if !self.is_lost(job, record.lane(), proof, now) {
            return Ok(Recovered::Waits);
        }
        info!(id = %job.id, generation = job.generation, "the job of a pending upload was lost and is posted again");
        self.queue.publish(Posting::of_sweeper(record)).await?;
        self.sightings.on_posted(job, now);
        Ok(Recovered::Posted)
    }
}

/// How it is known that a job may be lost.
#[derive(Debug, Clone, Copy)]
enum Proof {
    /// The queue was searched.
    Searched,
    /// The lanes were counted.
    Counted([LaneState; Lane::ALL.len()]),
}

enum Recovered {
    Posted,
    Cleared,
    Waits,
}

#[cfg(test)]
mod tests;
