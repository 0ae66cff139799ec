//! Opens the file: settings of the connection, and migrations.

use std::path::Path;

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

/// Each entry migrates a file from one version to the next. A released entry is never changed; new ones are appended.
const MIGRATIONS: &[M<'_>] = &[M::up(include_str!("schema.sql")), M::up(include_str!("turns.sql"))];

/// Opens a connection. Only one process at a time may do this, because migrations and the switch to WAL need exclusive
/// access. `busy` decides, by the number of tries, whether to keep waiting for other processes.
pub(super) fn open(path: &Path, busy: fn(i32) -> bool) -> Result<Connection, rusqlite_migration::Error> {
    let mut sqlite = Connection::open(path)?;
    sqlite.busy_handler(Some(busy))?;
    // With WAL, readers and the writer do not block each other.
    sqlite.pragma_update(None, "journal_mode", "WAL")?;
    sqlite.pragma_update(None, "synchronous", "FULL")?;
    Migrations::from_slice(MIGRATIONS).to_latest(&mut sqlite)?;
    Ok(sqlite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_applies() {
        Migrations::from_slice(MIGRATIONS).validate().unwrap();
    }
}
