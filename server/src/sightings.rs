//! Sightings of pending uploads in the sweeps of this server, by its own monotonic clock.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;
use worker::{Changed, JobName, Lane, State, UploadId};

/// The minimum time between the two sightings after which a pending upload can count as lost. The job of an upload is
/// posted within milliseconds after its commit.
pub(crate) const SETTLED: Duration = Duration::from_secs(10);

/// The minimum difference between the first sightings of two uploads for the second to count as accepted clearly later,
/// by lane. The outbox of another server may delay its jobs: bulk jobs also because clients take turns in it.
const CLEARLY_LATER: [Duration; Lane::ALL.len()] = [Duration::from_secs(30), Duration::from_secs(45 * 60)];

/// The minimum time since a bulk job was last started, for the bulk lane to count as empty. While bulk jobs are started,
/// others may be held back in the outbox of another server.
const BULK_QUIET: Duration = Duration::from_secs(60);

/// The time that a job may take in addition to its two attempts, before its delivery counts as lost.
const JOB_MARGIN: Duration = Duration::from_secs(30);

/// A started job without an announcement for this long is lost even if its lane is not empty: the longest retry
/// delay is five minutes, and RabbitMQ requeues an unacknowledged delivery after thirty.
const LOST_AFTER_SILENCE: Duration = Duration::from_secs(45 * 60);

/// Number of started uploads that are remembered for each lane.
const MAX_STARTED_PER_LANE: usize = 16;

/// Whether jobs wait in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaneState {
    /// Some jobs wait, or it is not known.
    HasJobs,
    /// No job waited at this sweep and at an earlier one.
    Empty,
}

/// One pending upload.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// When it was first seen, or its job was posted again.
    since: Instant,
    /// When a worker last announced that it started to process it.
    started: Option<Instant>,
    /// Its lane, once its record has been read.
    lane: Option<Lane>,
    round: u64,
}

/// An upload that a worker started to process, and the earliest time at which it can have been queued.
#[derive(Debug, Clone, Copy)]
struct StartedUpload {
    id: UploadId,
    known_since: Instant,
}

/// The pending uploads that this server has seen: about 100 bytes for each.
#[derive(Debug, Default)]
pub(crate) struct Sightings(Mutex<SightingState>);

#[derive(Debug, Default)]
struct SightingState {
    seen: HashMap<JobName, Seen>,
    round: u64,
    /// When the last listing began: an upload that is not in it was accepted later.
    listed: Option<Instant>,
    started: [VecDeque<StartedUpload>; Lane::ALL.len()],
    empty_since: [Option<Instant>; Lane::ALL.len()],
    bulk_started: Option<Instant>,
}

impl Sightings {
    /// Begins a listing of the pending index, and answers its number.
    pub(crate) fn begin(&self, now: Instant) -> u64 {
        let mut state = self.state();
        state.round += 1;
        state.listed = Some(now);
        state.round
    }

    /// Notes a pending upload of the listing. `is_at_work`: a worker is processing it.
    pub(crate) fn see(&self, job: JobName, is_at_work: bool, now: Instant) {
        let mut state = self.state();
        let round = state.round;
        let new = Seen { since: now, started: is_at_work.then_some(now), lane: None, round };
        state.seen.entry(job).or_insert(new).round = round;
    }

    /// Ends a listing: an upload that was not in it has ended and is forgotten.
    pub(crate) fn end(&self, round: u64) {
        self.state().seen.retain(|_, seen| seen.round == round);
    }

    /// The age of the oldest upload that was pending at the last listing: since its acceptance, or of a retried one
    /// since this server saw it first. It tells the age of the oldest job where the queue cannot.
    pub(crate) fn oldest(&self, wall: Timestamp, now: Instant) -> Option<Duration> {
        let wall_ms = u64::try_from(wall.as_millisecond()).unwrap_or(0);
        let age = |(job, seen): (&JobName, &Seen)| match job.generation {
            1 => Duration::from_millis(wall_ms.saturating_sub(job.id.unix_ms())),
            _ => now.duration_since(seen.since),
        };
        self.state().seen.iter().map(age).max()
    }

