//! The queue as SQL: every function is one step inside somebody's transaction, and knows the time only as an argument.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result, params};

use crate::{
    UploadId,
    transport::{DeadLetter, DeathReason, Depth, Lane, Posting, Task},
};

/// A job that has killed its worker so many times is dead: a fourth worker would die as well.
pub(super) const MAX_CRASHES: u32 = 3;

const READY: u32 = 0;
const CLAIMED: u32 = 1;
const DEAD: u32 = 2;
const BURYING: u32 = 3;
const BURIED: u32 = 4;

/// A lane as its column holds it.
pub(super) const LANE_BULK: u32 = Lane::Bulk as u32;

/// A claimed row: what to do, and the fence to settle it with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) fence: Fence,
    pub(super) task: Task,
    pub(super) lane: Lane,
    pub(super) generation: u32,
    pub(super) failures: u32,
    pub(super) traceparent: Option<String>,
}

/// A settlement counts only while the row is still claimed for the same attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fence {
    pub(super) seq: i64,
    pub(super) attempt: u32,
}

/// What a look into the queue found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    One(Box<Claim>),
    /// Nothing is due; the next job will be at this time, if there is one.
    NothingUntil(Option<i64>),
}

/// Whether a posting fitted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Posted {
    Done,
    Full,
}

/// Adds a job, unless its generation is already there or `capacity` jobs are. It is numbered from the time on, in
/// microseconds, since a number that comes again, in this file or in one that is begun after it, would let an old fence
/// settle another's claim.
pub(super) fn post(tx: &Connection, posting: &Posting, capacity: u64, now_ms: i64) -> Result<Posted> {
    let waiting: u64 = tx
        .prepare_cached("SELECT count(*) FROM jobs WHERE state IN (0, 1)")?
        .query_row([], |row| row.get(0))?;
    if waiting >= capacity {
        return Ok(Posted::Full);
    }
    tx.prepare_cached(
        "INSERT INTO jobs (seq, id, generation, lane, posted_ms, due_ms, traceparent, body)
         VALUES (max(?4 * 1000, (SELECT coalesce(max(seq), 0) + 1 FROM jobs)), ?1, ?2, ?3, ?4, ?4, ?5, ?6)
         ON CONFLICT (id, generation) DO NOTHING",
    )?
    .execute(params![
        posting.job.id.to_string(),
        posting.generation,
        posting.lane as u32,
        now_ms,
        posting.traceparent,
        posting.job.encode(),
    ])?;
    Ok(Posted::Done)
}

/// Claims one job for an owner: burials first, then lane by lane what is due longest, the bulk lane only `with_bulk`. A
/// job that cannot be read dies here, and the next is claimed.
pub(super) fn claim(tx: &Connection, owner: &str, with_bulk: bool, now_ms: i64) -> Result<Claimed> {
    loop {
        let found = tx
            .prepare_cached(
                "UPDATE jobs SET state = state + 1, attempt = attempt + 1, owner = ?1
                 WHERE seq = coalesce(
                     (SELECT seq FROM jobs WHERE state = 2 AND due_ms <= ?2 ORDER BY lane, due_ms, seq LIMIT 1),
                     (SELECT seq FROM jobs WHERE state = 0 AND lane = 0 AND due_ms <= ?2 ORDER BY due_ms, seq LIMIT 1),
                     (SELECT seq FROM jobs WHERE ?3 AND state = 0 AND lane = 1 AND due_ms <= ?2 ORDER BY due_ms, seq LIMIT 1))
                 RETURNING seq, attempt, failures, traceparent, state, id, reason, body, lane, generation",
            )?
            .query_row(params![owner, now_ms, with_bulk], |row| {
                let fence = Fence { seq: row.get(0)?, attempt: row.get(1)? };
                let (failures, traceparent) = (row.get(2)?, row.get(3)?);
                let (state, id, reason): (u32, String, Option<String>) = (row.get(4)?, row.get(5)?, row.get(6)?);
                let task = if state == BURYING {
                    let reason = DeathReason::from_name(reason.as_deref().unwrap_or_default());
                    Ok(Task::Bury(DeadLetter { id: id.parse().ok(), reason }))
                } else {
                    read_job(&id, &row.get::<_, Vec<u8>>(7)?)
                };
                let lane = if row.get::<_, u32>(8)? == LANE_BULK { Lane::Bulk } else { Lane::Interactive };
                Ok((fence, task, (lane, row.get(9)?), failures, traceparent))
            })
            .optional()?;
        match found {
            None => {
                return match next_due(tx, with_bulk)? {
                    // An index and its table contradict each other, and would for ever.
                    Some(due_ms) if due_ms <= now_ms => Err(corrupt("a job is due and cannot be claimed")),
                    due => Ok(Claimed::NothingUntil(due)),
                };
            }
            Some((fence, Ok(task), (lane, generation), failures, traceparent)) => {
                return Ok(Claimed::One(Box::new(Claim {
                    fence,
                    task,
                    lane,
                    generation,
                    failures,
                    traceparent,
                })));
            }
            Some((fence, Err(error), ..)) => {
                tracing::warn!(error = &*error, "a job that cannot be read is dead-lettered");
                bury_later(tx, fence, DeathReason::Unreadable)?;
            }
        }
    }
}

