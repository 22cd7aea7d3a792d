//! What was promised on each job: a voucher is here before it is anywhere else.

use chainference_market::Totals;
use sqlx::Row;

use super::{Ledger, LedgerError, from_sql, to_sql};

/// A signed voucher of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVoucher {
    pub totals: Totals,
    /// By the session key, in base58.
    pub signature: String,
}

impl Ledger {
    /// Storing the same voucher again changes nothing.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn store_voucher(
        &self,
        job: &str,
        voucher: &StoredVoucher,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        sqlx::query(
            "INSERT INTO vouchers (job, tokens_in, tokens_out, signature, created_at)
             VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(job)
        .bind(to_sql(voucher.totals.tokens_in)?)
        .bind(to_sql(voucher.totals.tokens_out)?)
        .bind(&voucher.signature)
        .bind(now_ms)
        .execute(&mut *self.writer.lock().await)
        .await?;
        Ok(())
    }

    /// The voucher that binds this gateway most. Totals only rise, so there is one.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn highest_voucher(&self, job: &str) -> Result<Option<StoredVoucher>, LedgerError> {
        let row = sqlx::query(
            "SELECT tokens_in, tokens_out, signature FROM vouchers WHERE job = ?
             ORDER BY tokens_in DESC, tokens_out DESC LIMIT 1",
        )
        .bind(job)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let totals = Totals {
            tokens_in: from_sql(row.try_get("tokens_in")?, "tokens_in")?,
            tokens_out: from_sql(row.try_get("tokens_out")?, "tokens_out")?,
        };
        Ok(Some(StoredVoucher { totals, signature: row.try_get("signature")? }))
    }
}
