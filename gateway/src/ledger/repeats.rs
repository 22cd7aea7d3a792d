//! What each `Idempotency-Key` was first sent with, so that no repeat is paid twice, not even after
//! a restart. The fingerprint is a hash; the answer is kept in memory only.

use sqlx::Connection;

use super::{Ledger, LedgerError};

impl Ledger {
    /// Makes `name` stand for this fingerprint. `None` where it is new, else the fingerprint that it
    /// stands for already.
    ///
    /// # Errors
    /// [`LedgerError::Database`]
    pub(crate) async fn claim_repeat(
        &self,
        key_id: &str,
        name: &str,
        fingerprint: &str,
        now_ms: i64,
        forget_before_ms: i64,
    ) -> Result<Option<String>, LedgerError> {
        let mut writer = self.writer.lock().await;
        let mut all = writer.begin().await?;
        sqlx::query("DELETE FROM idempotency WHERE created_at < ?")
            .bind(forget_before_ms)
            .execute(&mut *all)
            .await?;
        let done = sqlx::query(
            "INSERT INTO idempotency (key_id, name, fingerprint, created_at) VALUES (?, ?, ?, ?)
             ON CONFLICT DO NOTHING",
        )
        .bind(key_id)
        .bind(name)
        .bind(fingerprint)
        .bind(now_ms)
        .execute(&mut *all)
        .await?;
        let earlier = if done.rows_affected() == 1 {
            None
        } else {
            let found = sqlx::query_scalar(
                "SELECT fingerprint FROM idempotency WHERE key_id = ? AND name = ?",
            );
            Some(found.bind(key_id).bind(name).fetch_one(&mut *all).await?)
        };
        all.commit().await?;
        self.flush().await?;
        Ok(earlier)
    }

    /// The request failed before it cost anything: it may be made again.
    ///
    /// # Errors
    /// [`LedgerError::Database`]
    pub(crate) async fn forget_repeat(&self, key_id: &str, name: &str) -> Result<(), LedgerError> {
        sqlx::query("DELETE FROM idempotency WHERE key_id = ? AND name = ?")
            .bind(key_id)
            .bind(name)
            .execute(&mut *self.writer.lock().await)
            .await?;
        Ok(())
    }
}