type Unreadable = Box<dyn std::error::Error + Send + Sync>;

fn read_job(id: &str, body: &[u8]) -> Result<Task, Unreadable> {
    let job = crate::ResizeJob::decode(body)?;
    if job.id == id.parse::<UploadId>()? {
        Ok(Task::Resize(job))
    } else {
        Err("the message id is another".into())
    }
}

/// What SQLite says where it finds this by itself.
pub(super) fn corrupt(found: impl Into<String>) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    rusqlite::Error::SqliteFailure(code, Some(found.into()))
}

fn next_due(tx: &Connection, with_bulk: bool) -> Result<Option<i64>> {
    tx.prepare_cached("SELECT min(due_ms) FROM jobs WHERE state = 2 OR (state = 0 AND (?1 OR lane = 0))")?
        .query_row([with_bulk], |row| row.get(0))
}

/// The job is done. A burial stays as a dead letter. Answers whether the fence held; so do the three below.
pub(super) fn ack(tx: &Connection, fence: Fence) -> Result<bool> {
    let gone = tx
        .prepare_cached("DELETE FROM jobs WHERE seq = ?1 AND attempt = ?2 AND state = ?3")?
        .execute(params![fence.seq, fence.attempt, CLAIMED])?;
    Ok(gone == 1 || settle(tx, fence, BURYING, "state = 4", None)?)
}

/// The job, or the burial, is due again at a time.
pub(super) fn retry(tx: &Connection, fence: Fence, due_ms: i64) -> Result<bool> {
    let again = "state = state - 1, failures = failures + 1";
    Ok(settle(tx, fence, CLAIMED, again, Some(due_ms))? || settle(tx, fence, BURYING, again, Some(due_ms))?)
}

/// The job, or the burial, is due again at once, and nothing is counted.
pub(super) fn release(tx: &Connection, fence: Fence) -> Result<bool> {
    let again = "state = state - 1";
    Ok(settle(tx, fence, CLAIMED, again, None)? || settle(tx, fence, BURYING, again, None)?)
}

/// The job is dead and waits for its burial.
pub(super) fn bury_later(tx: &Connection, fence: Fence, reason: DeathReason) -> Result<bool> {
    let dead = format!("state = {DEAD}, reason = '{}'", reason.name());
    settle(tx, fence, CLAIMED, &dead, Some(0))
}

fn settle(tx: &Connection, fence: Fence, state: u32, change: &str, due_ms: Option<i64>) -> Result<bool> {
    let statement = format!(
        "UPDATE jobs SET owner = NULL, due_ms = coalesce(?4, due_ms), {change}
         WHERE seq = ?1 AND attempt = ?2 AND state = ?3"
    );
    let changed = tx.prepare_cached(&statement)?.execute(params![fence.seq, fence.attempt, state, due_ms])?;
    Ok(changed == 1)
}

/// Who has claimed something.
pub(super) fn owners(tx: &Connection) -> Result<Vec<String>> {
    tx.prepare_cached("SELECT DISTINCT owner FROM jobs WHERE state IN (1, 3)")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// Takes everything back from an owner that died: its jobs are due at once, or dead if they have killed `max_crashes`
/// times. Answers how many there were.
pub(super) fn take_back(tx: &Connection, owner: &str, max_crashes: u32) -> Result<usize> {
    let jobs = tx
        .prepare_cached(
            "UPDATE jobs SET owner = NULL, crashes = crashes + 1,
                 state = CASE WHEN crashes + 1 >= ?2 THEN 2 ELSE 0 END,
                 reason = CASE WHEN crashes + 1 >= ?2 THEN ?3 END
             WHERE owner = ?1 AND state = 1",
        )?
        .execute(params![owner, max_crashes, DeathReason::KilledItsWorkers.name()])?;
    let burials = tx
        .prepare_cached("UPDATE jobs SET owner = NULL, state = 2 WHERE owner = ?1 AND state = 3")?
        .execute([owner])?;
    Ok(jobs + burials)
}

/// How much lies where.
pub(super) fn depth(tx: &Connection, now_ms: i64) -> Result<Depth> {
    tx.prepare_cached(
        "SELECT count(*) FILTER (WHERE state = 0 AND due_ms <= ?1), count(*) FILTER (WHERE state = 0 AND due_ms > ?1),
                count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state >= 2),
                min(posted_ms) FILTER (WHERE state < 2)
         FROM jobs",
    )?
    .query_row([now_ms], |row| {
        let oldest: Option<i64> = row.get(4)?;
        let age = |posted: i64| Duration::from_millis(u64::try_from(now_ms - posted).unwrap_or(0));
        Ok(Depth {
            ready: row.get(0)?,
            delayed: row.get(1)?,
            unacked: Some(row.get(2)?),
            dead: row.get(3)?,
            oldest: oldest.map(age),
        })
    })
}

const _: () = assert!(CLAIMED == READY + 1 && BURYING == DEAD + 1 && BURIED == BURYING + 1);

#[cfg(test)]
pub(super) mod tests;
