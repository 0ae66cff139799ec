//! The reply exchange as a table: announcements are kept for a while, and every listener remembers how far it has read.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use rusqlite::{Connection, Result, params};
use tracing::warn;

use super::{Durability, SqliteShared, wake::WakeReceiver};
use crate::{
    contract::message::Changed,
    transport::{Announcements, ListenEvent},
};

/// The age in milliseconds and the number of announcements that are kept. A listener that is further behind receives an
/// interruption. The reply queues of RabbitMQ have the same bounds.
const KEEP_MS: i64 = 60_000;
const KEEP_COUNT: i64 = 10_000;

/// The number of announcements that are read at once.
const PAGE: usize = 256;

/// The poll interval of a listener that is not woken.
const POLL: Duration = Duration::from_secs(1);

/// The pause of a listener after a failed read.
const AFTER_ERROR: Duration = Duration::from_millis(500);

pub(super) fn add(tx: &Connection, body: &[u8], traceparent: Option<&str>, now_ms: i64) -> Result<()> {
    tx.prepare_cached("INSERT INTO announcements (at_ms, traceparent, body) VALUES (?1, ?2, ?3)")?
        .execute(params![now_ms, traceparent, body])
        .map(drop)
}

/// The number of the newest announcement.
pub(super) fn newest(tx: &Connection) -> Result<i64> {
    tx.prepare_cached("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'announcements'), 0)")?
        .query_row([], |row| row.get(0))
}

/// Deletes announcements that are too old or too many. A time in the future is from before a reboot.
pub(super) fn prune(tx: &Connection, now_ms: i64) -> Result<()> {
    tx.prepare_cached(
        "DELETE FROM announcements
         WHERE at_ms < ?1 OR at_ms > ?3 OR seq <= (SELECT max(seq) FROM announcements) - ?2",
    )?
    .execute([now_ms - KEEP_MS, KEEP_COUNT, now_ms])
    .map(drop)
}

/// Whether there are announcements to delete, so that an idle queue is not written to.
pub(super) fn has_old(tx: &Connection, now_ms: i64) -> Result<bool> {
    tx.prepare_cached(
        "SELECT coalesce(min(at_ms) < ?1 OR max(at_ms) > ?3 OR count(*) > ?2, 0) FROM announcements",
    )?
    .query_row([now_ms - KEEP_MS, KEEP_COUNT, now_ms], |row| row.get(0))
}

type Row = (i64, Option<String>, Vec<u8>);

fn after(tx: &Connection, cursor: i64) -> Result<(i64, Vec<Row>)> {
    let rows = tx
        .prepare_cached(
            "SELECT seq, traceparent, body FROM announcements WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        )?
        .query_map(params![cursor, i64::try_from(PAGE).expect("a page is small")], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<Result<_>>()?;
    Ok((newest(tx)?, rows))
}

pub(super) struct SqliteAnnouncements {
    shared: Arc<SqliteShared>,
    wake: WakeReceiver,
    /// The newest announcement that was read.
    cursor: i64,
    events: VecDeque<ListenEvent>,
}

impl SqliteAnnouncements {
    pub(super) fn new(shared: Arc<SqliteShared>, wake: WakeReceiver, cursor: i64) -> Self {
        Self { shared, wake, cursor, events: VecDeque::new() }
    }

    /// Reads the next page. Returns whether it had announcements.
    async fn read_page(&mut self) -> bool {
        let cursor = self.cursor;
        let page = self.shared.connection.call(
            "read announcements",
            Durability::Read,
            |_| &[],
            move |tx| after(tx, cursor),
        );
        let (newest, rows) = match page.await {
            Ok(page) => page,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "could not read announcements");
                tokio::time::sleep(AFTER_ERROR).await;
                return false;
            }
        };
        // Numbers have no gaps, so a missing one was pruned unread, or the queue was recreated.
        let first = rows.first().map_or(newest + 1, |row| row.0);
        if first != self.cursor + 1 {
            self.events.push_back(ListenEvent::Interrupted);
        }
        self.cursor = rows.last().map_or(newest, |row| row.0);
        for (_, traceparent, body) in rows {
            match Changed::decode(&body) {
                Ok(changed) => self.events.push_back(ListenEvent::Changed(Box::new(changed), traceparent)),
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "an announcement cannot be read")
                }
            }
        }
        !self.events.is_empty()
    }
}

#[async_trait]
impl Announcements for SqliteAnnouncements {
    async fn next(&mut self) -> Option<ListenEvent> {
        loop {
            if self.shared.closing.is_cancelled() {
                return None;
            }
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.read_page().await {
                continue;
            }
            tokio::select! {
                () = self.shared.closing.cancelled() => return None,
                () = self.wake.woken() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }
}
