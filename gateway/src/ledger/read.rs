//! Looking at jobs: what the sweeper works on, and what the outside may see.

use chainference_market::{Lamports, Prices, Totals};
use serde::Serialize;
use sqlx::{Row, sqlite::SqliteRow};

use super::{
    JobRow, JobStatus, Ledger, LedgerError, SessionKey, from_sql, jobs::AHEAD, to_sql,
    verdicts::judged,
};

/// What the outside may see of a job. Amounts are lamports.
#[derive(Clone, Debug, Serialize)]
pub struct JobSummary {
    pub id: String,
    /// The call that it was made for, if it was made for one.
    pub call: Option<String>,
    /// `strict`, `per-call` or `session`.
    pub mode: String,
    /// The calls that it carried.
    pub calls: u64,
    pub status: JobStatus,
    pub model: String,
    pub quantisation: String,
    pub worker: String,
    pub stake: u64,
    pub paid: u64,
    pub refund: u64,
    /// Fees of the transactions of this gateway that landed, failed ones included; of a close with others where it is the first of them.
    pub fees: u64,
    /// Rent that the job's account holds; returned when it is closed.
    pub rent: u64,
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub error: Option<String>,
    /// What a client said of it, for the chain to be told at its close.
    pub verdict: Option<String>,
    pub verdict_reason: Option<String>,
    /// The other job, where two were compared.
    pub compared_with: Option<String>,
    pub created_unix_ms: i64,
    pub updated_unix_ms: i64,
}

impl Ledger {
    /// # Errors
    /// [`LedgerError`]
    pub async fn job(&self, job: &str) -> Result<Option<JobRow>, LedgerError> {
        let row = sqlx::query("SELECT * FROM jobs WHERE id = ?")
            .bind(job)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(read_row).transpose()
    }

    /// The tokens of a job's calls that have ended, and what those did cost.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub(super) async fn ended_calls(&self, job: &str) -> Result<(Totals, Lamports), LedgerError> {
        let (tokens_in, tokens_out, cost): (i64, i64, i64) = sqlx::query_as(
            "SELECT CAST(COALESCE(SUM(tokens_in), 0) AS BIGINT),
                    CAST(COALESCE(SUM(tokens_out), 0) AS BIGINT),
                    CAST(COALESCE(SUM(cost), 0) AS BIGINT)
             FROM calls WHERE job = ? AND status <> 'running'",
        )
        .bind(job)
        .fetch_one(&self.pool)
        .await?;
        let totals = Totals {
            tokens_in: from_sql(tokens_in, "tokens_in")?,
            tokens_out: from_sql(tokens_out, "tokens_out")?,
        };
        Ok((totals, Lamports(from_sql(cost, "cost")?)))
    }

    /// The jobs that were made for a call, or that it uses, with their prices.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub(super) async fn jobs_of_call(
        &self,
        call: &str,
    ) -> Result<Vec<(String, Prices)>, LedgerError> {
        let rows = sqlx::query(
            "SELECT * FROM jobs WHERE call_id = ? OR id = (SELECT job FROM calls WHERE id = ?)
             ORDER BY created_at, id",
        )
        .bind(call)
        .bind(call)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read_row).map(|row| row.map(|row| (row.id, row.prices))).collect()
    }

    /// All jobs that are not at their end yet, oldest first.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn unfinished_jobs(&self) -> Result<Vec<JobRow>, LedgerError> {
        let rows = sqlx::query(
            "SELECT * FROM jobs WHERE status NOT IN ('closed', 'failed') ORDER BY created_at, id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read_row).collect()
    }

    /// The same, less the settled jobs that were opened in this slot or later: their accounts must stay for a while.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn jobs_to_move(&self, slot: u64) -> Result<Vec<JobRow>, LedgerError> {
        let rows = sqlx::query(
            "SELECT * FROM jobs WHERE status NOT IN ('closed', 'failed')
             AND (status <> 'settled' OR open_slot < ?) ORDER BY created_at, id",
        )
        .bind(to_sql(slot)?)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read_row).collect()
    }

    /// All jobs, newest first.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn list_jobs(&self) -> Result<Vec<JobSummary>, LedgerError> {
        self.jobs(Which { limit: i64::MAX, ..Which::default() }).await
    }

    /// Some jobs, newest first.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn jobs(&self, which: Which<'_>) -> Result<Vec<JobSummary>, LedgerError> {
        let Which { id, only_key, after, limit } = which;
        let rows = sqlx::query(
            "SELECT jobs.*,
                 (SELECT COALESCE(SUM(fee), 0) FROM transactions WHERE transactions.job = jobs.id
                      AND (transactions.status = 'landed' OR EXISTS (SELECT 1 FROM entries
                          WHERE movement = 'fee:' || signature AND account = 'fees')))
               + (SELECT COALESCE(SUM(fee), 0) FROM top_ups WHERE top_ups.job = jobs.id
                      AND (top_ups.status = 'landed' OR EXISTS (SELECT 1 FROM entries
                          WHERE movement = 'fee:' || signature AND account = 'fees'))) AS fees,
                 (SELECT COUNT(*) FROM calls WHERE calls.job = jobs.id) AS calls,
                 (SELECT COALESCE(MAX(tokens_in), 0) FROM vouchers
                  WHERE vouchers.job = jobs.id) AS tokens_in,
                 (SELECT COALESCE(MAX(tokens_out), 0) FROM vouchers
                  WHERE vouchers.job = jobs.id) AS tokens_out
             FROM jobs
             WHERE (? IS NULL OR jobs.id = ?)
                 AND (? IS NULL OR (
                     EXISTS (SELECT 1 FROM calls WHERE key_id = ?
                         AND (calls.job = jobs.id OR calls.id = jobs.call_id) AND calls.id <> 'ahead')
                     AND NOT EXISTS (SELECT 1 FROM calls WHERE key_id <> ?
                         AND (calls.job = jobs.id OR calls.id = jobs.call_id) AND calls.id <> 'ahead')))
                 AND (? IS NULL
                     OR created_at < (SELECT created_at FROM jobs AS last WHERE last.id = ?)
                     OR (created_at = (SELECT created_at FROM jobs AS last WHERE last.id = ?)
                         AND jobs.id > ?))
             ORDER BY created_at DESC, jobs.id LIMIT ?",
        )
        .bind(id)
        .bind(id)
        .bind(only_key)
        .bind(only_key)
        .bind(only_key)
        .bind(after)
        .bind(after)
        .bind(after)
        .bind(after)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read_summary).collect()
    }

    /// How many calls of this key a job has carried, and how many of others; `None` where there is no
    /// such job.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn carried(&self, job: &str, key: &str) -> Result<Option<Carried>, LedgerError> {
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM calls WHERE key_id = ? AND calls.id <> 'ahead'
                        AND (calls.job = jobs.id OR calls.id = jobs.call_id)) AS own,
                    (SELECT COUNT(*) FROM calls WHERE key_id <> ? AND calls.id <> 'ahead'
                        AND (calls.job = jobs.id OR calls.id = jobs.call_id)) AS others
             FROM jobs WHERE id = ?",
        )
        .bind(key)
        .bind(key)
        .bind(job)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Carried { own: unsigned(&row, "own")?, others: unsigned(&row, "others")? }))
    }
}

