//! Dead letters, as SQL.

use jiff::Timestamp;
use rusqlite::{Connection, Result, params};

use super::queue::LANE_BULK;
use crate::{
    contract::{id::UploadId, record::Lane},
    transport::{
        DeathReason,
        dead_job::{DeadJob, MAX_LISTED, key},
    },
};

/// The dead jobs, buried or not, oldest first.
pub(super) fn list(tx: &Connection) -> Result<Vec<DeadJob>> {
    let limit = i64::try_from(MAX_LISTED).expect("the limit is small");
    tx.prepare_cached(
        "SELECT id, reason, failures, lane, posted_ms, body FROM jobs WHERE state >= 2 ORDER BY seq LIMIT ?1",
    )?
    .query_map([limit], |row| {
        let (id, body): (String, Vec<u8>) = (row.get(0)?, row.get(5)?);
        let id = id.parse().ok();
        Ok(DeadJob {
            key: key(id, &body),
            id,
            reason: DeathReason::from_name(row.get::<_, Option<String>>(1)?.as_deref().unwrap_or_default()),
            failures: row.get(2)?,
            lane: if row.get::<_, u32>(3)? == LANE_BULK { Lane::Bulk } else { Lane::Interactive },
            posted_at: Timestamp::from_millisecond(row.get(4)?).ok(),
            body,
        })
    })?
    .collect()
}

/// Removes the dead jobs of a key. Returns the number of their rows.
pub(super) fn forget(tx: &Connection, key: &str) -> Result<usize> {
    if key.parse::<UploadId>().is_ok() {
        return tx.prepare_cached("DELETE FROM jobs WHERE state >= 2 AND id = ?1")?.execute([key]);
    }
    match list(tx)?.into_iter().find(|dead| dead.key == key) {
        Some(dead) => {
            tx.prepare_cached("DELETE FROM jobs WHERE state >= 2 AND body = ?1")?.execute(params![dead.body])
        }
        None => Ok(0),
    }
}
