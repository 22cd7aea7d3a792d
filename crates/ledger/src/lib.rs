//! What the ledgers of gateway and worker stand on: SQLite whose commits don't flush, and the flushes.

mod disk;
mod writer;

pub use disk::Disk;
pub use writer::Writer;

use std::{path::Path, time::Duration};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

/// How long a connection waits for another process's write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// A database that is written to a log first. A commit survives whatever happens to this process; what a power cut must not
/// take either is flushed by whoever stores it.
pub fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
}

/// The same for whoever writes most: the log is moved into the database beside it, not by it.
pub fn options_to_write(path: &Path) -> SqliteConnectOptions {
    options(path).pragma("wal_autocheckpoint", "0")
}

/// Connections to a file don't die by themselves, and the last to close would take the log with it.
pub fn kept_open() -> SqlitePoolOptions {
    SqlitePoolOptions::new().test_before_acquire(false).idle_timeout(None).max_lifetime(None)
}
