//! What workers have signed of calls: evidence for whoever compares, never money.

use chainference_market::Totals;

use super::{Ledger, LedgerError, to_sql};

/// A worker's signed statement about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReceipt {
    /// The call's number in its job.
    pub call: u32,
    /// `accepted`, `voucher_wanted` or `end`.
    pub kind: &'static str,
    /// The job's, over all its calls.
    pub totals: Totals,
    /// Digest of the frames that came before it, in hexadecimal.
    pub frames: String,
    /// By the worker's operator key, in base58.
    pub signature: String,
    /// What is wrong with it.
    pub problem: Option<String>,
}

impl Ledger {
    /// Stores what a call's worker has signed. The newest of a kind counts.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn store_receipts(
        &self,
        job: &str,
        call_id: &str,
        receipts: &[StoredReceipt],
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let mut all = self.writer.begin().await?;
        for receipt in receipts {
            sqlx::query(
                "INSERT INTO receipts (job, call, kind, call_id, tokens_in, tokens_out, frames,
                                       signature, problem, created_at)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (job, call, kind) DO UPDATE SET tokens_in = excluded.tokens_in,
                     tokens_out = excluded.tokens_out, frames = excluded.frames,
                     signature = excluded.signature, problem = excluded.problem,
                     created_at = excluded.created_at",
            )
            .bind(job)
            .bind(i64::from(receipt.call))
            .bind(receipt.kind)
            .bind(call_id)
            .bind(to_sql(receipt.totals.tokens_in)?)
            .bind(to_sql(receipt.totals.tokens_out)?)
            .bind(&receipt.frames)
            .bind(&receipt.signature)
            .bind(&receipt.problem)
            .bind(now_ms)
            .execute(&mut *all)
            .await?;
        }
        Ok(all.commit().await?)
    }
}