/// Which jobs are listed; what is `None` narrows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Which<'a> {
    pub id: Option<&'a str>,
    /// Those that carried calls of this key and of no other.
    pub only_key: Option<&'a str>,
    /// Those that follow this one.
    pub after: Option<&'a str>,
    pub limit: i64,
}

/// Whose calls a job has carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    pub own: u64,
    pub others: u64,
}

fn unsigned(row: &SqliteRow, column: &str) -> Result<u64, LedgerError> {
    from_sql(row.try_get(column)?, column)
}

fn status(row: &SqliteRow) -> Result<JobStatus, LedgerError> {
    let name: String = row.try_get("status")?;
    JobStatus::from_name(&name).ok_or(LedgerError::Corrupt { what: format!("status {name}") })
}

fn read_row(row: &SqliteRow) -> Result<JobRow, LedgerError> {
    Ok(JobRow {
        id: row.try_get("id")?,
        status: status(row)?,
        worker: row.try_get("worker")?,
        endpoint: row.try_get("endpoint")?,
        session_key: SessionKey(row.try_get("session_key")?),
        terms: row.try_get("terms")?,
        open_slot: unsigned(row, "open_slot")?,
        stake: Lamports(unsigned(row, "stake")?),
        prices: Prices {
            input_per_mtok: unsigned(row, "price_in_per_mtok")?,
            output_per_mtok: unsigned(row, "price_out_per_mtok")?,
            charge_min: unsigned(row, "charge_min")?,
        },
        paid: Lamports(unsigned(row, "paid")?),
        ended_at_ms: row.try_get("ended_at")?,
        judged: judged(row)?,
    })
}

fn read_summary(row: &SqliteRow) -> Result<JobSummary, LedgerError> {
    Ok(JobSummary {
        id: row.try_get("id")?,
        call: Some(row.try_get("call_id")?).filter(|call: &String| call != AHEAD),
        mode: row.try_get("mode")?,
        calls: unsigned(row, "calls")?,
        status: status(row)?,
        model: row.try_get("model")?,
        quantisation: row.try_get("quantisation")?,
        worker: row.try_get("worker")?,
        stake: unsigned(row, "stake")?,
        paid: unsigned(row, "paid")?,
        refund: unsigned(row, "refund")?,
        fees: unsigned(row, "fees")?,
        rent: unsigned(row, "rent")?,
        tokens_in: unsigned(row, "tokens_in")?,
        tokens_out: unsigned(row, "tokens_out")?,
        error: row.try_get("error")?,
        verdict: row.try_get("verdict")?,
        verdict_reason: row.try_get("verdict_reason")?,
        compared_with: row.try_get("compared_with")?,
        created_unix_ms: row.try_get("created_at")?,
        updated_unix_ms: row.try_get("updated_at")?,
    })
}
