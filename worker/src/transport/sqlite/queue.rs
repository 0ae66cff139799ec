//! The queue as SQL: every function is one step inside a transaction, and gets the time only as an argument.
//!
//! A job is due at once, or at a time of the monotonic clock. All processes of a host share that clock, and it never
//! steps. Delayed jobs that are due come before those that never waited: they are older.
//!
//! The jobs of a lane that never waited are claimed in turns, by start-time fair queueing: a job gets the turn after
//! its client's last one, but not an earlier turn than the lane has reached. Turns alone would share jobs equally, and
//! a client with slow pictures would get nearly all the time. So of the first [`HEADS`] jobs, one is claimed whose
//! client has the fewest jobs at work.

use std::{sync::LazyLock, time::Duration};

use rusqlite::{Connection, OptionalExtension, Result, params};

use crate::{
    contract::record::{JobName, Lane},
    transport::{ClientTag, DeadLetter, DeathReason, Depth, Posting, Room, Task, Tries, delivery::read_job},
};

/// The number of crashed workers after which a job is dead: a fourth worker would crash as well.
pub(super) const MAX_CRASHES: u32 = 3;

/// The longest delay of a job. A later due time is from before a reboot.
const MAX_DELAY: Duration = Duration::from_secs(600);

/// Jobs of a lane that are compared for a claim, which costs about two microseconds for each. Their clients are
/// different ones, as long as these have had equally many turns.
const HEADS: u32 = 32;

const READY: u32 = 0;
const CLAIMED: u32 = 1;
const DEAD: u32 = 2;
const BURYING: u32 = 3;
const BURIED: u32 = 4;
/// The row of the tally with the jobs that count towards the capacity.
const ROOM: u32 = 5;

/// A lane as its column holds it.
pub(super) const LANE_BULK: u32 = Lane::Bulk as u32;

/// A claimed row: the work, and the fence to settle it with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClaimedJob {
    pub(super) fence: Fence,
    pub(super) task: Task,
    pub(super) lane: Lane,
    pub(super) tries: Tries,
    pub(super) traceparent: Option<String>,
    pub(super) client: Option<ClientTag>,
}

/// A settlement counts only while the row is claimed with the same token, which is random for each claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fence {
    pub(super) seq: i64,
    pub(super) token: i64,
}

/// The lanes of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ClaimLanes {
    /// The interactive lane only.
    Interactive,
    /// Both lanes, without the bulk jobs of these clients.
    Both { held: Vec<ClientTag> },
}

impl ClaimLanes {
    /// Both lanes, and all clients.
    #[cfg(test)]
    pub(super) const ALL: Self = Self::Both { held: Vec::new() };

    const fn with_bulk(&self) -> bool {
        matches!(self, Self::Both { .. })
    }

    /// The clients whose bulk jobs are held back, as a JSON array of numbers.
    fn held(&self) -> String {
        let Self::Both { held } = self else { return "[]".into() };
        let numbers: Vec<i64> = held.iter().map(|client| client.0).collect();
        serde_json::to_string(&numbers).expect("numbers are written as JSON")
    }
}

/// The outcome of [`claim`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClaimOutcome {
    One(Box<ClaimedJob>),
    /// No job is due; the next delayed job is due at this time, if there is one.
    NothingUntil(Option<i64>),
}

/// Whether a posting was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Posted {
    Done,
    Full,
}

/// The two times of a posting, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// Since 1970, for people.
    pub(super) wall: i64,
    /// Time of the monotonic clock.
    pub(super) monotonic: i64,
}

/// Prepares an opened file: recounts its jobs, and makes jobs due whose due time is from before a reboot.
pub(super) fn prepare(tx: &Connection, now_ms: i64) -> Result<()> {
    let limit = now_ms.saturating_add(milliseconds(MAX_DELAY));
    tx.execute("UPDATE jobs SET due_ms = 0 WHERE due_ms > ?1", [limit])?;
    // Only differing rows are written.
    tx.execute(
        "WITH counted (state, jobs) AS (
             SELECT tally.state, count(jobs.seq) FROM tally
             LEFT JOIN jobs ON jobs.state = tally.state OR (tally.state = ?1 AND jobs.state < ?2 AND jobs.counted)
             GROUP BY tally.state)
         UPDATE tally SET jobs = counted.jobs FROM counted
         WHERE counted.state = tally.state AND counted.jobs <> tally.jobs",
        [ROOM, DEAD],
    )
    .map(drop)
}

