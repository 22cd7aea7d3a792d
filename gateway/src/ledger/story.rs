//! The whole story of one job: what was agreed, promised, signed, sent, and what became of it.

use serde::Serialize;
use serde_json::Value;
use sqlx::{FromRow, sqlite::SqliteRow};

use super::{JobSummary, Ledger, LedgerError};

/// All that the ledger knows of a job. Amounts are lamports, times unix milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct JobStory {
    #[serde(flatten)]
    pub summary: JobSummary,
    /// As both sides built the transaction from them.
    pub terms: Value,
    pub calls_made: Vec<CallLine>,
    pub vouchers: Vec<VoucherLine>,
    pub receipts: Vec<ReceiptLine>,
    pub transactions: Vec<TransactionLine>,
}

/// A call that the job carried.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct CallLine {
    pub id: String,
    pub status: String,
    pub tokens_in: i64,
    pub tokens_out: i64,
    pub error: Option<String>,
    pub started_at: i64,
    pub ended_at: Option<i64>,
}

/// What the gateway has promised, over all calls.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct VoucherLine {
    pub tokens_in: i64,
    pub tokens_out: i64,
    pub signature: String,
    pub created_at: i64,
}

/// What the worker has signed of one call.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct ReceiptLine {
    pub call: i64,
    pub call_id: String,
    pub kind: String,
    pub tokens_in: i64,
    pub tokens_out: i64,
    pub frames: String,
    pub signature: String,
    pub problem: Option<String>,
    pub created_at: i64,
}

/// What the gateway has signed and sent.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct TransactionLine {
    pub signature: String,
    pub kind: String,
    pub status: String,
    /// 0 where another of its jobs bears it.
    pub fee: i64,
    /// How many it moves on together.
    pub jobs: i64,
    /// What a top-up adds to the stake.
    pub amount: Option<i64>,
    pub error: Option<String>,
    pub created_at: i64,
}

const CALLS: &str = "SELECT id, status, tokens_in, tokens_out, error, started_at, ended_at
    FROM calls WHERE job = ? ORDER BY started_at, id";
const VOUCHERS: &str = "SELECT tokens_in, tokens_out, signature, created_at
    FROM vouchers WHERE job = ? ORDER BY tokens_in, tokens_out";
const RECEIPTS: &str =
    "SELECT call, call_id, kind, tokens_in, tokens_out, frames, signature, problem,
        created_at
    FROM receipts
    WHERE job = ? AND (? IS NULL OR call_id IN (SELECT id FROM calls WHERE key_id = ?))
    ORDER BY call, tokens_in, tokens_out, kind";
const TRANSACTIONS: &str = "SELECT * FROM (
        SELECT transaction_jobs.job, signature, kind, status,
            CASE WHEN transaction_jobs.job = transactions.job THEN fee ELSE 0 END AS fee,
            (SELECT count(*) FROM transaction_jobs AS together
                WHERE together.signature = transactions.signature) AS jobs,
            NULL AS amount, error, created_at
        FROM transaction_jobs JOIN transactions USING (signature)
        UNION ALL
        SELECT job, signature, 'top-up', status, fee, 1, amount, error, created_at FROM top_ups
    ) AS sent WHERE job = ? ORDER BY created_at";

impl Ledger {
    /// The story of the job whose id begins so; the newest, where several do.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn story(&self, id: &str) -> Result<Option<JobStory>, LedgerError> {
        let all = self.list_jobs().await?;
        match all.into_iter().find(|job| job.id.starts_with(id)) {
            Some(summary) => self.story_of(summary).await.map(Some),
            None => Ok(None),
        }
    }

    /// The story that goes with a summary.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn story_of(&self, summary: JobSummary) -> Result<JobStory, LedgerError> {
        let job = summary.id.clone();
        Ok(JobStory {
            summary,
            terms: self.terms_of(&job).await?,
            calls_made: self.lines(CALLS, &job).await?,
            vouchers: self.lines(VOUCHERS, &job).await?,
            receipts: self.receipts(&job, None).await?,
            transactions: self.lines(TRANSACTIONS, &job).await?,
        })
    }

    /// What was agreed on a job that there is.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn terms_of(&self, job: &str) -> Result<Value, LedgerError> {
        let terms: String = sqlx::query_scalar("SELECT terms FROM jobs WHERE id = ?")
            .bind(job)
            .fetch_one(&self.pool)
            .await?;
        Ok(serde_json::from_str(&terms).unwrap_or(Value::Null))
    }

    /// What the worker has signed of a job's calls: of all, or of one key's.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn receipts(
        &self,
        job: &str,
        only_key: Option<&str>,
    ) -> Result<Vec<ReceiptLine>, LedgerError> {
        let rows = sqlx::query_as(RECEIPTS).bind(job).bind(only_key).bind(only_key);
        Ok(rows.fetch_all(&self.pool).await?)
    }

    async fn lines<T>(&self, query: &'static str, job: &str) -> Result<Vec<T>, LedgerError>
    where
        T: Send + Unpin + for<'row> FromRow<'row, SqliteRow>,
    {
        Ok(sqlx::query_as(query).bind(job).fetch_all(&self.pool).await?)
    }
}
