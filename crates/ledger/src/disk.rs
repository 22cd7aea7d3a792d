//! The disk under a ledger. A commit is in the log when it returns, which survives this process; the log is on the
//! disk once it was flushed. SQLite would flush in each commit, with all other writers waiting. Here only what must survive a
//! power cut waits, beside the writers, and one flush serves all who wait for it.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::SqlitePool;
use tokio::{sync::Mutex, task::spawn_blocking, time::sleep};

/// How often the log is moved into the database.
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// A log of this size is moved whole, with the writers waiting, so that it begins anew.
const LOG_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    log: PathBuf,
    /// Flushes that were asked for.
    asked: AtomicU64,
    /// How many of those had been asked for when the last flush began. Held while one is on its way.
    served: Mutex<u64>,
    /// After a flush that failed nobody knows what is on the disk.
    broken: AtomicBool,
}

impl Disk {
    pub fn new(database: &Path) -> Self {
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        Self(Arc::new(Inner {
            log: log.into(),
            asked: AtomicU64::new(0),
            served: Mutex::new(0),
            broken: AtomicBool::new(false),
        }))
    }

    /// All that was committed before is on the disk when this returns.
    ///
    /// # Errors
    /// Where the system can't, and from then on always.
    pub async fn flush(&self) -> io::Result<()> {
        let inner = &self.0;
        let mine = inner.asked.fetch_add(1, Ordering::SeqCst);
        let mut served = inner.served.lock().await;
        if *served > mine {
            return self.if_whole();
        }
        let asked = inner.asked.load(Ordering::SeqCst);
        let flushing = Arc::clone(inner);
        let flushed = spawn_blocking(move || flushing.flush()).await.map_err(io::Error::other);
        if let Err(source) = flushed.and_then(|flushed| flushed) {
            inner.broken.store(true, Ordering::SeqCst);
            tracing::error!(error = %source, "the ledger could not be flushed");
        }
        *served = asked;
        self.if_whole()
    }

    fn if_whole(&self) -> io::Result<()> {
        let is_broken = self.0.broken.load(Ordering::SeqCst);
        let lost = || {
            io::Error::other(
                "a flush to the disk has failed: what it holds is unknown until a restart",
            )
        };
        if is_broken { Err(lost()) } else { Ok(()) }
    }

    /// Moves the log into the database now and then, as long as `beside` is open; each time once `paused` returns.
    pub fn tidy_while_open<P>(&self, beside: SqlitePool, paused: impl Fn() -> P + Send + 'static)
    where
        P: Future<Output = ()> + Send,
    {
        let log = self.0.log.clone();
        tokio::spawn(async move {
            loop {
                sleep(TIDY_EVERY).await;
                paused().await;
                if beside.is_closed() {
                    return;
                }
                // Writers wait only where they have left no moment for this for long.
                let is_long = log.metadata().is_ok_and(|log| log.len() > LOG_BYTES_MAX);
                let how = if is_long {
                    "PRAGMA wal_checkpoint(RESTART)"
                } else {
                    "PRAGMA wal_checkpoint(PASSIVE)"
                };
                if let Err(error) = sqlx::raw_sql(how).execute(&beside).await {
                    tracing::warn!(%error, "a ledger's log could not be moved into it");
                }
            }
        });
    }
}

impl Inner {
    /// By name each time: another process may have closed the log, which moves it into the database and flushes that.
    /// The database itself is never opened here: closing it would give up the locks that SQLite has on it.
    fn flush(&self) -> io::Result<()> {
        match File::open(&self.log) {
            Ok(log) => log.sync_data()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // A file whose name is lost is lost.
        if self.asked.load(Ordering::SeqCst) <= 1
            && let Some(folder) = self.log.parent()
        {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn all_who_wait_are_served_by_a_later_flush() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ledger.sqlite-wal"), b"rows").unwrap();
        let disk = Disk::new(&dir.path().join("ledger.sqlite"));
        let waiting: Vec<_> = (0..64)
            .map(|_| {
                let disk = disk.clone();
                tokio::spawn(async move { disk.flush().await.unwrap() })
            })
            .collect();
        for one in waiting {
            one.await.unwrap();
        }
        assert_eq!(*disk.0.served.lock().await, 64);
    }

    #[tokio::test]
    async fn a_flush_that_failed_is_never_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("not yet");
        let disk = Disk::new(&folder.join("ledger.sqlite"));
        assert!(disk.flush().await.is_err(), "there is nothing to flush");
        std::fs::create_dir(&folder).unwrap();
        assert!(disk.flush().await.is_err(), "what was lost before stays lost");
    }
}