/// Adds a job, unless its generation is already in the queue, or the queue is at capacity.
pub(super) fn post(tx: &Connection, posting: &Posting, capacity: u64, wall_ms: i64) -> Result<Posted> {
    let counted = posting.room == Room::Counted;
    if counted && room_taken(tx)? >= capacity {
        return Ok(Posted::Full);
    }
    let job = &posting.job;
    tx.prepare_cached(
        "INSERT INTO jobs (id, generation, lane, counted, posted_ms, traceparent, body, client, turn)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, max(
             coalesce((SELECT max(turn) + 1 FROM jobs WHERE client = ?8 AND lane = ?3 AND state < 2), 0),
             coalesce((SELECT min(turn) FROM jobs WHERE state = 0 AND lane = ?3 AND due_ms = 0),
                      (SELECT min(turn) FROM jobs WHERE state = 1 AND lane = ?3), 0)))
         ON CONFLICT (id, generation) WHERE state < 4 DO NOTHING",
    )?
    .execute(params![
        job.id.to_string(),
        job.generation,
        job.lane() as u32,
        counted,
        wall_ms,
        job.record.traceparent,
        job.encode(),
        posting.client.map(|client| client.0),
    ])?;
    Ok(Posted::Done)
}

/// The number of jobs that have not ended and count towards the capacity.
pub(super) fn room_taken(tx: &Connection) -> Result<u64> {
    tally(tx, ROOM)
}

fn tally(tx: &Connection, state: u32) -> Result<u64> {
    tx.prepare_cached("SELECT jobs FROM tally WHERE state = ?1")?.query_row([state], |row| row.get(0))
}

/// The jobs that are not in the queue. A dead job that waits for its burial is in the queue.
pub(super) fn missing(tx: &Connection, jobs: &[JobName]) -> Result<Vec<JobName>> {
    let mut held = tx.prepare_cached("SELECT 1 FROM jobs WHERE id = ?1 AND generation = ?2 AND state < 4")?;
    let mut missing = Vec::new();
    for job in jobs {
        if !held.exists(params![job.id.to_string(), job.generation])? {
            missing.push(*job);
        }
    }
    Ok(missing)
}

/// The job of a lane that is claimed next, among those that never waited.
fn next_of_lane(lane: u32, condition: &str) -> String {
    format!(
        "(SELECT seq FROM (SELECT seq, turn, client FROM jobs
                           WHERE {condition} AND state = 0 AND lane = {lane} AND due_ms = 0
                           ORDER BY turn, seq LIMIT {HEADS}) AS head
          ORDER BY (SELECT count(*) FROM jobs AS at_work WHERE at_work.state = 1 AND at_work.client = head.client),
                   turn, seq LIMIT 1)"
    )
}

static CLAIM: LazyLock<String> = LazyLock::new(|| {
    let interactive = next_of_lane(0, "TRUE");
    let bulk =
        next_of_lane(LANE_BULK, "?3 AND (client IS NULL OR client NOT IN (SELECT value FROM json_each(?5)))");
    format!(
        "UPDATE jobs SET state = state + 1, deliveries = deliveries + 1, owner = ?1, fence = ?4
                 WHERE seq = coalesce(
                     (SELECT seq FROM jobs WHERE state = 2 AND lane IN (0, 1) AND due_ms <= ?2 ORDER BY lane, due_ms, seq LIMIT 1),
                     (SELECT seq FROM jobs WHERE state = 0 AND lane = 0 AND due_ms BETWEEN 1 AND ?2 ORDER BY due_ms, seq LIMIT 1),
                     {interactive},
                     (SELECT seq FROM jobs WHERE ?3 AND state = 0 AND lane = 1 AND due_ms BETWEEN 1 AND ?2 ORDER BY due_ms, seq LIMIT 1),
                     {bulk})
                 RETURNING seq, deliveries, failures, traceparent, state, id, reason, body, lane, generation, client"
    )
});

