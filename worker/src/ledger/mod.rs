//! What the worker is owed, on disk: quotes, calls, vouchers, claims.
//!
//! Every change goes through one writer, which commits what has gathered while the last commit was
//! on its way (group commit), and then flushes: many vouchers share one disk flush, and a change is durable when
//! its method returns. Calls are only counted: their rows wait for no flush.

mod rows;
mod statements;
mod writer;

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chainference_chain::Pubkey;
use chainference_ledger::{Disk, kept_open};
use sqlx::{ConnectOptions, SqlitePool};
use tokio::sync::{mpsc, oneshot};

pub use rows::{Earned, Pending as PendingTransaction, StoredJob, StoredVoucher, Unfinished};
pub use writer::{JobEnd, Kind, Part, StoredTransaction, TransactionEnd, Write};
use writer::{Pending, QUEUE_MAX, write_batches};

/// Why the ledger can't be opened, read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    #[error("can't create {path}: {message}")]
    Create { path: PathBuf, message: String },
    #[error("the ledger {0} is in use by another worker")]
    InUse(PathBuf),
    #[error("the ledger's migration failed: {0}")]
    Migrate(String),
    #[error("the ledger can't be read or written: {0}")]
    Database(String),
    #[error("the ledger holds what can't be read back: {0}")]
    Corrupt(&'static str),
    #[error("an amount is too large for the ledger")]
    TooLarge,
    #[error("the ledger is closed")]
    Closed,
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.to_string())
    }
}

/// A cheap handle; clones share one writer.
#[derive(Clone, Debug)]
pub struct Ledger {
    reads: SqlitePool,
    writes: mpsc::Sender<Pending>,
}

impl Ledger {
    /// Opens or creates the ledger at `path` (0600, its folder 0700) and brings its schema up to
    /// date. A second worker on the same file is refused.
    pub async fn open(path: &Path) -> Result<Self, LedgerError> {
        let lock = lock_beside(path)?;
        create_private(path)?;
        let reading = chainference_ledger::options(path);
        let reads = kept_open().max_connections(3).connect_with(reading).await?;
        sqlx::migrate!("../migrations/worker")
            .run(&reads)
            .await
            .map_err(|error| LedgerError::Migrate(error.to_string()))?;
        let connection = chainference_ledger::options_to_write(path).connect().await?;
        let disk = Disk::new(path);
        disk.flush().await.map_err(|error| LedgerError::Database(error.to_string()))?;
        disk.tidy_while_open(reads.clone(), async || ());
        let (writes, queue) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(write_batches(connection, queue, disk, lock));
        Ok(Self { reads, writes })
    }

    /// Makes one change durable; a call's beginning or end only so that it survives this process. `false`: the
    /// change did not apply (a replayed call, a voucher that doesn't rise, a job in another state).
    pub async fn write(&self, write: Write) -> Result<bool, LedgerError> {
        let (done, outcome) = oneshot::channel();
        let pending = Pending { write, done };
        self.writes.send(pending).await.map_err(|_| LedgerError::Closed)?;
        outcome.await.map_err(|_| LedgerError::Closed)?
    }

    /// Queues a change that nothing waits for; those that come later are made after it. That it fails is logged.
    ///
    /// # Errors
    /// Where nothing is written any more.
    pub async fn note(&self, write: Write) -> Result<(), LedgerError> {
        let (done, _) = oneshot::channel();
        self.writes.send(Pending { write, done }).await.map_err(|_| LedgerError::Closed)
    }

    /// Every job that has not come to its end, with its calls: what a restarted worker goes on with.
    pub async fn unfinished(&self) -> Result<Vec<Unfinished>, LedgerError> {
        rows::unfinished(&self.reads).await
    }

    /// Every transaction that was signed and whose end is not known.
    pub async fn pending(&self) -> Result<Vec<PendingTransaction>, LedgerError> {
        rows::pending(&self.reads).await
    }

    /// A job in any state, ended ones included.
    pub async fn job(&self, job: &Pubkey) -> Result<Option<StoredJob>, LedgerError> {
        rows::job(&self.reads, job).await
    }

    /// What all jobs so far came to.
    pub async fn earned(&self) -> Result<Earned, LedgerError> {
        rows::earned(&self.reads).await
    }
}

/// Holds `<ledger>.lock` for the life of the process: vouchers of one job must have one writer.
fn lock_beside(path: &Path) -> Result<File, LedgerError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(|error| create_error(folder, &error))?;
        fs::set_permissions(folder, Permissions::from_mode(0o700))
            .map_err(|error| create_error(folder, &error))?;
    }
    let lock_path = path.with_extension("lock");
    let lock = create_private(&lock_path)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(LedgerError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(create_error(&lock_path, &error)),
    }
}

/// Creates the file for its owner only; SQLite gives its journal files the same mode.
fn create_private(path: &Path) -> Result<File, LedgerError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| create_error(path, &error))
}

fn create_error(path: &Path, error: &std::io::Error) -> LedgerError {
    LedgerError::Create { path: path.to_owned(), message: error.to_string() }
}

#[cfg(test)]
mod tests;
