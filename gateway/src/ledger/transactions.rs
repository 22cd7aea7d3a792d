//! Signed transactions, kept so that the same bytes can be sent again until their end is known.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use chainference_chain::SignedTransaction;
use chainference_market::Lamports;
use sqlx::{Connection, Row, Sqlite, Transaction, sqlite::SqliteRow};

use super::{Ledger, LedgerError, entries::move_fee, from_sql, to_sql, top_ups::conclude_top_up};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionKind {
    /// Publish and lock, in one.
    Publish,
    Finish,
    Expire,
    Close,
}

impl TransactionKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Finish => "finish",
            Self::Expire => "expire",
            Self::Close => "close",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    Landed,
    /// It has landed, and did nothing but cost its fee.
    Failed,
    Rejected,
    Expired,
}

impl TransactionStatus {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Landed => "landed",
            Self::Failed | Self::Rejected => "rejected",
            Self::Expired => "expired",
        }
    }
}

/// A transaction as it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTransaction {
    /// In base58.
    pub signature: String,
    pub wire: Vec<u8>,
    pub last_valid_block_height: u64,
}

impl From<&SignedTransaction> for StoredTransaction {
    fn from(signed: &SignedTransaction) -> Self {
        Self {
            signature: signed.signature.to_string(),
            wire: signed.wire.clone(),
            last_valid_block_height: signed.last_valid_block_height,
        }
    }
}

impl Ledger {
    /// Stores a signed transaction before it is sent; on the disk, with all that was stored before it, when this returns.
    /// A job's publishing makes it submitted, in the same commit.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn store_transaction(
        &self,
        job: &str,
        kind: TransactionKind,
        transaction: &StoredTransaction,
        fee: Lamports,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let mut writer = self.writer.lock().await;
        let mut both = writer.begin().await?;
        insert_transaction(&mut both, &[job], kind, (transaction, fee), now_ms).await?;
        if kind == TransactionKind::Publish {
            let done = sqlx::query(
                "UPDATE jobs SET status = 'submitted', updated_at = ?
                 WHERE id = ? AND status = 'intended'",
            )
            .bind(now_ms)
            .bind(job)
            .execute(&mut *both)
            .await?;
            if done.rows_affected() != 1 {
                return Err(LedgerError::Transition { job: job.to_owned(), to: "submitted" });
            }
        }
        both.commit().await?;
        self.flush().await
    }

    /// Records what became of a transaction. A landed one stays landed.
    ///
    /// # Errors
    /// [`LedgerError::Database`]
    pub async fn conclude_transaction(
        &self,
        signature: &str,
        status: TransactionStatus,
        error: Option<&str>,
    ) -> Result<(), LedgerError> {
        let mut writer = self.writer.lock().await;
        let mut all = writer.begin().await?;
        sqlx::query(
            "UPDATE transactions SET status = ?, error = ?
             WHERE signature = ? AND status <> 'landed'",
        )
        .bind(status.name())
        .bind(error)
        .bind(signature)
        .execute(&mut *all)
        .await?;
        conclude_top_up(&mut all, signature, status, error).await?;
        if matches!(status, TransactionStatus::Landed | TransactionStatus::Failed) {
            move_fee(&mut all, signature).await?;
        }
        Ok(all.commit().await?)
    }

    /// The newest transaction of this kind that is not known to have failed.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn open_transaction(
        &self,
        job: &str,
        kind: TransactionKind,
    ) -> Result<Option<StoredTransaction>, LedgerError> {
        let row = sqlx::query(
            "SELECT signature, wire, last_valid_block_height FROM transactions
             WHERE job = ? AND kind = ? AND status IN ('signed', 'landed')
             ORDER BY created_at DESC LIMIT 1",
        )
        .bind(job)
        .bind(kind.name())
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// The job's transactions of which nobody knows what became of them, oldest first.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn signed_transactions(
        &self,
        job: &str,
    ) -> Result<Vec<StoredTransaction>, LedgerError> {
        let rows = sqlx::query(
            "SELECT signature, wire, last_valid_block_height, created_at
             FROM transaction_jobs JOIN transactions USING (signature)
             WHERE transaction_jobs.job = ? AND status = 'signed'
             UNION ALL
             SELECT signature, wire, last_valid_block_height, created_at FROM top_ups
             WHERE job = ? AND status = 'signed'
             ORDER BY created_at",
        )
        .bind(job)
        .bind(job)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read).collect()
    }
}

/// The first of the jobs that the transaction moves on bears its fee.
pub(super) async fn insert_transaction(
    all: &mut Transaction<'_, Sqlite>,
    jobs: &[&str],
    kind: TransactionKind,
    (transaction, fee): (&StoredTransaction, Lamports),
    now_ms: i64,
) -> Result<(), LedgerError> {
    sqlx::query(
        "INSERT INTO transactions (signature, job, kind, wire, last_valid_block_height, fee,
                                   status, created_at)
         VALUES (?, ?, ?, ?, ?, ?, 'signed', ?) ON CONFLICT DO NOTHING",
    )
    .bind(&transaction.signature)
    .bind(jobs.first())
    .bind(kind.name())
    .bind(BASE64.encode(&transaction.wire))
    .bind(to_sql(transaction.last_valid_block_height)?)
    .bind(to_sql(fee.0)?)
    .bind(now_ms)
    .execute(&mut **all)
    .await?;
    for job in jobs {
        sqlx::query(
            "INSERT INTO transaction_jobs (job, signature) VALUES (?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(job)
        .bind(&transaction.signature)
        .execute(&mut **all)
        .await?;
    }
    Ok(())
}

fn read(row: &SqliteRow) -> Result<StoredTransaction, LedgerError> {
    let signature: String = row.try_get("signature")?;
    let wire: String = row.try_get("wire")?;
    let corrupt = |_| LedgerError::Corrupt { what: format!("transaction {signature}") };
    let wire = BASE64.decode(wire).map_err(corrupt)?;
    let height = row.try_get("last_valid_block_height")?;
    let last_valid_block_height = from_sql(height, "last_valid_block_height")?;
    Ok(StoredTransaction { signature, wire, last_valid_block_height })
}