/// Claims one job for an owner with a random token: burials first, then lane by lane the delayed jobs that are due,
/// then the job of the client whose turn it is. An unreadable job is dead-lettered, and the next is claimed.
pub(super) fn claim(
    tx: &Connection,
    owner: &str,
    token: i64,
    lanes: &ClaimLanes,
    now_ms: i64,
) -> Result<ClaimOutcome> {
    let (with_bulk, held) = (lanes.with_bulk(), lanes.held());
    loop {
        let found = tx
            .prepare_cached(&CLAIM)?
            .query_row(params![owner, now_ms, with_bulk, token, held], |row| {
                let fence = Fence { seq: row.get(0)?, token };
                let tries = Tries { deliveries: row.get(1)?, failures: row.get(2)? };
                let (state, id, reason): (u32, String, Option<String>) =
                    (row.get(4)?, row.get(5)?, row.get(6)?);
                let (body, generation): (Vec<u8>, u32) = (row.get(7)?, row.get(9)?);
                let job = read_job(&body, Some(&id));
                let task = if state == BURYING {
                    Ok(Task::Bury(DeadLetter {
                        id: id.parse().ok(),
                        generation: Some(generation),
                        job: job.ok(),
                        reason: DeathReason::from_name(reason.as_deref().unwrap_or_default()),
                    }))
                } else {
                    job.map(Task::Resize)
                };
                let lane = if row.get::<_, u32>(8)? == LANE_BULK { Lane::Bulk } else { Lane::Interactive };
                let client = row.get::<_, Option<i64>>(10)?.map(ClientTag);
                Ok((fence, task, lane, tries, row.get(3)?, client))
            })
            .optional()?;
        match found {
            None => {
                return match next_due(tx, with_bulk)? {
                    // The jobs of clients that are held back are due, but not claimed.
                    Some(due_ms) if due_ms <= now_ms && held != "[]" => Ok(ClaimOutcome::NothingUntil(None)),
                    // An index contradicts its table.
                    Some(due_ms) if due_ms <= now_ms => Err(corrupt("a job is due but cannot be claimed")),
                    due => Ok(ClaimOutcome::NothingUntil(due)),
                };
            }
            Some((fence, Ok(task), lane, tries, traceparent, client)) => {
                let claimed = ClaimedJob { fence, task, lane, tries, traceparent, client };
                return Ok(ClaimOutcome::One(Box::new(claimed)));
            }
            Some((fence, Err(error), ..)) => {
                tracing::warn!(error = &*error, "an unreadable job is dead-lettered");
                bury_later(tx, fence, DeathReason::Unreadable)?;
            }
        }
    }
}

/// The error of SQLite for a corrupt file.
pub(super) fn corrupt(found: impl Into<String>) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    rusqlite::Error::SqliteFailure(code, Some(found.into()))
}

fn next_due(tx: &Connection, with_bulk: bool) -> Result<Option<i64>> {
    tx.prepare_cached(
        "SELECT min(due_ms) FROM (
             SELECT min(due_ms) AS due_ms FROM jobs WHERE state = 0 AND lane = 0
             UNION ALL SELECT min(due_ms) FROM jobs WHERE state = 0 AND lane = 1 AND ?1
             UNION ALL SELECT min(due_ms) FROM jobs WHERE state = 2 AND lane = 0
             UNION ALL SELECT min(due_ms) FROM jobs WHERE state = 2 AND lane = 1)",
    )?
    .query_row([with_bulk], |row| row.get(0))
}

/// The job is done. A burial stays as a dead letter. This and the functions below return whether the fence matched.
pub(super) fn ack(tx: &Connection, fence: Fence) -> Result<bool> {
    let deleted = tx
        .prepare_cached("DELETE FROM jobs WHERE seq = ?1 AND fence = ?2 AND state = ?3")?
        .execute(params![fence.seq, fence.token, CLAIMED])?;
    Ok(deleted == 1 || settle(tx, fence, BURYING, "state = 4", None)?)
}

/// The job, or the burial, failed and is due again after a delay.
pub(super) fn retry(tx: &Connection, fence: Fence, now_ms: i64, after: Duration) -> Result<bool> {
    again(tx, fence, "state = state - 1, failures = failures + 1", due(now_ms, after))
}