    /// Uploads that were pending at two sightings, at least [`SETTLED`] apart.
    pub(crate) fn suspects(&self, now: Instant) -> Vec<JobName> {
        let state = self.state();
        let settled = state.seen.iter().filter(|(_, seen)| now.duration_since(seen.since) >= SETTLED);
        settled.map(|(job, _)| *job).collect()
    }

    /// Uploads that were in the last listing of the pending index.
    pub(crate) fn all(&self) -> Vec<JobName> {
        self.state().seen.keys().copied().collect()
    }

    /// Whether an upload was in the last listing of the pending index.
    pub(crate) fn has(&self, job: JobName) -> bool {
        self.state().seen.contains_key(&job)
    }

    /// Notes how many jobs wait in a lane now.
    pub(crate) fn on_lane(&self, lane: Lane, waiting: u64, now: Instant) -> LaneState {
        let mut state = self.state();
        let is_moving = lane == Lane::Bulk
            && state.bulk_started.is_some_and(|started| now.duration_since(started) < BULK_QUIET);
        let since = &mut state.empty_since[lane as usize];
        if waiting > 0 || is_moving {
            *since = None;
            return LaneState::HasJobs;
        }
        let since = *since.get_or_insert(now);
        if now.duration_since(since) >= SETTLED { LaneState::Empty } else { LaneState::HasJobs }
    }

    /// Notes an announcement that a worker started to process an upload of a lane.
    pub(crate) fn on_changed(&self, changed: &Changed, now: Instant) {
        if changed.upload.state != State::Processing {
            return;
        }
        let mut state = self.state();
        if changed.lane() == Lane::Bulk {
            state.bulk_started = Some(now);
        }
        let job = JobName { id: changed.upload.id, generation: changed.upload.generation };
        let known_since = match state.seen.get_mut(&job) {
            Some(seen) => {
                seen.started = Some(now);
                Some(seen.since)
            }
            None => state.listed,
        };
        let Some(known_since) = known_since else { return };
        let started = &mut state.started[changed.lane() as usize];
        if started.len() == MAX_STARTED_PER_LANE {
            started.pop_front();
        }
        started.push_back(StartedUpload { id: job.id, known_since });
    }

    /// Notes that a lost job was requeued.
    pub(crate) fn on_posted(&self, job: JobName, now: Instant) {
        if let Some(seen) = self.state().seen.get_mut(&job) {
            (seen.since, seen.started) = (now, None);
        }
    }

    /// The lane of an upload, if its record was read.
    pub(crate) fn lane(&self, job: JobName) -> Option<Lane> {
        self.state().seen.get(&job)?.lane
    }

    /// Notes the lane of an upload.
    pub(crate) fn set_lane(&self, job: JobName, lane: Lane) {
        if let Some(seen) = self.state().seen.get_mut(&job) {
            seen.lane = Some(lane);
        }
    }

    /// Whether a job of a lane is lost, in a queue that can only be counted.
    pub(crate) fn is_lost(
        &self,
        job: JobName,
        lane: Lane,
        lane_state: LaneState,
        job_timeout: Duration,
        now: Instant,
    ) -> bool {
        let state = self.state();
        let Some(seen) = state.seen.get(&job) else { return false };
        match seen.started {
            // A worker is processing it, or its retry is delayed.
            Some(started) => {
                let silence = now.duration_since(started);
                silence >= LOST_AFTER_SILENCE
                    || (lane_state == LaneState::Empty && silence >= 2 * job_timeout + JOB_MARGIN)
            }
            None => {
                lane_state == LaneState::Empty
                    || state.started[lane as usize].iter().any(|started| {
                        started.id > job.id
                            && started.known_since.saturating_duration_since(seen.since)
                                >= CLEARLY_LATER[lane as usize]
                    })
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, SightingState> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
