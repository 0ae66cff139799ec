//! The sweeper: the lost job of a pending upload is requeued.
//!
//! It lists the pending index and the tombstones of a day, so its cost does not grow with stored uploads. A job counts as lost only
//! after two sightings of its upload, by this process's monotonic clock and never by a timestamp:
//!
//! | the queue | the job is lost when |
//! | --- | --- |
//! | can be searched (SQLite) | the queue does not hold it |
//! | can only be counted (RabbitMQ) | its lane was empty at two sweeps, or a worker started an upload of the lane that was accepted clearly later |
//!
//! When a queue of RabbitMQ had to be created, every pending upload of its lane is requeued at once. Some of their jobs may
//! not be lost; a worker that receives a requeued job first looks whether its upload has ended.
//!
//! With an external broker, a job that is in this server's outbox is not lost. Lost jobs are published directly to the
//! broker. In the embedded queue they do not count for the limit, so they take no capacity from clients.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};
use worker::{
    JobName, Lane, Storage, UploadId,
    clock::AgeClock,
    storage::{StorageError, UploadEnd},
    transport::{JobQueue, LookUp, LostLanes, Posting, TransportError},
};

use crate::{
    app::App,
    completions,
    sightings::{LaneState, SETTLED, Sightings},
    telemetry,
};

/// The minimum pause between two sweeps, and the minimum ratio of the pause to the duration of the sweep: sweeps of a
/// large index take at most a twentieth of the time.
const PAUSE: Duration = SETTLED;
const PAUSE_FACTOR: u32 = 20;

/// Lost jobs that are requeued at a time.
const POSTS_AT_ONCE: usize = 16;

/// Jobs in one search of the queue, which takes about ten milliseconds and blocks other callers.
const SEARCHED_AT_ONCE: usize = 1000;

/// Sweeps until the server drains; a running sweep is cancelled at once. `relayed`: the outbox is not the queue that
/// workers consume.
pub(crate) async fn run(app: Arc<App>, relayed: bool) {
    let draining = app.draining.clone();
    let clock = AgeClock::start();
    let is_at_work = |id| app.hub.has_started(id);
    let is_gone = |id| app.tombstones.contains(id);
    let sweeper = Sweeper {
        outbox: relayed.then(|| app.outbox.queue()),
        is_at_work: &is_at_work,
        is_gone: &is_gone,
        ..Sweeper::new(&app.storage, &*app.transport, &app.sightings, app.config.pixels.job_timeout)
    };
    let mut lost_lanes = app.transport.lost_lanes();
    let sweeping = async {
        loop {
            let started = Instant::now();
            match app.tombstones.sweep(&app.storage, &*app.transport, started, clock.now()).await {
                // Their announcement may have been lost.
                Ok(first) => {
                    let lost = first.into_iter().filter(|id| app.hub.is_subscribed(*id)).collect();
                    completions::read_again(&app, lost).await;
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(error, "could not sweep the tombstones; the next sweep tries again");
                }
            }
            match sweeper.sweep(started).await {
                Ok(Swept { pending, posted, cleared }) => {
                    app.unended.on_listed(started, |job| app.sightings.has(job));
                    debug!(pending, posted, cleared, "swept the pending uploads");
                }
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "could not finish a sweep; the next one tries again"
                ),
            }
            let now = Instant::now();
            sweeper.pause(now + PAUSE.max((now - started) * PAUSE_FACTOR), &mut *lost_lanes).await;
        }
    };
    draining.run_until_cancelled(sweeping).await;
}

/// The parts of a server that a sweep uses.
pub(crate) struct Sweeper<'server> {
    storage: &'server Storage,
    /// This server's outbox, if it is not the queue itself.
    outbox: Option<&'server dyn JobQueue>,
    queue: &'server dyn JobQueue,
    sightings: &'server Sightings,
    /// Whether a worker has announced that it started to process an upload.
    is_at_work: &'server (dyn Fn(UploadId) -> bool + Sync),
    /// Whether an upload was deleted.
    is_gone: &'server (dyn Fn(UploadId) -> bool + Sync),
    job_timeout: Duration,
}

