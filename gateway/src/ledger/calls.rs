//! One row for each HTTP request that was meant to cost something.

use chainference_market::{Lamports, Totals};

use sqlx::{Execute, QueryBuilder};

use super::{Ledger, LedgerError, Span, StoredReceipt, receipts, to_sql};

/// How a call ended.
#[derive(Clone, Debug)]
pub struct CallEnd {
    /// `completed`, `failed`, or `abandoned` where the client left.
    pub status: &'static str,
    /// The job that paid for it, where it came to one …
    pub job: Option<String>,
    /// … and what that job's worker has signed of it.
    pub receipts: Vec<StoredReceipt>,
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
        let (job, receipts, cost) = (None, Vec::new(), Lamports::ZERO);
        Self { status, job, receipts, tokens_in, tokens_out, cost, error }
    }

    pub fn on(mut self, job: String) -> Self {
        self.job = Some(job);
        self
    }

    pub fn costing(mut self, cost: Lamports) -> Self {
        self.cost = cost;
        self
    }
}

/// Both only of a call that still runs.
const END: &str = "BEGIN IMMEDIATE;
    INSERT INTO spend (key_id, span, began, spent, reserved)
    SELECT calls.key_id, spans.span, spans.began, ?, 0
    FROM calls, (SELECT ? AS span, ? AS began UNION ALL SELECT ?, ? UNION ALL SELECT ?, ?) AS spans
    WHERE calls.id = ? AND calls.status = 'running'
    ON CONFLICT (key_id, span, began)
    DO UPDATE SET spent = spend.spent + excluded.spent,
                  reserved = spend.reserved - (SELECT reserved FROM calls WHERE id = ?);
    UPDATE calls SET status = ?, job = COALESCE(?, job), tokens_in = ?, tokens_out = ?, cost = ?,
                     error = ?, reserved = 0, ended_at = ?
    WHERE id = ? AND status = 'running'";

impl Ledger {
    /// The job that a running call uses now.
    ///
    /// # Errors
    /// [`LedgerError::Database`]
    pub async fn call_uses(&self, id: &str, job: &str) -> Result<(), LedgerError> {
        sqlx::query("UPDATE calls SET job = ? WHERE id = ? AND status = 'running'")
            .bind(job)
            .bind(id)
            .execute(&mut *self.writer.lock().await)
            .await?;
        Ok(())
    }

    /// Records how a call that began at `started_ms` ended, and turns what was reserved for it into what it cost, in each
    /// span that it began in. Its first end counts.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn end_call(
        &self,
        id: &str,
        end: &CallEnd,
        started_ms: i64,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let cost = to_sql(end.cost.0)?;
        let mut both = sqlx::query(END).bind(cost);
        for span in Span::ALL {
            both = both.bind(span.name()).bind(span.began_ms(started_ms));
        }
        let mut both = both
            .bind(id)
            .bind(id)
            .bind(end.status)
            .bind(&end.job)
            .bind(to_sql(end.tokens_in)?)
            .bind(to_sql(end.tokens_out)?)
            .bind(cost)
            .bind(&end.error)
            .bind(now_ms)
            .bind(id);
        let values = both.take_arguments().map_err(sqlx::Error::Encode)?.unwrap_or_default();
        let mut all = QueryBuilder::with_arguments(END, values);
        if let Some(job) = end.job.as_deref().filter(|_| !end.receipts.is_empty()) {
            receipts::push(all.push("; "), job, id, &end.receipts, now_ms)?;
        }
        self.writer.at_once(all.push("; COMMIT").build()).await?;
        Ok(())
    }

    /// Ends the calls that a crash cut short, at the cost of what was vouched for them. Their jobs
    /// are ended by the sweeper.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn fail_running_calls(&self, now_ms: i64) -> Result<u64, LedgerError> {
        let running: Vec<(String, i64)> =
            sqlx::query_as("SELECT id, started_at FROM calls WHERE status = 'running' ORDER BY id")
                .fetch_all(&self.pool)
                .await?;
        for (call, started_ms) in &running {
            let mut totals = Totals::ZERO;
            let mut cost = Lamports::ZERO;
            for (job, prices) in self.jobs_of_call(call).await? {
                let Some(vouched) = self.highest_voucher(&job).await? else { continue };
                let beyond = |_| LedgerError::Corrupt { what: format!("vouchers of {job}") };
                // What is not the job's other calls' is this one's.
                let (others, others_cost) = self.ended_calls(&job).await?;
                totals = Totals {
                    tokens_in: vouched.totals.tokens_in.saturating_sub(others.tokens_in),
                    tokens_out: vouched.totals.tokens_out.saturating_sub(others.tokens_out),
                };
                let more = prices.cost(vouched.totals).map_err(beyond)?;
                let more = Lamports(more.0.saturating_sub(others_cost.0));
                cost = cost.plus(more).map_err(beyond)?;
            }
            let end = CallEnd::failed(totals, "the gateway stopped".to_owned()).costing(cost);
            self.end_call(call, &end, *started_ms, now_ms).await?;
        }
        Ok(running.len() as u64)
    }
}
