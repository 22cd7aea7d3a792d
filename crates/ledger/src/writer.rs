//! The one connection that writes. SQLite lets one write at a time, and has those that collide sleep; here they queue.
//!
//! Not a pool of one: that asks a connection whether it is well each time it is given back, and each question to SQLite's
//! thread costs two wake-ups of threads, which is most of what a small commit takes.

use std::sync::Arc;

use futures_util::{TryStreamExt, future::ready};
use sqlx::{
    ConnectOptions, Executor, Sqlite, SqliteConnection,
    query::Query,
    sqlite::{SqliteArguments, SqliteConnectOptions},
};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

/// Cheap to clone; closed with its last clone.
#[derive(Clone, Debug)]
pub struct Writer(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    connection: SqliteConnection,
    /// Whoever wrote last has not come to its end: a transaction may be open.
    is_cut_short: bool,
}

impl Writer {
    /// # Errors
    /// Where the database can't be opened.
    pub async fn open(options: &SqliteConnectOptions) -> sqlx::Result<Self> {
        let connection = options.connect().await?;
        Ok(Self(Arc::new(Mutex::new(Inner { connection, is_cut_short: false }))))
    }

    /// The connection, once those who came before are done with it.
    pub async fn lock(&self) -> MappedMutexGuard<'_, SqliteConnection> {
        MutexGuard::map(self.whole().await, |inner| &mut inner.connection)
    }

    /// Runs statements that are a transaction together (`BEGIN IMMEDIATE; …; COMMIT`), in one message to SQLite's thread.
    /// Tells how many rows each has changed, the first being `BEGIN`'s. Where one fails, nothing has happened.
    ///
    /// # Errors
    /// The first that SQLite finds.
    pub async fn at_once(
        &self,
        query: Query<'_, Sqlite, SqliteArguments>,
    ) -> sqlx::Result<Vec<u64>> {
        let mut inner = self.whole().await;
        inner.is_cut_short = true;
        let changed: sqlx::Result<_> = inner
            .connection
            .fetch_many(query)
            .try_filter_map(|step| ready(Ok(step.left().map(|done| done.rows_affected()))))
            .try_collect()
            .await;
        if changed.is_err() {
            inner.roll_back().await;
        }
        inner.is_cut_short = false;
        changed
    }

    async fn whole(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.0.lock().await;
        if inner.is_cut_short {
            inner.roll_back().await;
            inner.is_cut_short = false;
        }
        inner
    }
}

impl Inner {
    /// Fails where no transaction is open, which is as well.
    async fn roll_back(&mut self) {
        self.connection.execute("ROLLBACK").await.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str =
        "BEGIN IMMEDIATE; INSERT INTO t VALUES (?); INSERT INTO t VALUES (?), (?); COMMIT";

    async fn numbers(writer: &Writer) -> Vec<i64> {
        let mut connection = writer.lock().await;
        sqlx::query_scalar("SELECT n FROM t ORDER BY n").fetch_all(&mut *connection).await.unwrap()
    }

    #[tokio::test]
    async fn statements_at_once_happen_all_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let options = crate::options_to_write(&dir.path().join("ledger.sqlite"));
        let writer = Writer::open(&options.create_if_missing(true)).await.unwrap();
        let table = "CREATE TABLE t (n INTEGER PRIMARY KEY)";
        writer.lock().await.execute(table).await.unwrap();
        let all = |numbers: [i64; 3]| {
            numbers.into_iter().fold(sqlx::query(TWO), |query, number| query.bind(number))
        };
        assert_eq!(writer.at_once(all([1, 2, 3])).await.unwrap()[1..3], [1, 2]);
        writer.at_once(all([4, 5, 1])).await.unwrap_err();
        assert_eq!(numbers(&writer).await, [1, 2, 3]);

        // Whoever is cut short in the middle leaves nothing behind, and is in nobody's way.
        writer.lock().await.execute("BEGIN; INSERT INTO t VALUES (6)").await.unwrap();
        writer.0.lock().await.is_cut_short = true;
        writer.at_once(all([7, 8, 9])).await.unwrap();
        assert_eq!(numbers(&writer).await, [1, 2, 3, 7, 8, 9]);
    }
}
