//! One row for each HTTP request that was meant to cost something.

use chainference_market::{Lamports, Totals};

use super::{Ledger, LedgerError, budgets, to_sql};

/// How a call ended.
#[derive(Clone, Debug)]
pub struct CallEnd {
    /// `completed`, `failed`, or `abandoned` where the client left.
    pub status: &'static str,
    pub tokens_in: u64,
    pub tokens_out: u64,
    /// What all its jobs owe for it.
    pub cost: Lamports,
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
        let Totals { tokens_in, tokens_out } = owed;
        Self { status, tokens_in, tokens_out, cost: Lamports::ZERO, error }
    }

    pub fn costing(mut self, cost: Lamports) -> Self {
        self.cost = cost;
        self
    }

    pub fn totals(&self) -> Totals {
        Totals { tokens_in: self.tokens_in, tokens_out: self.tokens_out }
    }
}

impl Ledger {
    /// The job that a running call uses now.
    ///
    /// # Errors
    /// [`LedgerError::Database`]
    pub async fn call_uses(&self, id: &str, job: &str) -> Result<(), LedgerError> {
        sqlx::query("UPDATE calls SET job = ? WHERE id = ? AND status = 'running'")
            .bind(job)
            .bind(id)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Records how a call ended, and turns what was reserved for it into what it cost. Its first
    /// end counts.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn end_call(
        &self,
        id: &str,
        job: Option<&str>,
        end: &CallEnd,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let mut all = self.writer.begin().await?;
        let ended: Option<(String, i64, i64)> = sqlx::query_as(
            "UPDATE calls SET status = ?, job = COALESCE(?, job), tokens_in = ?, tokens_out = ?, cost = ?,
                              error = ?, ended_at = ?
             WHERE id = ? AND status = 'running'
             RETURNING key_id, reserved, started_at",
        )
        .bind(end.status)
        .bind(job)
        .bind(to_sql(end.tokens_in)?)
        .bind(to_sql(end.tokens_out)?)
        .bind(to_sql(end.cost.0)?)
        .bind(&end.error)
        .bind(now_ms)
        .bind(id)
        .fetch_optional(&mut *all)
        .await?;
        if let Some((key_id, reserved, started_ms)) = ended {
            budgets::release(&mut all, &key_id, reserved, end.cost, started_ms).await?;
            sqlx::query("UPDATE calls SET reserved = 0 WHERE id = ?")
                .bind(id)
                .execute(&mut *all)
                .await?;
        }
        all.commit().await?;
        Ok(())
    }

    /// Ends the calls that a crash cut short, at the cost of what was vouched for them. Their jobs
    /// are ended by the sweeper.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn fail_running_calls(&self, now_ms: i64) -> Result<u64, LedgerError> {
        let running: Vec<String> =
            sqlx::query_scalar("SELECT id FROM calls WHERE status = 'running' ORDER BY id")
                .fetch_all(&self.pool)
                .await?;
        for call in &running {
            let mut totals = Totals::ZERO;
            let mut cost = Lamports::ZERO;
            for (job, prices) in self.jobs_of_call(call).await? {
                let Some(vouched) = self.highest_voucher(&job).await? else { continue };
                totals = vouched.totals;
                let beyond = |_| LedgerError::Corrupt { what: format!("vouchers of {job}") };
                // What the job's other calls have not cost is this one's.
                let others = self.cost_of_calls(&job).await?;
                let more = prices.cost(totals).map_err(beyond)?;
                let more = Lamports(more.0.saturating_sub(others.0));
                cost = cost.plus(more).map_err(beyond)?;
            }
            let end = CallEnd::failed(totals, "the gateway stopped".to_owned()).costing(cost);
            self.end_call(call, None, &end, now_ms).await?;
        }
        Ok(running.len() as u64)
    }
}
