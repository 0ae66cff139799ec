//! What this server has seen of pending uploads, by its own monotonic clock.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use worker::{Changed, JobName, Lane, State, UploadId};

/// How far apart the two sightings of a pending upload are, by which it is judged. From its commit to the post of its job
/// an upload takes milliseconds.
pub(crate) const SETTLED: Duration = Duration::from_secs(10);

/// How much later another upload of the lane must have been known before it counts as accepted clearly later: outboxes of
/// other servers may hold jobs back for a while.
const CLEARLY_LATER: Duration = Duration::from_secs(30);

/// What a job may take on top of its two attempts, before nothing more is expected of the delivery that was heard of.
const JOB_MARGIN: Duration = Duration::from_secs(30);

/// A job that a worker began and nobody heard of for so long is lost whatever waits in its lane: the longest retry delay
/// is five minutes, and RabbitMQ takes a delivery back after thirty.
const FORGOTTEN: Duration = Duration::from_secs(45 * 60);

/// Uploads of each lane that are remembered because a worker began with them.
const STARTED: usize = 16;

/// Whether jobs of a lane wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaneState {
    /// Some do, or it is not known.
    Waits,
    /// None did at this sweep and at one before it.
    Empty,
}

/// One pending upload.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// When it was first seen, or its job was posted again.
    since: Instant,
    /// When a worker was last heard to begin with it.
    begun: Option<Instant>,
    /// Its lane, once its record was read.
    lane: Option<Lane>,
    round: u64,
}

/// An upload that a worker began with, and since when it can have been in the queue at the earliest.
#[derive(Debug, Clone, Copy)]
struct Begun {
    id: UploadId,
    known_since: Instant,
}

/// The pending uploads that this server has seen: about 100 bytes for each.
#[derive(Debug, Default)]
pub(crate) struct Sightings(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    seen: HashMap<JobName, Seen>,
    round: u64,
    /// When the last listing began: an upload that is not in it was accepted later.
    listed: Option<Instant>,
    begun: [VecDeque<Begun>; Lane::ALL.len()],
    empty_since: [Option<Instant>; Lane::ALL.len()],
}

impl Sightings {
    /// Begins a listing.
    pub(crate) fn begin(&self, now: Instant) -> u64 {
        let mut inner = self.inner();
        inner.round += 1;
        inner.listed = Some(now);
        inner.round
    }

    /// Sees a pending upload, which a worker may be at work with.
    pub(crate) fn see(&self, job: JobName, is_at_work: bool, now: Instant) {
        let mut inner = self.inner();
        let round = inner.round;
        let new = Seen { since: now, begun: is_at_work.then_some(now), lane: None, round };
        inner.seen.entry(job).or_insert(new).round = round;
    }

    /// Ends a listing: what was not seen in it has ended.
    pub(crate) fn end(&self, round: u64) {
        self.inner().seen.retain(|_, seen| seen.round == round);
    }

    /// Uploads that have been pending for two sightings.
    pub(crate) fn suspects(&self, now: Instant) -> Vec<JobName> {
        let inner = self.inner();
        let settled = inner.seen.iter().filter(|(_, seen)| now.duration_since(seen.since) >= SETTLED);
        settled.map(|(job, _)| *job).collect()
    }

    /// Takes in how many jobs of a lane wait now.
    pub(crate) fn on_lane(&self, lane: Lane, waiting: u64, now: Instant) -> LaneState {
        let since = &mut self.inner().empty_since[lane as usize];
        if waiting > 0 {
            *since = None;
            return LaneState::Waits;
        }
        let since = *since.get_or_insert(now);
        if now.duration_since(since) >= SETTLED { LaneState::Empty } else { LaneState::Waits }
    }

    /// Takes in an announcement: how far a lane has come, and which pending upload a worker has.
    pub(crate) fn on_changed(&self, changed: &Changed, now: Instant) {
        if changed.upload.state != State::Processing {
            return;
        }
        let mut inner = self.inner();
        let job = JobName { id: changed.upload.id, generation: changed.upload.generation };
        let known_since = match inner.seen.get_mut(&job) {
            Some(seen) => {
                seen.begun = Some(now);
                Some(seen.since)
            }
            None => inner.listed,
        };
        let Some(known_since) = known_since else { return };
        let begun = &mut inner.begun[changed.lane() as usize];
        if begun.len() == STARTED {
            begun.pop_front();
        }
        begun.push_back(Begun { id: job.id, known_since });
    }

    /// Notes that a lost job was posted.
    pub(crate) fn on_posted(&self, job: JobName, now: Instant) {
        if let Some(seen) = self.inner().seen.get_mut(&job) {
            (seen.since, seen.begun) = (now, None);
        }
    }

    /// The lane of an upload, if its record was read.
    pub(crate) fn lane(&self, job: JobName) -> Option<Lane> {
        self.inner().seen.get(&job)?.lane
    }

    /// Notes the lane of an upload.
    pub(crate) fn set_lane(&self, job: JobName, lane: Lane) {
        if let Some(seen) = self.inner().seen.get_mut(&job) {
            seen.lane = Some(lane);
        }
    }

    /// Whether a lane that can only be counted has lost a job.
    pub(crate) fn is_lost(
        &self,
        job: JobName,
        lane: Lane,
        state: LaneState,
        job_timeout: Duration,
        now: Instant,
    ) -> bool {
        let inner = self.inner();
        let Some(seen) = inner.seen.get(&job) else { return false };
        match seen.begun {
            // A worker has it, or it is delayed after a failure.
            Some(begun) => {
                let silence = now.duration_since(begun);
                silence >= FORGOTTEN || (state == LaneState::Empty && silence >= 2 * job_timeout + JOB_MARGIN)
            }
            None => {
                state == LaneState::Empty
                    || inner.begun[lane as usize].iter().any(|begun| {
                        begun.id > job.id
                            && begun.known_since.saturating_duration_since(seen.since) >= CLEARLY_LATER
                    })
            }
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