impl<'server> Sweeper<'server> {
    /// A sweeper without an outbox of its own, for a server that has received no announcement.
    pub(crate) fn new(
        storage: &'server Storage,
        queue: &'server dyn JobQueue,
        sightings: &'server Sightings,
        job_timeout: Duration,
    ) -> Self {
        Self {
            storage,
            outbox: None,
            queue,
            sightings,
            is_at_work: &|_| false,
            is_gone: &|_| false,
            job_timeout,
        }
    }
}

#[cfg(test)]
impl<'server> Sweeper<'server> {
    /// The same sweeper with a list of deleted uploads.
    pub(crate) fn knowing(self, is_gone: &'server (dyn Fn(UploadId) -> bool + Sync)) -> Self {
        Self { is_gone, ..self }
    }
}

/// The numbers of a sweep.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Entries of the index.
    pub(crate) pending: usize,
    /// Lost jobs that were requeued.
    pub(crate) posted: usize,
    /// Entries of uploads that have ended, which were removed.
    pub(crate) cleared: usize,
}

/// The error that ended a sweep early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SweepError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl Sweeper<'_> {
    /// Waits for the next sweep, and meanwhile requeues the jobs of lanes that lost them.
    async fn pause(&self, until: Instant, lost_lanes: &mut dyn LostLanes) {
        loop {
            let lanes = tokio::select! {
                () = sleep_until(until) => return,
                lanes = lost_lanes.next() => lanes,
            };
            let posted = match self.post_all(&lanes, Instant::now()).await {
                Ok(Swept { pending, posted, .. }) => {
                    info!(pending, posted, "posted the pending uploads of a created queue again");
                    true
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(error, "could not post all pending uploads of a created queue; it is tried again");
                    false
                }
            };
            lost_lanes.settle(posted).await;
        }
    }

    /// Requeues every pending upload of lanes that lost their jobs, unless it is in this server's outbox.
    pub(crate) async fn post_all(&self, lanes: &[Lane], now: Instant) -> Result<Swept, SweepError> {
        let mut swept = self.list(now).await?;
        let proof = Proof::Lost(Lane::ALL.map(|lane| lanes.contains(&lane)));
        let pending = self.not_in_outbox(self.sightings.all()).await?;
        let suspects = pending.into_iter().map(|job| (job, proof)).collect();
        match self.recover_all(suspects, now, &mut swept).await {
            None => Ok(swept),
            Some(error) => Err(error),
        }
    }

    /// Checks every pending upload once, and requeues lost jobs.
    pub(crate) async fn sweep(&self, now: Instant) -> Result<Swept, SweepError> {
        let mut swept = self.list(now).await?;
        let suspects = self.not_in_outbox(self.sightings.suspects(now)).await?;
        let suspects = match self.missing(suspects, now).await {
            Ok(suspects) => suspects,
            Err(error) => {
                // Without an answer of the broker, no job can be proved lost.
                debug!(
                    error = &error as &dyn std::error::Error,
                    "could not look up pending jobs in the queue; the next sweep tries again"
                );
                return Ok(swept);
            }
        };
        self.recover_all(suspects, now, &mut swept).await;
        Ok(swept)
    }

    /// Lists the pending index.
    async fn list(&self, now: Instant) -> Result<Swept, SweepError> {
        let mut swept = Swept::default();
        let round = self.sightings.begin(now);
        let mut entries = self.storage.list_pending();
        while let Some(job) = entries.try_next().await? {
            swept.pending += 1;
            if (self.is_gone)(job.id) {
                // A retry or an acceptance wrote it after the deletion.
                self.storage.remove_pending(job).await?;
                info!(id = %job.id, "removed the pending entry of a deleted upload");
                swept.cleared += 1;
                continue;
            }
            self.sightings.see(job, (self.is_at_work)(job.id), now);
        }
        self.sightings.end(round);
        Ok(swept)
    }

    /// Requeues lost jobs, some at a time. Answers an error of one that could not be requeued.
    async fn recover_all(
        &self,
        suspects: Vec<(JobName, Proof)>,
        now: Instant,
        swept: &mut Swept,
    ) -> Option<SweepError> {
        let mut failed = None;
        let mut recovered = stream::iter(suspects)
            .map(async |(job, proof)| (job, self.recover(job, proof, now).await))
            .buffer_unordered(POSTS_AT_ONCE);
        while let Some((job, recovered)) = recovered.next().await {
            match recovered {
                Ok(Recovered::Posted) => {
                    telemetry::swept();
                    swept.posted += 1;
                }
                Ok(Recovered::Cleared) => swept.cleared += 1,
                Ok(Recovered::NotLost) => {}
                Err(error) => {
                    let cause = &error as &dyn std::error::Error;
                    warn!(id = %job.id, error = cause, "could not requeue a lost job; the next sweep tries again");
                    failed = Some(error);
                }
            }
        }
        failed
    }

    /// Leaves out jobs that this server's outbox still holds.
    async fn not_in_outbox(&self, suspects: Vec<JobName>) -> Result<Vec<JobName>, SweepError> {
        match self.outbox {
            Some(outbox) => {
                let mut not_in_outbox = Vec::new();
                for chunk in suspects.chunks(SEARCHED_AT_ONCE) {
                    match outbox.look_up(Lane::Interactive, chunk).await? {
                        LookUp::Missing(missing) => not_in_outbox.extend(missing),
                        LookUp::Waiting(_) => not_in_outbox.extend(chunk),
                    }
                }
                Ok(not_in_outbox)
            }
            None => Ok(suspects),
        }
    }

    /// The jobs that the queue may have lost, and the proof: a search, or the counts of the lanes.
    async fn missing(
        &self,
        suspects: Vec<JobName>,
        now: Instant,
    ) -> Result<Vec<(JobName, Proof)>, TransportError> {
        let mut states = [LaneState::HasJobs; Lane::ALL.len()];
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
        // The lane of a job is in its record, which is read only if one of the lanes may have lost the job.
        let may_be_lost = |job: &JobName| Lane::ALL.iter().any(|lane| self.is_lost(*job, *lane, proof, now));
        Ok(suspects.into_iter().filter(may_be_lost).map(|job| (job, proof)).collect())
    }

    fn is_lost(&self, job: JobName, lane: Lane, proof: Proof, now: Instant) -> bool {
        match proof {
            Proof::Searched => true,
            Proof::Lost(lanes) => lanes[lane as usize],
            Proof::Counted(states) => {
                self.sightings.is_lost(job, lane, states[lane as usize], self.job_timeout, now)
            }
        }
    }

    /// Requeues a lost job, or removes the entry of an upload that has ended.
    async fn recover(&self, job: JobName, proof: Proof, now: Instant) -> Result<Recovered, SweepError> {
        let known_lane = self.sightings.lane(job);
        if known_lane.is_some_and(|lane| !self.is_lost(job, lane, proof, now)) {
            return Ok(Recovered::NotLost);
        }
        let end = self.storage.end_of(job).await?;
        if end.is_some() || self.storage.is_gone(job.id).await? {
            if let Some(UploadEnd::Ready(result)) = end {
                // Clients that saw this generation as queued ignore the result of an older one.
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
            return Ok(Recovered::NotLost);
        }
        info!(id = %job.id, generation = job.generation, "the job of a pending upload was lost; it is requeued");
        self.queue.publish(Posting::of_sweeper(record)).await?;
        self.sightings.on_posted(job, now);
        Ok(Recovered::Posted)
    }
}

/// The proof that a job may be lost.
#[derive(Debug, Clone, Copy)]
enum Proof {
    /// The queue was searched.
    Searched,
    /// Queues of these lanes had to be created.
    Lost([bool; Lane::ALL.len()]),
    /// The lanes were counted.
    Counted([LaneState; Lane::ALL.len()]),
}

enum Recovered {
    Posted,
    Cleared,
    NotLost,
}

#[cfg(test)]
mod tests;
