//! The gateway's ledger: what was meant, what was sent, and what came of it.
//!
//! A row is stored before what it speaks of leaves this machine; what binds us on the chain is on the disk by
//! then. Nothing here speaks to a chain.

mod budgets;
mod calls;
mod entries;
mod jobs;
mod keys;
mod read;
mod receipts;
mod repeats;
mod spend;
mod story;
mod top_ups;
mod transactions;
mod upstreams;
mod verdicts;
mod vouchers;

pub use budgets::{Budgets, NewCall, ReserveError, Span, UsedUp};
pub use calls::CallEnd;
pub use entries::Books;
pub use jobs::{JobRow, JobStatus, NewJob, SessionKey};
pub use keys::{DEFAULT_KEY, KeyLimits, KeyRow, KeysMark, NewKey, StoredSecret};
pub use read::{Carried, JobSummary, Which};
pub use receipts::StoredReceipt;
pub use spend::{Spend, Used};
pub use story::{JobStory, ReceiptLine};
pub use transactions::{StoredTransaction, TransactionKind, TransactionStatus};
pub use upstreams::UpstreamCalls;
pub use verdicts::{Judge, JudgeError, Judgement, Verdict};
pub use vouchers::StoredVoucher;

use std::{
    fs::{self, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use keys::keys_mark;

use chainference_ledger::{Disk, Writer, kept_open};
use sqlx::{
    SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use thiserror::Error;

use crate::{limits, lull::Lull};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/gateway");

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections that read.
const READERS_MAX: u32 = 4;

#[derive(Debug, Error)]
pub enum LedgerError {
    #[error("ledger file {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("ledger: {0}")]
    Database(#[from] sqlx::Error),
    #[error("ledger migrations: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    #[error("job {job} can't become {to}")]
    Transition { job: String, to: &'static str },
    #[error("ledger row of {what} can't be read")]
    Corrupt { what: String },
    #[error("{value} does not fit into the ledger")]
    TooLarge { value: u64 },
}

/// A handle on the ledger's database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// What only looks.
    pool: SqlitePool,
    writer: Writer,
    disk: Disk,
    path: Arc<Path>,
}

impl Ledger {
    /// Opens the ledger at `path`, makes it where there is none (mode 0600), brings its schema up
    /// to date.
    ///
    /// # Errors
    /// [`LedgerError`], where the file can't be opened, or was written by a newer version.
    pub async fn open(path: &Path) -> Result<Self, LedgerError> {
        for file in [path, &keys_mark(path)] {
            make_private(file)
                .map_err(|source| LedgerError::File { path: file.to_owned(), source })?;
        }
        let reading = chainference_ledger::options(path);
        let pool = kept_open().max_connections(READERS_MAX).connect_with(reading).await?;
        MIGRATIONS.run(&pool).await?;
        let writer = Writer::open(&chainference_ledger::options_to_write(path)).await?;
        let ledger = Self { pool, writer, disk: Disk::new(path), path: path.into() };
        ledger.flush().await?;
        Ok(ledger)
    }

    /// Moves what was written into the database now and then, when no call is in its way.
    pub fn keep_tidy(&self, lull: Lull) {
        let paused = move || {
            let lull = lull.clone();
            async move { lull.pause(limits::END_WAIT_MAX).await }
        };
        self.disk.tidy_while_open(self.pool.clone(), paused);
    }

    /// Opens an existing ledger to look into, beside a gateway that may be running.
    ///
    /// # Errors
    /// [`LedgerError`], where there is none.
    pub async fn open_read_only(path: &Path) -> Result<Self, LedgerError> {
        let options =
            SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT);
        let writer = Writer::open(&options).await?;
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        Ok(Self { writer, pool, disk: Disk::new(path), path: path.into() })
    }

    /// All that was stored before is on the disk when this returns.
    async fn flush(&self) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::File { path: self.path.to_path_buf(), source };
        self.disk.flush().await.map_err(failed)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`LedgerError::Database`], where it doesn't.
    pub async fn health(&self) -> Result<(), LedgerError> {
        sqlx::query("SELECT 1 FROM jobs LIMIT 1").fetch_optional(&self.pool).await?;
        Ok(())
    }

    /// Waits for what is being written. The file is closed with the last handle on it.
    pub async fn close(&self) {
        let writing = self.writer.lock().await;
        self.pool.close().await;
        drop(writing);
    }
}

/// SQLite gives its side files the mode of the database: session keys are in it.
fn make_private(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))
}

/// SQL knows signed integers only.
fn to_sql(value: u64) -> Result<i64, LedgerError> {
    i64::try_from(value).map_err(|_| LedgerError::TooLarge { value })
}

fn from_sql(value: i64, what: &str) -> Result<u64, LedgerError> {
    u64::try_from(value).map_err(|_| LedgerError::Corrupt { what: what.to_owned() })
}

#[cfg(test)]
mod tests;
