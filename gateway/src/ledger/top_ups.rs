//! Additions to a job's stake, kept like its other transactions.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use chainference_market::Lamports;
use sqlx::{Sqlite, Transaction};

use super::{Ledger, LedgerError, StoredTransaction, TransactionStatus, to_sql};

impl Ledger {
    /// Stores a signed addition before it is sent; it is on the disk when this returns.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn store_top_up(
        &self,
        job: &str,
        amount: Lamports,
        transaction: &StoredTransaction,
        fee: Lamports,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        sqlx::query(
            "INSERT INTO top_ups (signature, job, amount, wire, last_valid_block_height, fee, status,
                                  created_at)
             VALUES (?, ?, ?, ?, ?, ?, 'signed', ?) ON CONFLICT DO NOTHING",
        )
        .bind(&transaction.signature)
        .bind(job)
        .bind(to_sql(amount.0)?)
        .bind(BASE64.encode(&transaction.wire))
        .bind(to_sql(transaction.last_valid_block_height)?)
        .bind(to_sql(fee.0)?)
        .bind(now_ms)
        .execute(&mut *self.writer.lock().await)
        .await?;
        self.flush().await
    }
}

/// Records what became of an addition, if this signature is one's. A landed one stays landed.
pub(super) async fn conclude_top_up(
    all: &mut Transaction<'_, Sqlite>,
    signature: &str,
    status: TransactionStatus,
    error: Option<&str>,
) -> Result<(), LedgerError> {
    sqlx::query(
        "UPDATE top_ups SET status = ?, error = ? WHERE signature = ? AND status <> 'landed'",
    )
    .bind(status.name())
    .bind(error)
    .bind(signature)
    .execute(&mut **all)
    .await?;
    Ok(())
}
