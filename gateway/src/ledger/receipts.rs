//! What workers have signed of calls: evidence for whoever compares, never money.

use chainference_market::Totals;

use sqlx::{QueryBuilder, Sqlite};

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
        if receipts.is_empty() {
            return Ok(());
        }
        let mut insert = QueryBuilder::new("");
        push(&mut insert, job, call_id, receipts, now_ms)?;
        insert.build().execute(&mut *self.writer.lock().await).await?;
        Ok(())
    }
}

/// The statement that stores them; there must be one.
pub(super) fn push(
    to: &mut QueryBuilder<Sqlite>,
    job: &str,
    call_id: &str,
    receipts: &[StoredReceipt],
    now_ms: i64,
) -> Result<(), LedgerError> {
    let totals = |receipt: &StoredReceipt| {
        let Totals { tokens_in, tokens_out } = receipt.totals;
        Ok::<_, LedgerError>((to_sql(tokens_in)?, to_sql(tokens_out)?))
    };
    let totals = receipts.iter().map(totals).collect::<Result<Vec<_>, _>>()?;
    to.push(
        "INSERT INTO receipts (job, call, kind, call_id, tokens_in, tokens_out, frames, signature,
                               problem, created_at) ",
    );
    to.push_values(receipts.iter().zip(totals), |mut row, (receipt, (tokens_in, tokens_out))| {
        row.push_bind(job.to_owned())
            .push_bind(i64::from(receipt.call))
            .push_bind(receipt.kind)
            .push_bind(call_id.to_owned())
            .push_bind(tokens_in)
            .push_bind(tokens_out)
            .push_bind(receipt.frames.clone())
            .push_bind(receipt.signature.clone())
            .push_bind(receipt.problem.clone())
            .push_bind(now_ms);
    });
    to.push(
        " ON CONFLICT (job, call, kind) DO UPDATE SET tokens_in = excluded.tokens_in,
              tokens_out = excluded.tokens_out, frames = excluded.frames,
              signature = excluded.signature, problem = excluded.problem,
              created_at = excluded.created_at",
    );
    Ok(())
}