/// The job, or the burial, is due again after a delay, without a counted failure.
pub(super) fn postpone(tx: &Connection, fence: Fence, now_ms: i64, after: Duration) -> Result<bool> {
    again(tx, fence, "state = state - 1", due(now_ms, after))
}

/// The job, or the burial, is due again at once, without a counted failure.
pub(super) fn release(tx: &Connection, fence: Fence) -> Result<bool> {
    again(tx, fence, "state = state - 1", None)
}

/// The job is dead and waits for its burial.
pub(super) fn bury_later(tx: &Connection, fence: Fence, reason: DeathReason) -> Result<bool> {
    let dead = format!("state = {DEAD}, reason = '{}'", reason.name());
    settle(tx, fence, CLAIMED, &dead, Some(0))
}

fn again(tx: &Connection, fence: Fence, change: &str, due_ms: Option<i64>) -> Result<bool> {
    Ok(settle(tx, fence, CLAIMED, change, due_ms)? || settle(tx, fence, BURYING, change, due_ms)?)
}

fn due(now_ms: i64, after: Duration) -> Option<i64> {
    Some(now_ms.saturating_add(milliseconds(after.min(MAX_DELAY))).max(1))
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn settle(tx: &Connection, fence: Fence, state: u32, change: &str, due_ms: Option<i64>) -> Result<bool> {
    let statement = format!(
        "UPDATE jobs SET owner = NULL, fence = NULL, due_ms = coalesce(?4, due_ms), {change}
         WHERE seq = ?1 AND fence = ?2 AND state = ?3"
    );
    let changed = tx.prepare_cached(&statement)?.execute(params![fence.seq, fence.token, state, due_ms])?;
    Ok(changed == 1)
}

/// The processes that have claimed jobs.
pub(super) fn owners(tx: &Connection) -> Result<Vec<String>> {
    tx.prepare_cached("SELECT DISTINCT owner FROM jobs WHERE state IN (1, 3)")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// Requeues the jobs of a dead owner. They are due at once, or dead after `max_crashes` crashes. Returns their number.
pub(super) fn requeue_jobs_of(tx: &Connection, owner: &str, max_crashes: u32) -> Result<usize> {
    let jobs = tx
        .prepare_cached(
            "UPDATE jobs SET owner = NULL, fence = NULL, crashes = crashes + 1,
                 state = CASE WHEN crashes + 1 >= ?2 THEN 2 ELSE 0 END,
                 reason = CASE WHEN crashes + 1 >= ?2 THEN ?3 END
             WHERE owner = ?1 AND state = 1",
        )?
        .execute(params![owner, max_crashes, DeathReason::KilledItsWorkers.name()])?;
    let burials = tx
        .prepare_cached(
            "UPDATE jobs SET owner = NULL, fence = NULL, state = 2 WHERE owner = ?1 AND state = 3",
        )?
        .execute([owner])?;
    Ok(jobs + burials)
}

/// The number of jobs by state.
pub(super) fn depth(tx: &Connection, now: Now) -> Result<Depth> {
    let delayed: u64 = tx
        .prepare_cached("SELECT count(*) FROM jobs WHERE state = 0 AND lane IN (0, 1) AND due_ms > ?1")?
        .query_row([now.monotonic], |row| row.get(0))?;
    let oldest: Option<i64> = tx
        .prepare_cached("SELECT posted_ms FROM jobs WHERE state < 2 ORDER BY seq LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let age = |posted: i64| Duration::from_millis(u64::try_from(now.wall - posted).unwrap_or(0));
    Ok(Depth {
        ready: tally(tx, READY)?.saturating_sub(delayed),
        delayed,
        unacked: Some(tally(tx, CLAIMED)?),
        dead: tally(tx, DEAD)? + tally(tx, BURYING)? + tally(tx, BURIED)?,
        oldest: oldest.map(age),
    })
}

const _: () = assert!(CLAIMED == READY + 1 && BURYING == DEAD + 1 && BURIED == BURYING + 1);

#[cfg(test)]
pub(super) mod tests;
