//! One row for each HTTP request that was meant to cost something.

use chainference_market::Totals;

use super::{Ledger, LedgerError, to_sql};

/// How a call ended.
#[derive(Clone, Debug)]
pub struct CallEnd {
    /// `completed`, `failed`, or `abandoned` where the client left.
    pub status: &'static str,
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub error: Option<String>,
}

impl CallEnd {
    pub fn completed(owed: Totals) -> Self {
        Self::new("completed", owed, None)
    }

    pub fn abandoned(owed: Totals) -> Self {
        Self::new("abandoned", owed, None)
    }

    pub fn failed(owed: Totals, error: String) -> Self {
        Self::new("failed", owed, Some(error))
    }

    fn new(status: &'static str, owed: Totals, error: Option<String>) -> Self {
        Self { status, tokens_in: owed.tokens_in, tokens_out: owed.tokens_out, error }
    }
}

impl Ledger {
    /// # Errors
    /// [`LedgerError::Database`]
    pub async fn begin_call(
        &self,
        id: &str,
        model: &str,
        streamed: bool,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        sqlx::query(
            "INSERT INTO calls (id, model, streamed, status, started_at)
             VALUES (?, ?, ?, 'running', ?)",
        )
        .bind(id)
        .bind(model)
        .bind(streamed)
        .bind(now_ms)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The job that a running call uses now.
    ///
    /// # Errors
    /// [`LedgerError::Database`]
    pub async fn call_uses(&self, id: &str, job: &str) -> Result<(), LedgerError> {
        sqlx::query("UPDATE calls SET job = ? WHERE id = ? AND status = 'running'")
            .bind(job)
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// # Errors
    /// [`LedgerError::Database`]
    pub async fn end_call(
        &self,
        id: &str,
        job: Option<&str>,
        end: &CallEnd,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        sqlx::query(
            "UPDATE calls SET status = ?, job = ?, tokens_in = ?, tokens_out = ?, error = ?,
                              ended_at = ?
             WHERE id = ? AND status = 'running'",
        )
        .bind(end.status)
        .bind(job)
        .bind(to_sql(end.tokens_in)?)
        .bind(to_sql(end.tokens_out)?)
        .bind(&end.error)
        .bind(now_ms)
        .bind(id)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Marks the calls that a crash cut short. Their jobs are ended by the sweeper.
    ///
    /// # Errors
    /// [`LedgerError::Database`]
    pub async fn fail_running_calls(&self, now_ms: i64) -> Result<u64, LedgerError> {
        let done = sqlx::query(
            "UPDATE calls SET status = 'failed', error = 'the gateway stopped', ended_at = ?
             WHERE status = 'running'",
        )
        .bind(now_ms)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}
